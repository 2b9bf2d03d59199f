"""Laws of the two-player base: the same update by two routes, and noise that never comes twice."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from toys import (
    SHAPE,
    Finite,
    Recording,
    batches,
    batches_with_noise,
    dcgans,
    distance,
    mlps,
    sgd,
    told_gan,
    trainer,
    weights,
)

from datamodules.digits import Digits
from lightning_modules.gan import GAN
from lightning_modules.losses.adversarial import Hinge, NonSaturating, Wasserstein
from lightning_modules.losses.latent_regularisers import LatentConsistency
from lightning_modules.losses.penalties import R1, R2

# --- equal routes -------------------------------------------------------------------------------------------


def fitted(folder: Path, steps: int = 3, **settings: Any) -> Any:
    module = told_gan(**settings)
    trainer(folder, max_steps=steps).fit(module, datamodule=Finite(batches_with_noise(steps)))
    return module


PENALISED = {"penalties": [R1(2.0), R2(1.0)]}


@pytest.mark.parametrize(
    "settings", [{}, PENALISED, {"loss": Hinge(), "n_gen": 2}, {"loss": Wasserstein(), "d_clip": 0.01}]
)
def test_micro_batches_equal_one_batch(tmp_path: Path, settings: dict[str, Any]) -> None:
    whole = fitted(tmp_path, **settings)
    parts = fitted(tmp_path, micro_batch=3, **settings)  # 8 as 3 + 3 + 2
    assert distance(weights(whole), weights(parts)) < 1e-6
    assert distance(weights(whole), weights(told_gan())) > 1e-3  # and they learned something
    for one, other in zip(whole.rows, parts.rows, strict=True):
        assert one.keys() == other.keys() >= {"d/adv", "g/adv", "d/real", "d/fake"}
        assert max(abs(one[name] - other[name]) for name in one) < 1e-6


@pytest.mark.parametrize("settings", [{}, PENALISED, {"micro_batch": 3}])
def test_one_pass_equals_two_without_batch_norm(tmp_path: Path, settings: dict[str, Any]) -> None:
    two, one = fitted(tmp_path, **settings), fitted(tmp_path, one_pass=True, **settings)
    assert distance(weights(two), weights(one)) < 1e-6


def test_one_pass_shares_the_statistics_of_a_batch(tmp_path: Path) -> None:
    D = dcgans(size=16)[1]
    x, y = torch.rand(6, 1, 16, 16), torch.zeros(6)
    both = GAN(dcgans(size=16)[0], D, one_pass=True).judge(x, -x, y, [])
    apart = GAN(dcgans(size=16)[0], D).judge(x, -x, y, [])
    assert (both.real.logits - apart.real.logits).abs().max() > 1e-3
    assert torch.equal(torch.cat([both.real.logits, both.fake.logits]), D(torch.cat([x, -x])))


def test_channels_last_changes_the_layout_only(tmp_path: Path) -> None:
    found = []
    for channels_last in (False, True):
        module = GAN(*dcgans(size=16), channels_last=channels_last, d_optimizer=sgd(), g_optimizer=sgd())
        trainer(tmp_path, max_steps=1).fit(module, datamodule=Digits(size=16, batch_size=8))
        assert module.D.blocks[1][0].weight.is_contiguous(memory_format=torch.channels_last) == channels_last
        found.append(weights(module))
    assert distance(*found) < 1e-5
    assert distance(found[0], weights(GAN(*dcgans(size=16)))) > 1e-3


def test_of_many_updates_the_last_is_logged(tmp_path: Path) -> None:
    one = fitted(tmp_path, 1, g_optimizer=sgd(0.0))
    two = fitted(tmp_path, 1, g_optimizer=sgd(0.0), n_gen=2)  # the same loss twice
    assert one.rows == two.rows


# --- noise --------------------------------------------------------------------------------------------------


class Draws(GAN):
    """Keeps every z that it draws in training."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(*mlps(), **settings)
        self.z: list[Tensor] = []
        draw = self.G.sample_z
        self.G.sample_z = lambda n: self.z.append(draw(n)) or self.z[-1]  # type: ignore[method-assign, func-returns-value]


def drawn(folder: Path, **settings: Any) -> list[Tensor]:
    module = Draws(**settings)
    trainer(folder, max_steps=3).fit(module, datamodule=Finite(batches(2)))  # one epoch and a half
    return module.z


def test_no_noise_comes_twice(tmp_path: Path) -> None:
    z = drawn(tmp_path, micro_batch=4, n_gen=2)
    assert len(z) == 3 * (1 + 2) * 2  # D, G and G again, in two micro-batches each
    values = torch.cat(z).flatten()
    assert len(values.unique()) == len(values) == 18 * 4 * 4


def test_shared_fakes_by_hand(tmp_path: Path) -> None:
    module = Draws(share_fakes=True, n_gen=2, d_optimizer=sgd(), g_optimizer=sgd())
    G, D = copy.deepcopy(module.G), copy.deepcopy(module.D)
    del G.sample_z  # the module's
    trainer(tmp_path, max_steps=1).fit(module, datamodule=Finite(batches(1)))
    (x, y), loss, (z, fresh) = batches(1)[0], NonSaturating(), module.z
    of_D, of_G = sgd()(D.parameters()), sgd()(G.parameters())
    loss.d(D(x, y), D(G(z, y).detach(), y)).backward()
    of_D.step()
    for noise in (z, fresh):
        of_G.zero_grad()
        loss.g(None, D(G(noise, y), y)).backward()
        of_G.step()
    assert distance(weights(module.G), weights(G)) < 1e-6
    assert distance(weights(module.D), weights(D)) < 1e-6
    assert distance(weights(module), weights(Draws())) > 1e-3


def test_simultaneous_updates_by_hand(tmp_path: Path) -> None:
    module = Draws(share_fakes=True, simultaneous=True, d_optimizer=sgd(), g_optimizer=sgd())
    G, D = copy.deepcopy(module.G), copy.deepcopy(module.D)
    del G.sample_z  # the module's
    trainer(tmp_path, max_steps=2).fit(module, datamodule=Finite(batches(2)))
    loss, of_D, of_G = NonSaturating(), sgd()(D.parameters()), sgd()(G.parameters())
    assert len(module.z) == 2
    for (x, y), z in zip(batches(2), module.z, strict=True):
        of_D.zero_grad()
        of_G.zero_grad()
        fakes = G(z, y)
        loss.g(None, D(fakes, y)).backward(inputs=list(G.parameters()))
        loss.d(D(x, y), D(fakes.detach(), y)).backward()
        of_D.step()
        of_G.step()
    assert distance(weights(module.G), weights(G)) < 1e-6
    assert distance(weights(module.D), weights(D)) < 1e-6
    assert module.g_step == module.global_step == 2


@pytest.mark.parametrize("settings", [{"share_fakes": False}, {"n_critic": 2}, {"n_gen": 2}])
def test_simultaneous_players_share_their_fakes_and_have_one_turn_each(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="simultaneous: give share_fakes too, and leave n_critic and n_gen at 1"):
        GAN(*mlps(), **{"share_fakes": True, "simultaneous": True, **settings})


def test_g_that_has_moved_is_not_asked_again() -> None:
    with pytest.raises(ValueError, match="G has moved, and latent_consistency asks it again: leave one out"):
        GAN(*mlps(), share_fakes=True, simultaneous=True, regularisers=[LatentConsistency()])


def test_fakes_are_shared_with_the_last_step_of_d(tmp_path: Path) -> None:
    assert len(drawn(tmp_path, share_fakes=True)) == 3
    assert len(drawn(tmp_path, share_fakes=True, n_critic=2)) == 3  # of D, of D and G, of D
    assert len(drawn(tmp_path, n_critic=2)) == 4


@pytest.mark.parametrize("settings", [{"micro_batch": 4}, {"g_batch_factor": 2}])
def test_fakes_that_are_not_the_same_are_not_shared(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"share_fakes: D's fakes are G's whole batch: leave out"):
        GAN(*mlps(), share_fakes=True, **settings)


def test_noise_is_a_function_of_the_seed(tmp_path: Path) -> None:
    first, again, other = drawn(tmp_path), drawn(tmp_path), drawn(tmp_path, seed=1)
    assert torch.equal(torch.cat(first), torch.cat(again))
    assert not (torch.cat(first) == torch.cat(other)).any()


# --- data ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "message"), [(Digits(size=16), r"\(1, 8, 8\), the data module gives \(1, 16, 16\)"), (None, "value_range")]
)
def test_data_of_another_kind_are_refused_before_the_first_step(tmp_path: Path, data: Any, message: str) -> None:
    if data is None:
        data = Finite(batches(1))
        data.value_range = (0.0, 1.0)
    module = Recording(*mlps(shape=SHAPE))
    with pytest.raises(ValueError, match=message):
        trainer(tmp_path, max_steps=1).fit(module, datamodule=data)
    assert module.order == ""

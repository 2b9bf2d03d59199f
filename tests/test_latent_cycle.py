"""Laws of the cyclic GAN: its terms by hand, who learns from what, and the equal routes of every family."""

from pathlib import Path
from typing import Any

import pytest
import torch
from resuming import CutOff
from torch import Tensor, nn
from toys import SHAPE, Z_DIM, Finite, Told, batches_with_noise, distance, same, sgd, trainer, weights

from datamodules.digits import Digits
from lightning_modules.adversarial import Terms
from lightning_modules.callbacks.checkpoints import Checkpoints
from lightning_modules.callbacks.clock import Clock
from lightning_modules.ema import EMASettings
from lightning_modules.latent_cycle import LatentCycle
from lightning_modules.losses.adversarial import (
    AdversarialLoss,
    DensityRatio,
    Hinge,
    NoisyLabels,
    NonSaturating,
    TopK,
    Wasserstein,
)
from lightning_modules.losses.latent_regularisers import LatentConsistency
from lightning_modules.losses.penalties import R1
from lightning_modules.losses.reconstruction import L1, MSE
from lightning_modules.networks.base import Generator, JointDiscriminator, LatentEncoder
from lightning_modules.networks.latent_cycle import MLPEncoder, MLPJointDiscriminator
from lightning_modules.networks.mlp import MLPDiscriminator, MLPGenerator

# --- terms by hand ------------------------------------------------------------------------------------------


class Doubling(Generator):
    """x = 2 z, of the noise that it is told."""

    z_dim, out_shape = 2, (2,)

    def __init__(self, told: Tensor) -> None:
        super().__init__()
        self.factor, self.told = nn.Parameter(torch.tensor(2.0)), told

    def sample_z(self, n: int) -> Tensor:
        return self.told

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.factor * z


class Scaling(LatentEncoder):
    """z = factor * x."""

    z_dim = 2

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x


class Linear(JointDiscriminator):
    """D(x, z) = (1, 10) . x + (100, 1000) . z."""

    x_shape, z_dim = (2,), 2

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([1.0, 10.0, 100.0, 1000.0]))
        self.blocks = nn.Sequential()

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return x @ self.w


Z = torch.tensor([[1.0, 2.0], [3.0, -1.0]])
X, Y = torch.tensor([[1.0, 0.0], [0.0, 4.0]]), torch.zeros(2, dtype=torch.int64)


def by_hand(factor: float = 0.5, **settings: Any) -> LatentCycle:
    return LatentCycle(Doubling(Z), Linear(), Scaling(factor), **settings)


@pytest.mark.parametrize(
    ("factor", "loss", "expected"),
    [
        (0.5, L1(), 0.0),  # the exact inverse
        (1.0, L1(), 1.75),  # E(G(z)) - z = z, mean of |1|, |2|, |3|, |-1|
        (1.0, MSE(), 3.75),  # mean of 1, 4, 9, 1
        (0.0, L1(2.0), 3.5),
    ],
)
def test_latent_term(factor: float, loss: Any, expected: float) -> None:
    terms = by_hand(factor, latent_loss=loss).g_loss(X, Y)
    assert terms[f"g/latent_{loss.name}"].item() == expected


def test_joint_discriminator_sees_matched_pairs() -> None:
    # (x, E(x)): 1 + 100 / 2 = 51 and 40 + 1000 * 2 = 2040. (G(z), z): 2 + 40 + 100 + 2000 and 6 - 20 + 300 - 1000.
    real, fake = torch.tensor([51.0, 2040.0]), torch.tensor([2142.0, -714.0])
    module = by_hand(loss=Hinge(), latent_loss=MSE())
    assert module.d_loss(X, Y)["d/adv"].item() == Hinge().d(real, fake).item()
    assert module.g_loss(X, Y)["g/adv"].item() == -(2142 - 714) / 2
    assert by_hand(loss=DensityRatio(), latent_loss=MSE()).g_loss(X, Y)["g/adv"].item() == -(2142 - 714) / 2
    playing = by_hand(loss=Hinge(), encoder_plays=True)
    assert playing.g_loss(X, Y) == {"g/adv": Hinge().d(fake, real)}
    assert playing.d_loss(X, Y)["d/adv"].item() == Hinge().d(real, fake).item()


class Drawing(Scaling):
    def draw(self, x: Tensor) -> Tensor:  # 1 above the mean
        return self(x) + 1


def test_a_real_is_paired_with_a_drawn_code_and_the_mean_one_is_compared() -> None:
    # (x, E(x) + 1): 51 + 1100 and 2040 + 1100, 2145.5 on average; (G(z), z) as above, 714 on average
    module = LatentCycle(Doubling(Z), Linear(), Drawing(0.5), loss=Wasserstein(), latent_loss=MSE())
    assert module.d_loss(X, Y)["d/adv"].item() == 714 - 2145.5
    assert module.g_loss(X, Y)["g/latent_mse"].item() == 0


@pytest.mark.parametrize("taught", [NonSaturating(real_target=0.9), NoisyLabels(NonSaturating(), p=0.4)])
def test_labels_that_only_teach_d_are_no_part_of_the_encoders_game(taught: AdversarialLoss) -> None:
    plain = by_hand(loss=NonSaturating(), encoder_plays=True)
    found = by_hand(loss=taught, encoder_plays=True)
    assert found.g_loss(X, Y) == plain.g_loss(X, Y)
    assert plain.g_loss(X, Y)["g/adv"] == NonSaturating().d(
        torch.tensor([2142.0, -714.0]), torch.tensor([51.0, 2040.0])
    )


def test_a_pair_comes_apart_again() -> None:
    D = MLPJointDiscriminator((1, 2, 3), z_dim=4)
    x, z = torch.randn(5, 1, 2, 3), torch.randn(5, 4)
    apart = D.part(D.pair(x, z))
    assert torch.equal(apart[0], x)
    assert torch.equal(apart[1], z)


def test_density_ratio_by_hand() -> None:
    real, fake = torch.tensor([1.0]), torch.tensor([3.0])
    assert DensityRatio().g(None, fake).item() == -3
    assert DensityRatio().d(real, fake) == NonSaturating().d(real, fake)


# --- who learns from what -----------------------------------------------------------------------------------


class ToldCycle(LatentCycle):
    """One whose noise comes with the batch, and which writes down whose weights each update moved."""

    def __init__(self, *nets: Any, **settings: Any) -> None:
        super().__init__(*nets, **settings)
        self.moved: list[str] = []

    def d_loss(self, x: Tensor, y: Tensor, z_d: Tensor, z_g: Tensor) -> Terms:  # type: ignore[override]
        self.G.decoder.told = z_d
        return super().d_loss(x, y)

    def g_loss(self, x: Tensor, y: Tensor, z_d: Tensor, z_g: Tensor) -> Terms:  # type: ignore[override]
        self.G.decoder.told = z_g
        return super().g_loss(x, y)

    def update(self, opt: Any, loss_fn: Any, batch: Any) -> None:
        players = {"G": self.G.decoder, "E": self.G.encoder, "D": self.D}
        before = {name: weights(net) for name, net in players.items()}
        super().update(opt, loss_fn, batch)
        moved = "".join(name for name, net in players.items() if distance(before[name], weights(net)) > 0)
        self.moved.append(moved)


FORMS: dict[str, dict[str, Any]] = {
    "cycle": {"latent_loss": L1()},
    "veegan": {"latent_loss": MSE(), "loss": DensityRatio(), "joint": True},
    "ali": {"encoder_plays": True, "joint": True},
    "both": {"encoder_plays": True, "latent_loss": L1(), "joint": True, "penalties": [R1(0.1)], "n_gen": 2},
}


def told(joint: bool = False, **settings: Any) -> ToldCycle:
    torch.manual_seed(0)
    G, E = Told(SHAPE, Z_DIM, width=8, tanh=True), MLPEncoder(SHAPE, Z_DIM, width=8)
    D = MLPJointDiscriminator(SHAPE, Z_DIM, width=8) if joint else MLPDiscriminator(SHAPE, width=8)
    return ToldCycle(G, D, E, **{"d_optimizer": sgd(), "g_optimizer": sgd(), **settings})


def fitted(folder: Path, **settings: Any) -> ToldCycle:
    module = told(**settings)
    trainer(folder, max_steps=3).fit(module, datamodule=Finite(batches_with_noise(3)))
    return module


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_d_moves_alone_and_g_with_e(tmp_path: Path, form: dict[str, Any]) -> None:
    module = fitted(tmp_path, **form)
    assert module.moved == ["D", *["GE"] * module.n_gen] * 3


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_micro_batches_equal_one_batch(tmp_path: Path, form: dict[str, Any]) -> None:
    whole, parts = fitted(tmp_path, **form), fitted(tmp_path, micro_batch=3, **form)  # 8 as 3 + 3 + 2
    assert distance(weights(whole), weights(parts)) < 1e-6
    assert distance(weights(whole), weights(told(**form))) > 1e-3


def gradients(module: LatentCycle, terms: Terms) -> dict[str, float]:
    module.zero_grad()
    sum(terms.values()).backward()  # type: ignore[union-attr]
    nets = {"G": module.G.decoder, "E": module.G.encoder}
    return {
        name: sum(p.grad.abs().sum().item() for p in net.parameters() if p.grad is not None)
        for name, net in nets.items()
    }


def test_veegans_encoder_learns_from_the_reconstruction_alone() -> None:
    batch = batches_with_noise(1)[0]
    veegan, ali = told(**FORMS["veegan"]), told(**FORMS["ali"])
    adversarial = {name: veegan.g_loss(*batch)[name] for name in ("g/adv",)}
    assert gradients(veegan, adversarial)["E"] == 0 < gradients(veegan, veegan.g_loss(*batch))["E"]
    assert gradients(ali, ali.g_loss(*batch))["E"] > 0
    assert ali.g_loss(*batch).keys() == {"g/adv"}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_every_parameter_gets_a_gradient(form: dict[str, Any]) -> None:
    batch = batches_with_noise(1)[0]
    module = told(**form)
    for loss, net in ((module.d_loss, module.D), (module.g_loss, module.G)):
        module.zero_grad()
        sum(loss(*batch).values()).backward()  # type: ignore[union-attr]
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


# --- resume, averages, refusals -----------------------------------------------------------------------------


def fit(folder: Path, *callbacks: Any, seed: int = 0) -> dict[str, Any]:
    torch.manual_seed(0)
    module = LatentCycle(
        MLPGenerator((1, 8, 8), Z_DIM, tanh=True),
        MLPJointDiscriminator((1, 8, 8), Z_DIM),
        MLPEncoder((1, 8, 8), Z_DIM),
        encoder_plays=True,
        latent_loss=L1(),
        ema=EMASettings(decay=0.9),
        seed=seed,
    )
    last = folder / "checkpoints" / "last.ckpt"
    run = trainer(folder, Clock(g_steps=12, validations=0), Checkpoints(every_steps=4), *callbacks)
    data = Digits(size=8, batch_size=50)
    run.fit(module, datamodule=data, ckpt_path=last if last.exists() else None)
    checkpoint = torch.load(last, weights_only=True)
    return {name: checkpoint[name] for name in ("state_dict", "optimizer_states", "counters")}


def test_a_resumed_run_ends_where_the_uninterrupted_one_does(tmp_path: Path) -> None:
    whole = fit(tmp_path / "whole")
    with pytest.raises(RuntimeError, match="cut off"):
        fit(tmp_path / "cut", CutOff(10))
    assert same(fit(tmp_path / "cut"), whole)
    assert not same(fit(tmp_path / "other", seed=1), whole)


def test_the_encoder_is_averaged_with_the_decoder() -> None:
    module = told(**FORMS["cycle"], ema=EMASettings(decay=0.5))
    with torch.no_grad():
        module.G.encoder.layers[1].bias += 2
    module.g_step = 1
    module.update_ema()
    averaged = module.evaluated.encoder.layers[1].bias  # type: ignore[union-attr, index]
    assert torch.allclose(averaged, module.G.encoder.layers[1].bias - 1)  # type: ignore[index]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "the encoder learns nothing"),
        ({"encoder_plays": True, "latent_loss": L1()}, "a joint discriminator only"),
        ({"latent_loss": L1(), "evaluated_pass": 2}, "evaluated_pass must lie between 1 and 1"),
        ({"latent_loss": L1(), "regularisers": [LatentConsistency()]}, "ToldCycle makes no image of noise alone"),
        (
            {"joint": True, "encoder_plays": True, "top_k": TopK()},
            "encoder_plays: G and E have the exchanged",
        ),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        told(**settings)


def test_codes_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="give both the same z_dim"):
        LatentCycle(MLPGenerator(z_dim=2), MLPDiscriminator(), MLPEncoder(z_dim=3), latent_loss=L1())

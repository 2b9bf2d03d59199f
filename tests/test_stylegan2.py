"""The StyleGAN2 family: regularisers as steps of their own, path length on a linear G, exact resume, sentences."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from resuming import ends_alike
from torch import nn
from torch.optim import SGD
from toys import SHAPE, Finite, Logged, distance, trainer, weights

from datamodules.digits import Digits
from lightning_modules.augment.ada import ADA, APA
from lightning_modules.callbacks.clock import Clock
from lightning_modules.ema import EMASettings
from lightning_modules.losses.path_length import PathLength, path_lengths
from lightning_modules.losses.penalties import R1, R2, GradientPenalty, input_gradient, squared_norm
from lightning_modules.networks.resolutions import Widths
from lightning_modules.networks.stylegan2 import StyleGAN2Generator
from lightning_modules.networks.stylegan_discriminator import StyleGAN2Discriminator
from lightning_modules.stylegan2 import StyleGAN2, lazily


def images(count: int) -> Finite:
    stream = torch.Generator().manual_seed(0)
    x = torch.rand(count, 4, *SHAPE, generator=stream) * 2 - 1
    return Finite([(batch, torch.zeros(4, dtype=torch.long)) for batch in x])


def stylegan2(**settings: Any) -> StyleGAN2:
    torch.manual_seed(0)
    G = StyleGAN2Generator(8, 1, 6, 5, 2, Widths(32, 8))
    return StyleGAN2(G, StyleGAN2Discriminator(8, 1, Widths(32, 8)), **{"path_length": None, **settings})


class Watched(StyleGAN2):
    """Writes down which objective was minimised, at which step of the clock."""

    def update(self, opt: Any, loss_fn: Any, batch: Any) -> None:
        self.order = [*getattr(self, "order", []), (loss_fn.__name__, self.global_step)]
        super().update(opt, loss_fn, batch)


# --- lazy regularisation -----------------------------------------------------------------------------------------


def test_adam_is_corrected_for_the_steps_between() -> None:
    module = stylegan2(path_length=PathLength(every=4))
    d, g = (opt.param_groups[0] for opt in module.configure_optimizers())
    assert d["lr"] == pytest.approx(0.0025 * 16 / 17)
    assert d["betas"] == pytest.approx((0.0, 0.99 ** (16 / 17)))
    assert g["lr"] == pytest.approx(0.0025 * 4 / 5)
    assert g["betas"] == pytest.approx((0.0, 0.99**0.8))
    plain = stylegan2(penalties=[]).configure_optimizers()
    assert [opt.param_groups[0]["lr"] for opt in plain] == [0.0025, 0.0025]
    with pytest.raises(ValueError, match=r"corrects Adam's betas, and SGD has none"):
        lazily(lambda p: SGD(p, lr=0.1), 4)([nn.Parameter(torch.ones(1))])


def test_regularisers_are_steps_of_their_own_and_the_clock_counts_updates(tmp_path: Path) -> None:
    torch.manual_seed(0)
    G, D = StyleGAN2Generator(8, 1, 6, 5, 2, Widths(32, 8)), StyleGAN2Discriminator(8, 1, Widths(32, 8))
    module = Watched(G, D, path_length=PathLength(every=2), penalties=[R1(1.0, every=3)])
    run = trainer(tmp_path, Clock(g_steps=4, validations=0))
    run.fit(module, datamodule=images(4))
    assert run.global_step == 4
    assert module.order == [
        ("d_loss", 0), ("d_regularisation", 1), ("g_loss", 1), ("g_regularisation", 1),
        ("d_loss", 1), ("g_loss", 2),
        ("d_loss", 2), ("g_loss", 3), ("g_regularisation", 3),
        ("d_loss", 3), ("d_regularisation", 4), ("g_loss", 4),
    ]  # fmt: skip
    assert module.images_seen == 16


def _rank(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    term = _after_one_look(rank)
    torch.save(term.mean, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def _after_one_look(seed: int) -> PathLength:
    torch.manual_seed(seed)
    styles = torch.randn(2, 1, 3, requires_grad=True)
    term = PathLength()
    term((styles.sum(1) @ torch.randn(3, 16)).view(2, 1, 4, 4), styles)
    return term


def test_ranks_have_one_mean_length(tmp_path: Path) -> None:
    mp.spawn(_rank, (str(tmp_path),), nprocs=2)
    mean = (_after_one_look(0).mean + _after_one_look(1).mean) / 2
    for rank in (0, 1):
        assert torch.load(tmp_path / f"{rank}.pt").item() == pytest.approx(mean.item())


def test_the_path_length_keeps_its_interval_when_g_has_two_updates_a_round(tmp_path: Path) -> None:
    torch.manual_seed(0)
    G, D = StyleGAN2Generator(8, 1, 6, 5, 2, Widths(32, 8)), StyleGAN2Discriminator(8, 1, Widths(32, 8))
    module = Watched(G, D, path_length=PathLength(every=4), penalties=[], n_gen=2)
    trainer(tmp_path, Clock(g_steps=8, validations=0)).fit(module, datamodule=images(4))
    assert [name for name, _ in module.order].count("g_regularisation") == 2
    assert module.g_step == 8


def test_rows_have_the_last_value_of_what_not_every_step_has(tmp_path: Path) -> None:
    logger = Logged()
    settings: Any = {"logger": logger, "log_every_n_steps": 2}
    module = stylegan2(
        path_length=PathLength(every=2), penalties=[R1(1.0, every=2)]
    )  # due at steps 0, 2; logged at 1, 3
    trainer(tmp_path, Clock(g_steps=4, validations=0), **settings).fit(module, datamodule=images(4))
    rows = [row for _, row in logger.rows if "d/adv" in row]
    assert len(rows) == 2
    for name in ("d/r1", "g/path", "g/path_length"):
        first, second = (row[name] for row in rows)
        assert first != second


def test_penalties_are_taken_at_reals_and_fakes_times_their_interval() -> None:
    module = stylegan2(penalties=[R1(3.0, every=5), R2(2.0, every=5)])
    x, y = images(1).train[0]
    torch.manual_seed(1)
    terms = module.d_regularisation(x, y)
    torch.manual_seed(1)
    for name, weight, looked in (("r1", 3.0, x), ("r2", 2.0, module.make_fakes(y).images)):
        inputs = looked.detach().requires_grad_()
        wanted = 5 * weight / 2 * squared_norm(input_gradient(module.D(inputs), inputs)).mean()
        assert terms[f"d/{name}"].item() == pytest.approx(wanted.item(), rel=1e-4)
    assert set(module.d_loss(x, y)) == {"d/adv"}


def test_r1_is_taken_at_pseudo_reals_where_d_is_shown_some() -> None:
    """p = 1: every real is a fake, as in D's own loss."""
    module = stylegan2(penalties=[R1(3.0, every=5), R2(2.0, every=5)], pseudo_reals=APA())
    module.pseudo_reals.p.fill_(1)
    x, y = images(1).train[0]
    torch.manual_seed(1)
    terms = module.d_regularisation(x, y)
    torch.manual_seed(1)
    fake = module.make_fakes(y).images.detach().requires_grad_()
    wanted = 5 * 3 / 2 * squared_norm(input_gradient(module.D(fake), fake)).mean()
    assert terms["d/r1"].item() == pytest.approx(wanted.item(), rel=1e-4)
    module.pseudo_reals.p.fill_(0)
    assert module.d_regularisation(x, y)["d/r1"].item() != pytest.approx(wanted.item(), rel=1e-2)


# --- path length -------------------------------------------------------------------------------------------------


def test_path_lengths_of_a_linear_generator() -> None:
    torch.manual_seed(0)
    A = torch.randn(48, 5)
    styles = torch.randn(4000, 3, 5, requires_grad=True)
    image = (styles.sum(1) @ A.T).view(-1, 3, 4, 4)
    lengths = path_lengths(image, styles)
    assert lengths.square().mean().item() == pytest.approx(A.square().sum().item() / 16, rel=0.03)
    doubled = path_lengths(2 * image, styles)
    assert doubled.mean().item() == pytest.approx(2 * lengths.mean().item(), rel=0.03)


def test_the_term_pulls_lengths_to_their_running_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = [torch.tensor([1.0, 3.0]), torch.tensor([4.0, 4.0])]
    monkeypatch.setattr("lightning_modules.losses.path_length.path_lengths", lambda *_: lengths.pop(0))
    term = PathLength(weight=2.0, decay=0.5)
    nothing = torch.zeros(1)
    assert term(nothing, nothing).item() == pytest.approx(2 * (0 + 4) / 2)  # the mean goes from 0 to 1
    assert term(nothing, nothing).item() == pytest.approx(2 * 1.5**2)  # and to 2.5
    assert term.share(32) == 16
    assert term.share(1) == 1


def test_it_moves_every_weight_of_g() -> None:
    module = stylegan2(path_length=PathLength(every=3, shrink=2))
    x, y = images(1).train[0]
    terms = module.g_regularisation(x, y)
    terms["g/path"].backward()
    assert module.path_length is not None
    assert module.path_length.mean > 0
    for name, weight in module.G.named_parameters():
        if name.endswith("weight"):  # biases shift, and the image's slope does not know them
            assert weight.grad is not None, name
            assert weight.grad.abs().sum() > 0, name


# --- the family --------------------------------------------------------------------------------------------------


def test_mixing_is_a_share_of_the_batches() -> None:
    y = torch.zeros(6, dtype=torch.long)
    for share, low, high in ((0.0, 0, 0), (0.5, 60, 140), (1.0, 200, 200)):
        module = stylegan2(mixing=share)
        torch.manual_seed(0)
        styles = [module.styles(y) for _ in range(200)]
        mixed = sum(not torch.equal(one[:, 0], one[:, -1]) for one in styles)
        assert low <= mixed <= high
    assert len({int((one[0, 0] == one[0]).all(1).sum()) for one in styles}) == 3  # of four layers: after 1, 2 or 3


def test_a_run_that_was_cut_off_ends_as_the_whole_one(tmp_path: Path) -> None:
    def make() -> StyleGAN2:
        return stylegan2(
            path_length=PathLength(every=2, decay=0.5),
            penalties=[R1(1.0, every=2)],
            augment=ADA(kimg=0.01, every=1),
            ema=EMASettings(half_life_kimg=0.01, ramp_up=0.5),
        )

    module = ends_alike(tmp_path, make, lambda: Digits(size=8, batch_size=4), cuts=[3], steps=6)
    assert weights(module)["path_length.mean"] > 0
    assert distance(weights(stylegan2().G), weights(module.G)) > 1e-3


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"penalties": [GradientPenalty()]}, "give such as R1 and R2"),
        ({"penalties": [R1(every=4), R2(every=8)]}, "all with the same `every`"),
        ({"mixing": 1.5}, "mixing is 1.5: give a share"),
    ],
)
def test_bad_settings_cost_one_sentence(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        stylegan2(**settings)


@pytest.mark.parametrize("settings", [{"weight": -1.0}, {"every": 0}, {"shrink": 0}, {"decay": 0.0}])
def test_bad_path_lengths_cost_one_sentence(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="PathLength: give a weight of 0 or more"):
        PathLength(**settings)

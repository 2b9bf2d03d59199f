"""Annealing: settings that follow the images seen, by hand, through a run and a resume; what does not go with it."""

from math import cos, pi
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from resuming import ends_alike
from test_stylegan2 import stylegan2
from torch import Tensor
from torch.optim import SGD, Adam, Optimizer
from toys import Finite, batches, mlps, sgd, trainer

from datamodules.digits import Digits
from lightning_modules.annealing import STILL, Annealing, Span
from lightning_modules.augment import diff_augment
from lightning_modules.augment.ada import ADA
from lightning_modules.augment.pipeline import Blit, ColourChange, Operation, Pipeline, Struck
from lightning_modules.callbacks.clock import Clock
from lightning_modules.ema import EMASettings
from lightning_modules.gan import GAN
from lightning_modules.losses.penalties import R1, R2
from lightning_modules.schedules import Linear, rates_of

AT_ALL = {"lr": STILL, "one_minus_beta2": STILL, "penalties": STILL, "augment": STILL, "half_life": STILL}


def alone(**spans: Span) -> Annealing:
    """Nothing but ``spans``, over 80 images."""
    return Annealing(0.08, **{**AT_ALL, **spans})


def adam(p: Any) -> Adam:
    return Adam(p, lr=2e-4, betas=(0.0, 0.9))


def annealed(annealing: Annealing | None = None, **settings: Any) -> GAN:
    """A GAN with all that can be annealed."""
    given = {"d_optimizer": adam, "g_optimizer": adam, "ema": EMASettings(half_life_kimg=5000), **settings}
    return GAN(*mlps(), annealing=annealing or Annealing(), **given)


# --- values ------------------------------------------------------------------------------------------------------

# As published for CIFAR-10: images seen, learning rate, beta2, gamma, p, half-life in images.
PUBLISHED = [
    (0, 2e-4, 0.9, 0.05, 0.0, 0.0),
    (10_000_000, 1.25e-4, 0.945, 0.0275, 0.275, 2_500_000),
    (20_000_000, 5e-5, 0.99, 0.005, 0.55, 5_000_000),
    (90_000_000, 5e-5, 0.99, 0.005, 0.55, 5_000_000),
]


@pytest.mark.parametrize(("images", "lr", "beta2", "gamma", "p", "half_life"), PUBLISHED)
def test_the_published_settings(images: int, lr: float, beta2: float, gamma: float, p: float, half_life: float) -> None:
    module = annealed(augment=Pipeline(0.55), penalties=[R1(0.05), R2(0.05)])
    opts = module.configure_optimizers()
    module.trained_optimizers = lambda: opts  # type: ignore[method-assign]
    module.images_seen = images
    module.apply_schedules()
    for opt in opts:
        (group,) = opt.param_groups
        assert group["lr"] == pytest.approx(lr, rel=1e-12)
        assert group["betas"] == pytest.approx((0.0, beta2), rel=1e-12)
    assert [penalty.weight for penalty in module.penalties] == pytest.approx([gamma] * 2, rel=1e-12)
    assert module.augment.p.item() == pytest.approx(p, rel=1e-6)
    assert module.ema is not None
    factor = module.ema.settings.factor(7, 512, images + 512, module.ema.share)
    assert factor == pytest.approx(0.5 ** (512 / half_life) if half_life else 0.0, rel=1e-12)


def test_a_span_is_half_a_cosine_and_then_its_end() -> None:
    span = Span(2.0, 0.5)
    for progress in (0.0, 0.1, 0.25, 0.9):
        assert span.at(progress) == pytest.approx(0.5 + 1.5 * 0.5 * (1 + cos(pi * progress)), rel=1e-12)
    assert [span.at(progress) for progress in (0.0, 1.0, 1.3, 77.0)] == pytest.approx([2.0, 0.5, 0.5, 0.5], rel=1e-12)
    assert [STILL.at(progress) for progress in (0.0, 0.3, 2.0)] == [1.0] * 3


def test_a_smaller_half_life_forgets_sooner_and_none_forgets_all() -> None:
    settings = EMASettings(half_life_kimg=2)
    assert settings.factor(1, 1000, 1000, share=0.5) == 0.5
    assert settings.factor(1, 1000, 1000, share=0.0) == 0.0
    assert settings.factor(1, 1000, 1000) == 0.5**0.5


# --- a run -------------------------------------------------------------------------------------------------------


class Settings(L.Callback):
    """Notes what every update is made with, in ``used``."""

    def __init__(self) -> None:
        self.used: list[tuple[float, ...]] = []

    def on_before_optimizer_step(self, trainer: L.Trainer, module: L.LightningModule, optimizer: Optimizer) -> None:
        assert isinstance(module, GAN)
        assert module.ema is not None
        (group,) = optimizer.param_groups
        p = module.augment.p.item() if isinstance(module.augment, Pipeline) else 0.0
        self.used.append((group["lr"], group["betas"][1], module.penalties[0].weight, p, module.ema.share))


def test_a_run_follows_its_images_through_two_d_steps_a_round_and_past_the_horizon(tmp_path: Path) -> None:
    module = annealed(Annealing(0.04), augment=Pipeline(0.5, [Blit()]), penalties=[R1(3.0)], n_critic=2)
    seen = Settings()
    trainer(tmp_path, Clock(g_steps=4, validations=0), seen).fit(module, datamodule=Digits(size=8, batch_size=8))
    images = [0, 8, 8, 16, 24, 24, 32, 40, 40, 48, 56, 56]  # before each of D, D, G, D, D, G, ...
    done = [0.5 * (1 - cos(pi * min(n / 40, 1))) for n in images]
    for used, share in zip(seen.used, done, strict=True):
        lr, beta2, gamma = 2e-4 * (1 - 0.75 * share), 0.9 + 0.09 * share, 3 * (1 - 0.9 * share)
        assert used == pytest.approx((lr, beta2, gamma, 0.5 * share, share), rel=1e-6)
        assert all(type(value) is float for value in used)


def test_the_term_has_the_annealed_weight() -> None:
    module = annealed(alone(penalties=Span(1.0, 0.25)), penalties=[R1(4.0, every=2)])
    opts = module.configure_optimizers()
    module.trained_optimizers = lambda: opts  # type: ignore[method-assign]
    terms = []
    for images in (0, 40, 80):
        module.images_seen = images
        module.apply_schedules()
        torch.manual_seed(0)
        terms.append(module.d_loss(*batches(1)[0])["d/r1"].item())
    assert terms[1:] == pytest.approx([0.625 * terms[0], 0.25 * terms[0]], rel=1e-5)


@pytest.mark.parametrize("cut", [2, 6])
def test_a_run_that_was_cut_off_within_or_after_the_horizon_ends_as_the_whole_one(tmp_path: Path, cut: int) -> None:
    def make() -> GAN:
        settings = {"augment": Pipeline(0.8), "penalties": [R1(1.0), R2(1.0)], "ema": EMASettings(half_life_kimg=0.02)}
        return annealed(Annealing(0.016), **settings)

    module = ends_alike(tmp_path, make, lambda: Digits(size=8, batch_size=4), cuts=[cut], steps=8)
    assert isinstance(module, GAN)
    assert module.augment.p.item() == pytest.approx(0.8)
    assert rates_of(module.trained_optimizers()[0])[0] == pytest.approx((5e-5, 0.99))


def test_what_is_still_is_left_to_the_schedules(tmp_path: Path) -> None:
    settings: Any = {"d_schedule": Linear(), "d_optimizer": sgd(0.8), "penalties": [R1(2.0)]}
    module, rates = annealed(alone(penalties=Span(1.0, 0.0)), **settings), []

    class Noted(L.Callback):
        def on_train_batch_end(self, trainer: L.Trainer, module: Any, *args: Any) -> None:
            rates.append(module.trained_optimizers()[0].param_groups[0]["lr"])

    trainer(tmp_path, Clock(g_steps=4, validations=0), Noted()).fit(module, datamodule=Finite(batches(4)))
    assert rates == pytest.approx([0.8, 0.6, 0.4, 0.2])


def test_rates_that_were_corrected_stay_so() -> None:
    module = stylegan2(annealing=alone(lr=Span(0.5, 0.5), one_minus_beta2=Span(0.5, 0.5)))  # R1 at each 16th step
    opts = module.configure_optimizers()
    module.trained_optimizers = lambda: opts  # type: ignore[method-assign]
    module.apply_schedules()
    group = opts[0].param_groups[0]
    assert group["lr"] == pytest.approx(0.5 * 0.0025 * 16 / 17)
    assert 1 - group["betas"][1] == pytest.approx(0.5 * (1 - 0.99 ** (16 / 17)))


# --- the augmentations that R3GAN has ----------------------------------------------------------------------------


def share_changed(operation: Operation, p: float) -> float:
    torch.manual_seed(0)
    x = torch.rand(4000, 1, 4, 4) - 2  # nowhere 0, and no mirror image of itself
    return (operation(x, torch.tensor(p)) != x).flatten(1).any(1).float().mean().item()


def test_colours_strike_with_a_share_of_p() -> None:
    p = 0.4
    for share in (1.0, 0.5):  # brightness, contrast, and a reversal that is one half the time
        still = (1 - share * p) ** 2 * (1 - share * p / 2)
        assert share_changed(ColourChange(share), p) == pytest.approx(1 - still, abs=0.03)
    assert share_changed(ColourChange(0.0), 1.0) == 0


def test_an_operation_of_diffaugment_strikes_with_p() -> None:
    cutout = Struck(diff_augment.Cutout())
    assert [share_changed(cutout, p) for p in (0.0, 0.3, 1.0)] == [0.0, pytest.approx(0.3, abs=0.03), 1.0]
    x = torch.randn(16, 3, 8, 8, dtype=torch.double)

    def cut(x: Tensor) -> Tensor:
        torch.manual_seed(3)
        return cutout(x, torch.tensor(0.5))

    found = cut(x)
    untouched = (found == x).flatten(1).all(1)
    assert 0 < untouched.sum() < 16
    torch.manual_seed(3)
    torch.rand(16)  # who is struck
    assert torch.equal(found[~untouched], diff_augment.Cutout()(x)[~untouched])


# --- what does not go together -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Annealing(0.0), "kimg is the horizon in thousands of images, above 0, got 0"),
        (lambda: Annealing(float("nan")), "kimg is the horizon"),
        (lambda: Annealing(lr=Span(1.0, -0.1)), r"lr goes from one factor of 0 or more to another, got \[1.0, -0.1\]"),
        (lambda: Annealing(half_life=Span(1.0, float("inf"))), "half_life goes from one factor"),
        (lambda: annealed(d_schedule=Linear()), "leave out the players' schedules"),
        (lambda: annealed(ema=EMASettings(decay=0.9)), "give ema.half_life_kimg, or set annealing.half_life to"),
        (lambda: annealed(augment=ADA()), "ADA has no probability that could be annealed: choose Pipeline"),
        (lambda: annealed(augment=diff_augment.DiffAugment()), "DiffAugment has no probability"),
        (lambda: annealed(alone(augment=Span(1, 3)), augment=Pipeline(0.5)), "a probability of 1.5 of p 0.5"),
        (lambda: annealed(d_optimizer=lambda p: SGD(p, 0.1)).configure_optimizers(), "of a beta2 of None: choose Adam"),
        (
            lambda: annealed(Annealing(one_minus_beta2=Span(1, 11))).configure_optimizers(),
            r"nothing in \[0, 1\) of a beta2 of 0.9",
        ),
        (lambda: ColourChange(1.5), r"share is one of p, in \[0, 1\]"),
    ],
)
def test_what_makes_no_sense_costs_one_sentence(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_each_can_be_left_alone() -> None:
    annealed(alone(lr=Span(1.0, 0.5)), augment=ADA(), ema=EMASettings(decay=0.9))
    annealed(alone(), d_schedule=Linear(), d_optimizer=lambda p: SGD(p, 0.1)).configure_optimizers()
    annealed(ema=None)

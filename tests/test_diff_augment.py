"""DiffAugment: each operation against hand values, gradients through all of them, and where a GAN applies it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from toys import SHAPE, Finite, LinearCritic, batches, batches_with_noise, mlps, told_gan, trainer

from lightning_modules.augment.base import Augmentation, move_pixels
from lightning_modules.augment.diff_augment import (
    Brightness,
    Colour,
    Contrast,
    Cutout,
    DiffAugment,
    Operation,
    Saturation,
    Translation,
)
from lightning_modules.gan import GAN
from lightning_modules.losses.adversarial import RelativisticPairing
from lightning_modules.losses.penalties import R1, R2, GradientPenalty, Penalty


def images(n: int = 400, channels: int = 3, side: int = 8, seed: int = 0) -> Tensor:
    return 2 * torch.rand(n, channels, side, side, generator=torch.Generator().manual_seed(seed)) - 1


# --- operations by hand -------------------------------------------------------------------------------------


def test_brightness_adds_one_number_to_an_image() -> None:
    x = images()
    change = Brightness()(x) - x
    added = change[:, 0, 0, 0]
    assert (change - added[:, None, None, None]).abs().max() < 1e-6
    assert -0.5 <= added.min() < -0.48
    assert 0.48 < added.max() < 0.5
    assert added.mean().abs() < 0.05  # 0.29 / sqrt(400) is 0.014


def test_saturation_stretches_what_is_not_grey() -> None:
    x = images()
    y = Saturation()(x)
    assert (y.mean(1) - x.mean(1)).abs().max() < 1e-6
    colour, other = x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True)
    factor = (other / colour).flatten(1).median(1).values
    assert (other - factor[:, None, None, None] * colour).abs().max() < 1e-4
    assert 0 <= factor.min() < 0.05
    assert 1.95 < factor.max() <= 2
    grey = images(channels=1)
    assert torch.equal(Saturation()(grey), grey)


def test_contrast_stretches_around_the_mean_of_the_image() -> None:
    x = torch.tensor([1.0, -1.0, 0.5, -0.5]).view(1, 1, 2, 2).repeat(400, 1, 1, 1) + 0.25
    y = Contrast()(x)
    factor = (y[:, 0, 0, 0] - y[:, 0, 0, 1]) / 2
    assert torch.allclose(y, 0.25 + factor[:, None, None, None] * (x - 0.25), atol=1e-6)
    assert 0.5 <= factor.min() < 0.52
    assert 1.48 < factor.max() <= 1.5


def test_translation_moves_by_every_number_of_pixels_up_to_an_eighth() -> None:
    x = images(400, 1, 16)
    y = Translation()(x)
    moved = {}
    for dy in range(-2, 3):
        for dx in range(-2, 3):
            padded = torch.nn.functional.pad(x, (2, 2, 2, 2))
            moved[dy, dx] = padded[:, :, 2 - dy : 18 - dy, 2 - dx : 18 - dx]
    found = torch.stack([(y == at).flatten(1).all(1) for at in moved.values()])
    assert (found.sum(0) == 1).all()  # each image is one of the 25, and only one
    assert found.any(1).all()


def test_cutout_is_a_square_of_half_the_side_cut_off_at_the_border() -> None:
    y = Cutout()(torch.ones(600, 2, 8, 8))
    assert torch.equal(y[:, 0], y[:, 1])
    cut = y[:, 0] == 0
    height, width = cut.any(2).sum(1), cut.any(1).sum(1)
    assert torch.equal(cut.sum((1, 2)), height * width)  # a rectangle without holes
    # Four pixels that start at one of -2 to 6.
    assert height.unique().tolist() == width.unique().tolist() == [2, 3, 4]


def test_cutout_cuts_every_pixel_alike() -> None:
    x = torch.ones(20_000, 1, 4, 4)
    share = (Cutout(0.5)(x) == 0).float().mean((0, 1))
    # The square starts at one of -1 to 3 along each axis: two of the five cut any pixel.
    assert (share - (2 / 5) ** 2).abs().max() < 0.02


@pytest.mark.parametrize(("kind", "argument"), [(Translation, 1.0), (Translation, -0.1), (Cutout, 1.5)])
def test_impossible_shares_are_refused(kind: Callable[[float], Operation], argument: float) -> None:
    with pytest.raises(ValueError, match="share is one of the side"):
        kind(argument)


def test_pixels_move_where_they_are_asked_to() -> None:
    x = torch.arange(8.0).view(1, 2, 2, 2)
    rows, columns = torch.tensor([[[1, 0, 0]]]), torch.tensor([[[1, 0, 1]]])
    assert move_pixels(x, rows, columns).tolist() == [[[[3.0, 0.0, 1.0]], [[7.0, 4.0, 5.0]]]]


# --- gradients ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", [Brightness(), Saturation(), Contrast(), Translation(), Cutout(), Colour()])
def test_gradients_flow_twice_through_every_operation(operation: Operation) -> None:
    def change(x: Tensor) -> Tensor:
        torch.manual_seed(1)
        return operation(x)

    x = images(2, 3, 4).double().requires_grad_()
    assert torch.autograd.gradcheck(change, x)
    assert torch.autograd.gradgradcheck(lambda x: change(x).pow(3), x)


# --- in a GAN -----------------------------------------------------------------------------------------------


class Times(Augmentation):
    """x -> 3 x, and remembers how often it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[bool] = []

    def change(self, x: Tensor) -> Tensor:
        self.asked.append(x.requires_grad)
        return 3 * x


def test_reals_and_fakes_are_augmented_and_the_gradient_reaches_g() -> None:
    G, D = mlps()
    augment = Times()
    module = GAN(G, D, augment=augment)
    x, y = batches(1)[0]
    module.d_loss(x, y)
    assert augment.asked == [False, False]
    module.g_loss(x, y)["g/adv"].backward()
    assert augment.asked == [False, False, True]
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in G.parameters())
    plain = GAN(G, D)
    assert torch.equal(module.judge(x, -x, y, []).real.logits, plain.judge(3 * x, -3 * x, y, []).real.logits)


def test_a_relativistic_loss_sees_augmented_reals_in_both_steps() -> None:
    augment = Times()
    GAN(*mlps(), loss=RelativisticPairing(), augment=augment).g_loss(*batches(1)[0])
    assert len(augment.asked) == 2


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(("kind", "name"), [(R1, "r1"), (R2, "r2")])
def test_a_penalty_looks_before_or_after_the_augmentation(kind: Callable[..., Penalty], name: str, after: bool) -> None:
    module = GAN(mlps()[0], LinearCritic(2.0), penalties=[kind(1.0, after_augment=after)], augment=Times())
    found = module.d_loss(*batches(1)[0])[f"d/{name}"].item()
    assert found == pytest.approx(0.5 * (2 if after else 3 * 2) ** 2)  # d D(3 x) / d x = 3 w


@pytest.mark.parametrize("after", [False, True])
def test_a_penalty_between_looks_before_or_after_the_augmentation(after: bool) -> None:
    module = GAN(mlps()[0], LinearCritic(2.0), penalties=[GradientPenalty(1.0, after_augment=after)], augment=Times())
    found = module.d_loss(*batches(1)[0])["d/gp"].item()
    assert found == pytest.approx((2 - 1) ** 2 if after else (6 - 1) ** 2, rel=1e-5)


def test_penalties_before_and_after_stand_side_by_side() -> None:
    penalties = [R1(1.0), R2(1.0, after_augment=True)]
    terms = GAN(mlps()[0], LinearCritic(2.0), penalties=penalties, augment=Times()).d_loss(*batches(1)[0])
    assert [terms["d/r1"].item(), terms["d/r2"].item()] == pytest.approx([18.0, 2.0])


def test_no_policy_is_no_augmentation(tmp_path: Path) -> None:
    found = []
    for settings in ({}, {"augment": DiffAugment(policy=[])}):
        module: Any = told_gan(penalties=[R1(2.0), GradientPenalty(1.0)], **settings)
        trainer(tmp_path, max_steps=2).fit(module, datamodule=Finite(batches_with_noise(2)))
        found.append(module.rows)
    assert found[0] == found[1]


def test_half_precision_is_augmented_in_full() -> None:
    x = images(4)
    augment = DiffAugment([Brightness()])
    torch.manual_seed(0)
    expected = augment(x.bfloat16().float())
    torch.manual_seed(0)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(augment(x.bfloat16()), expected)


def test_points_are_refused() -> None:
    with pytest.raises(ValueError, match="DiffAugment changes images, the data are 1-dimensional: remove it"):
        GAN(*mlps(shape=(2,)), augment=DiffAugment()).d_loss(torch.randn(4, 2), torch.zeros(4))


def test_the_policy_is_a_list_of_operations() -> None:
    x = images(8)
    assert [type(part) for part in DiffAugment().policy] == [Colour, Translation, Cutout]
    torch.manual_seed(3)
    expected = Cutout()(Brightness()(x))
    torch.manual_seed(3)
    assert torch.equal(DiffAugment([Brightness(), Cutout()])(x), expected)
    assert DiffAugment()(torch.rand(4, *SHAPE)).shape == (4, *SHAPE)

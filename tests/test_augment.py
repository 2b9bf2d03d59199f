"""Laws of the batch-wise augmentations: parameters of its own for every image, known results by hand."""

import math

import pytest
import torch
from torch.testing import assert_close

from datamodules.augment import Affine, HorizontalFlip, Shift, warp

EVERY = [HorizontalFlip(), Shift(3), Affine(30, (0.8, 1.2), 0.2)]


def images(n: int = 16, side: int = 9) -> torch.Tensor:
    """``n`` copies of one random image in [-1, 1]."""
    generator = torch.Generator().manual_seed(0)
    return (2 * torch.rand(1, 2, side, side, generator=generator) - 1).repeat(n, 1, 1, 1)


@pytest.mark.parametrize("augment", EVERY, ids=lambda a: type(a).__name__)
def test_every_image_has_parameters_of_its_own_and_seeding_repeats_them(augment):
    x = images()
    torch.manual_seed(1)
    first, second = augment(x), augment(x)
    torch.manual_seed(1)
    assert torch.equal(augment(x), first)
    assert not torch.equal(first, second)
    assert any(not torch.equal(first[0], other) for other in first[1:])
    assert (first.shape, first.dtype) == (x.shape, torch.float32)


@pytest.mark.parametrize("augment", [HorizontalFlip(0), Shift(0), Affine(0, (1, 1), 0)], ids=lambda a: type(a).__name__)
def test_with_nothing_to_do_an_image_is_left_as_it_is(augment):
    x = images()
    assert_close(augment(x), x, atol=1e-6, rtol=0)


def test_a_flip_mirrors_left_to_right():
    x = images()
    assert torch.equal(HorizontalFlip(1)(x), x.flip(3))


def test_half_of_the_images_are_flipped():
    torch.manual_seed(0)
    x = images(2000)
    share = (HorizontalFlip(0.5)(x) != x).flatten(1).any(1).double().mean()
    assert abs(share - 0.5) < 0.04


def test_a_shift_moves_whole_pixels_and_fills_the_rest():
    torch.manual_seed(0)
    x = torch.full((4000, 1, 5, 7), 0.5)
    x[:, :, 2, 3] = 1.0
    shifted = Shift(2, fill=-0.25)(x)
    assert set(shifted.unique().tolist()) == {-0.25, 0.5, 1.0}
    _, _, rows, columns = (shifted == 1.0).nonzero(as_tuple=True)
    assert len(rows) == 4000
    places, counts = torch.stack([rows, columns]).unique(dim=1, return_counts=True)
    assert places.shape[1] == 25  # rows 0..4 by columns 1..5
    assert (places.amin(1).tolist(), places.amax(1).tolist()) == ([0, 1], [4, 5])
    assert (counts - 160).abs().max() < 60


def move(x, angle=0.0, scale=1.0, right=0.0, down=0.0, fill=-1.0):
    n = len(x)
    shift = torch.tensor([[right, down]]).repeat(n, 1)
    return warp(x, torch.full((n,), angle), torch.full((n,), scale), shift, fill)


def test_a_quarter_turn_is_counter_clockwise():
    x = images()
    assert_close(move(x, angle=math.pi / 2), x.rot90(1, (2, 3)), atol=1e-5, rtol=0)


def test_a_turn_keeps_the_aspect_of_oblong_images():
    x = torch.full((1, 1, 9, 15), -1.0)
    x[0, 0, 4, 4:11] = 1.0  # a bar of seven pixels lying, then standing
    turned = move(x, angle=math.pi / 2)
    assert_close(turned[0, 0, 1:8, 7], torch.ones(7), atol=1e-5, rtol=0)
    assert abs((turned + 1).sum().item() - 14) < 1e-4


def test_a_move_goes_right_and_down_and_lets_the_fill_in():
    x = images(1, side=8)
    moved = move(x, right=0.25, down=0.125, fill=0.5)
    assert_close(moved[..., 1:, 2:], x[..., :-1, :-2], atol=1e-5, rtol=0)
    assert_close(moved[..., 0, :], torch.full((1, 2, 8), 0.5), atol=1e-5, rtol=0)
    assert_close(moved[..., :2], torch.full((1, 2, 8, 2), 0.5), atol=1e-5, rtol=0)


def test_scaling_enlarges_about_the_centre():
    x = torch.zeros(1, 1, 8, 8)
    x[0, 0, 3:5, 3:5] = 1.0
    large = move(x, scale=2.0, fill=0.0)
    assert abs(large.sum().item() - 16) < 1e-4
    assert_close(large[0, 0, 3:5, 3:5], torch.ones(2, 2))


def test_the_parameters_fill_their_intervals():
    torch.manual_seed(0)
    seen = {}

    def spy(x, angle, scale, shift, fill):
        seen.update(angle=angle, scale=scale, shift=shift)
        return x

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datamodules.augment.warp", spy)
        Affine(90, (0.5, 2.0), 0.25)(images(4000))
    for values, low, high in (
        (seen["angle"], -math.pi / 2, math.pi / 2),
        (seen["scale"], 0.5, 2.0),
        (seen["shift"][:, 0], -0.25, 0.25),
        (seen["shift"][:, 1], -0.25, 0.25),
    ):
        assert low <= values.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < values.max() <= high
    assert abs(torch.corrcoef(torch.stack([seen["angle"], seen["scale"], *seen["shift"].T])).triu(1)).max() < 0.06


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: HorizontalFlip(1.5), "HorizontalFlip's p is 1.5"),
        (lambda: Shift(-1), "Shift's pixels is -1"),
        (lambda: Affine(scale=(0.0, 1.0)), "Affine's scale is"),
        (lambda: Affine(degrees=-1), "Affine's degrees"),
    ],
)
def test_a_wrong_setting_is_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()

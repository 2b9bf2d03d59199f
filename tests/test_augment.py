"""Laws of the batch-wise augmentations: parameters of its own for every image, known results by hand."""

import math
import types

import pytest
import torch
from torch.testing import assert_close
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tv

from datamodules.augment import (
    Affine,
    HorizontalFlip,
    Perspective,
    RandomCrop,
    Rotation,
    Shift,
    VerticalFlip,
    frame_corners,
    move_corners,
    warp,
)
from datamodules.augment_boxes import RandomErasing, RandomResizedCrop
from datamodules.augment_colour import ColourJitter, Dequantise
from datamodules.digits import Digits
from datamodules.functional.quantise import from_uint8

EVERY = [
    *(HorizontalFlip(), VerticalFlip(), Shift(3), RandomCrop(3), RandomCrop(3, reflect=True)),
    *(Affine(30, (0.8, 1.2), 0.2), Rotation(30), Perspective(), RandomResizedCrop(), RandomErasing()),
    *(ColourJitter(), Dequantise()),
]
NOTHING_TO_DO = [
    *(HorizontalFlip(0), VerticalFlip(0), Shift(0), RandomCrop(0), RandomCrop(0, reflect=True)),
    *(Affine(0, (1, 1), 0), Rotation(0), Perspective(0, p=1), Perspective(0.5, p=0)),
    *(RandomResizedCrop((1, 1), (1, 1)), RandomErasing(p=0), ColourJitter(0, 0, 0, 0)),
]


def images(n: int = 16, side: int = 9) -> torch.Tensor:
    """``n`` copies of one random image in [-1, 1]."""
    generator = torch.Generator().manual_seed(0)
    return (2 * torch.rand(1, 3, side, side, generator=generator) - 1).repeat(n, 1, 1, 1)


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


@pytest.mark.parametrize("augment", EVERY, ids=lambda a: type(a).__name__)
def test_the_value_range_is_kept_and_the_batch_given_is_left_alone(augment):
    x = images(200)
    x[:100] = x[:100].sign()  # the ends of the range, all over
    given = x.clone()
    y = augment(x)
    assert torch.equal(x, given)
    assert y.min() >= -1 - 1e-6
    assert y.max() <= 1 + 1e-6


def test_labels_stay_and_training_alone_is_augmented(monkeypatch):
    data = Digits(size=8, augment=[HorizontalFlip(1), Rotation(), Dequantise()])
    batch = (data.reference("train")[:9], torch.arange(9))
    trainer = types.SimpleNamespace(training=True, global_rank=0)
    monkeypatch.setattr(data, "trainer", trainer)
    monkeypatch.setattr(type(data), "consumed_images", 0)
    x, y = data.on_after_batch_transfer(batch, 0)
    again, _ = data.on_after_batch_transfer(batch, 0)
    trainer.training = False
    plain, _ = data.on_after_batch_transfer(batch, 0)
    assert y is batch[1]
    assert torch.equal(x, again)
    assert torch.equal(plain, from_uint8(batch[0]))
    assert (x != plain).flatten(1).any(1).all()


@pytest.mark.parametrize("augment", NOTHING_TO_DO, ids=lambda a: type(a).__name__)
def test_with_nothing_to_do_an_image_is_left_as_it_is(augment):
    x = images()
    assert_close(augment(x), x, atol=2e-6, rtol=0)


def test_a_flip_mirrors_left_to_right_or_top_to_bottom():
    x = images()
    assert torch.equal(HorizontalFlip(1)(x), tv.hflip(x))
    assert torch.equal(VerticalFlip(1)(x), tv.vflip(x))


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
    assert_close(moved[..., 0, :], torch.full((1, 3, 8), 0.5), atol=1e-5, rtol=0)
    assert_close(moved[..., :2], torch.full((1, 3, 8, 2), 0.5), atol=1e-5, rtol=0)


def test_turns_agree_with_torchvision_on_each_image():
    x = torch.rand(12, 3, 10, 14, generator=torch.Generator().manual_seed(0))
    angles = torch.linspace(-80, 70, 12)
    ours = warp(x, angles.deg2rad(), torch.ones(12), torch.zeros(12, 2), fill=0.0)
    theirs = [
        tv.rotate(image, angle.item(), v2.InterpolationMode.BILINEAR) for image, angle in zip(x, angles, strict=True)
    ]
    assert_close(ours, torch.stack(theirs), atol=2e-5, rtol=0)


def test_a_rotation_is_an_affine_map_that_only_turns():
    x = images()
    torch.manual_seed(0)
    turned = Rotation(25, fill=0.0)(x)
    torch.manual_seed(0)
    assert torch.equal(Affine(25, (1, 1), 0, fill=0.0)(x), turned)


def test_a_crop_with_constant_padding_is_a_shift():
    x = images()
    torch.manual_seed(0)
    cropped = RandomCrop(3, fill=0.25)(x)
    torch.manual_seed(0)
    assert torch.equal(Shift(3, fill=0.25)(x), cropped)


def test_a_reflecting_crop_is_one_of_torchvisions_crops():
    x = images(400, side=6)
    padded = tv.pad(x[0], [2], padding_mode="reflect")
    windows = [tv.crop(padded, top, left, 6, 6) for top in range(5) for left in range(5)]
    torch.manual_seed(0)
    crops = RandomCrop(2, reflect=True)(x)
    matches = torch.stack([(crops == window).flatten(1).all(1) for window in windows])
    assert (matches.sum(0) == 1).all()
    assert matches.any(1).all()


def test_a_crop_cannot_mirror_more_than_there_is():
    with pytest.raises(ValueError, match="RandomCrop's padding is 6 and the image 6 wide, 6 high"):
        RandomCrop(6, reflect=True)(images(2, side=6))


def test_a_perspective_agrees_with_torchvision_on_each_image():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(12, 3, 10, 14, generator=generator)
    frame = frame_corners(x.device)
    corners = frame * (1 - 0.6 * torch.rand(12, 4, 2, generator=generator))
    ours = move_corners(x, corners, fill=0.0)
    start, ends = (((points + 1) / 2 * torch.tensor([14, 10])).tolist() for points in (frame, corners))
    theirs = [tv.perspective(image, start, end) for image, end in zip(x, ends, strict=True)]
    assert_close(ours, torch.stack(theirs), atol=2e-4, rtol=0)


def test_halving_the_distance_of_all_corners_halves_the_image():
    x = torch.ones(1, 1, 8, 8)
    small = move_corners(x, frame_corners(x.device)[None] / 2, fill=0.0)
    expected = torch.zeros(1, 1, 8, 8)
    expected[..., 2:6, 2:6] = 1.0
    assert_close(small, expected, atol=1e-5, rtol=0)


def test_corners_move_inwards_each_on_its_own_over_the_whole_interval(monkeypatch):
    seen = []
    monkeypatch.setattr("datamodules.augment.move_corners", lambda x, corners, fill: seen.append(corners) or x)
    torch.manual_seed(0)
    Perspective(0.6, p=1)(images(4000))
    inwards = 1 - seen[0] * frame_corners(seen[0].device)  # the frame's are 1 or -1
    assert (inwards.amin(0) >= -1e-6).all()
    assert (inwards.amin(0) < 0.006).all()
    assert (inwards.amax(0) > 0.594).all()
    assert (inwards.amax(0) <= 0.6 + 1e-6).all()
    assert torch.corrcoef(inwards.flatten(1).T).triu(1).abs().max() < 0.06


def test_a_horizon_through_a_pixel_is_filled():
    corners = torch.tensor([[[-0.2, -0.5], [0.2, -0.5], [-1.0, 1.0], [1.0, 1.0]]])  # its sides meet at (0, -0.875)
    seen = move_corners(torch.ones(1, 1, 8, 9), corners, fill=-1.0)
    assert (seen[..., :2, :] == -1).all()
    assert_close(seen[..., 6, 4], torch.ones(1, 1))


def test_perspectives_are_finite_and_change_a_share_of_the_images():
    torch.manual_seed(0)
    x = images(3000)
    changed = Perspective(0.66, p=0.3)(x)
    assert changed.isfinite().all()
    share = (changed != x).flatten(1).any(1).double().mean()
    assert abs(share - 0.3) < 0.04


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
        (lambda: VerticalFlip(-0.1), "VerticalFlip's p is -0.1"),
        (lambda: RandomCrop(-1), "RandomCrop's padding is -1"),
        (lambda: Perspective(p=2), "Perspective's p is 2"),
        (lambda: Perspective(0.7), "Perspective's distortion is 0.7"),
    ],
)
def test_a_wrong_setting_is_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()

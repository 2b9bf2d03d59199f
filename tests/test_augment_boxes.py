"""Laws of the augmentations by boxes: torchvision's crops, boxes within their bounds, boxes of every place."""

import pytest
import torch
from torch.testing import assert_close
from torchvision.transforms.v2 import functional as tv

from datamodules.augment_boxes import Boxes, RandomErasing, RandomResizedCrop, draw_boxes, inside, show_boxes

RATIO = (3 / 4, 4 / 3)


def noise(n: int, height: int = 12, width: int = 16) -> torch.Tensor:
    return torch.rand(n, 3, height, width, generator=torch.Generator().manual_seed(0))


def listed(boxes: Boxes) -> list[list[int]]:
    return torch.stack(list(boxes), dim=1).tolist()


def test_a_box_is_shown_as_torchvision_shows_it():
    x = noise(40)
    torch.manual_seed(0)
    boxes, _ = draw_boxes(x, (0.08, 1.0), RATIO)
    theirs = [tv.resized_crop(image, *box, size=[12, 16]) for image, box in zip(x, listed(boxes), strict=True)]
    assert_close(show_boxes(x, boxes), torch.stack(theirs), atol=1e-5, rtol=0)


def test_the_augmentation_shows_its_own_boxes():
    x = noise(40)
    torch.manual_seed(0)
    shown = RandomResizedCrop((0.08, 0.5))(x)
    torch.manual_seed(0)
    boxes, fit = draw_boxes(x, (0.08, 0.5), RATIO)
    assert fit.all()
    assert torch.equal(shown, show_boxes(x, boxes))


@pytest.mark.parametrize(("height", "width", "box"), [(8, 32, (0, 11, 8, 10)), (32, 8, (11, 0, 10, 8))])
def test_where_no_box_fits_the_largest_of_the_ratio_in_the_middle_is_shown(height, width, box):
    x = noise(5, height, width)
    ratio = (1 / 1.25, 1.25)
    shown = RandomResizedCrop((1.0, 1.0), ratio)(x)
    assert_close(shown, tv.resized_crop(x, *box, size=[height, width]), atol=1e-5, rtol=0)


def test_boxes_keep_their_bounds_and_reach_every_place():
    torch.manual_seed(0)
    x = torch.zeros(20_000, 1, 24, 20)
    (top, left, height, width), fit = draw_boxes(x, (0.1, 0.5), (0.5, 2.0))
    assert fit.all()
    area = (height * width).double() / (24 * 20)
    assert 0.1 - 0.02 < area.min() < 0.12
    assert 0.48 < area.max() < 0.5 + 0.03  # sides are rounded to whole pixels
    assert abs(area.mean() - 0.3) < 0.01
    aspect = (width / height).log()
    assert abs(aspect.mean()) < 0.02  # log-uniform: as often lying as standing
    assert (aspect.exp().min() < 0.55, aspect.exp().max() > 1.8) == (True, True)
    assert (top.min().item(), left.min().item()) == (0, 0)
    assert ((top + height).max().item(), (left + width).max().item()) == (24, 20)
    free = height < 24
    assert abs((top[free] / (24 - height[free])).double().mean() - 0.5) < 0.01


def test_a_box_is_erased_as_torchvision_erases_it():
    x = noise(40)
    torch.manual_seed(0)
    erased = RandomErasing(p=1, fill=(0.5, 0.5))(x)
    torch.manual_seed(0)
    boxes, fit = draw_boxes(x, (0.02, 0.4), (0.3, 1 / 0.3))
    assert fit.all()
    value = torch.tensor(0.5).view(1, 1, 1)
    theirs = [tv.erase(image, *box, value) for image, box in zip(x, listed(boxes), strict=True)]
    assert torch.equal(erased, torch.stack(theirs))


def test_a_share_of_the_images_is_erased_by_noise():
    torch.manual_seed(0)
    x = torch.full((3000, 2, 16, 16), 7.0)
    y = RandomErasing(p=0.25, fill=(-0.5, 1.0))(x)
    changed = y != 7.0
    assert abs(changed.flatten(1).any(1).double().mean() - 0.25) < 0.03
    assert torch.equal(changed[:, 0], changed[:, 1])
    noise = y[changed]
    assert -0.5 <= noise.min() < -0.499 < 0.999 < noise.max() <= 1.0
    assert abs(noise.mean() - 0.25) < 0.01


def test_an_image_that_no_box_fits_stays_whole():
    x = noise(20, 4, 64)
    assert torch.equal(RandomErasing(p=1, scale=(0.9, 0.9), ratio=(1.0, 1.0))(x), x)


def test_pixels_inside_are_those_of_the_box():
    boxes = Boxes(*(torch.tensor([value, other]) for value, other in ((1, 0), (2, 0), (2, 3), (1, 4))))
    mask = inside(torch.zeros(2, 3, 3, 4), boxes)
    by_hand = torch.zeros(2, 1, 3, 4, dtype=torch.bool)
    by_hand[0, 0, 1:3, 2] = True
    by_hand[1] = True
    assert torch.equal(mask, by_hand)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: RandomResizedCrop(scale=(0.0, 1.0)), "RandomResizedCrop's scale is"),
        (lambda: RandomResizedCrop(scale=(0.5, 1.1)), "RandomResizedCrop's scale is"),
        (lambda: RandomResizedCrop(ratio=(2.0, 1.0)), "RandomResizedCrop's ratio is"),
        (lambda: RandomErasing(p=-1), "RandomErasing's p is -1"),
        (lambda: RandomErasing(scale=(0.3, 0.2)), "RandomErasing's scale is"),
        (lambda: RandomErasing(fill=(1.0, 0.0)), "RandomErasing's fill is"),
    ],
)
def test_a_wrong_setting_is_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()

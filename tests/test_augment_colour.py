"""Laws of colour jitter and dequantisation: torchvision's functions, image by image; levels and their cells."""

import pytest
import torch
from torch.testing import assert_close
from torchvision.transforms.v2 import functional as tv

from datamodules.augment_colour import (
    ColourJitter,
    Dequantise,
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
    luma,
)
from datamodules.functional.quantise import from_uint8

# torchvision's luma weights have four digits and sum to 0.9999
LUMA_TOLERANCE = 3e-4


def colours(n: int = 12, channels: int = 3) -> torch.Tensor:
    x = torch.rand(n, channels, 5, 7, generator=torch.Generator().manual_seed(0))
    x[0, :, 0] = torch.tensor([0.0, 0.5, 1.0]).repeat(3)[:7]  # gray ones, black and white
    return x


def per_image(values: torch.Tensor) -> torch.Tensor:
    return values.view(-1, 1, 1, 1)


@pytest.mark.parametrize(
    ("ours", "theirs", "values", "tolerance"),
    [
        (adjust_brightness, tv.adjust_brightness, torch.linspace(0, 2.5, 12), 1e-6),
        (adjust_contrast, tv.adjust_contrast, torch.linspace(0, 2.5, 12), LUMA_TOLERANCE),
        (adjust_saturation, tv.adjust_saturation, torch.linspace(0, 2.5, 12), LUMA_TOLERANCE),
        (adjust_hue, tv.adjust_hue, torch.linspace(-0.5, 0.5, 12), 1e-5),
    ],
)
def test_each_image_is_adjusted_as_torchvision_does_it(ours, theirs, values, tolerance):
    x = colours()
    expected = torch.stack([theirs(image, value.item()) for image, value in zip(x, values, strict=True)])
    assert_close(ours(x, per_image(values)), expected, atol=tolerance, rtol=0)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("value_range", [(-1.0, 1.0), (0.0, 1.0)])
def test_jitter_is_the_four_adjustments_in_order(channels, value_range):
    low, high = value_range
    x = colours(channels=channels)
    torch.manual_seed(0)
    ours = ColourJitter(0.5, 1.5, 0.25, 0.3, value_range)(x * (high - low) + low)
    torch.manual_seed(0)
    draws = torch.rand(4, 12)
    for image, y, (b, c, s, h) in zip(x, ours, draws.T, strict=True):
        image = tv.adjust_brightness(image, 0.5 + b.item())
        image = tv.adjust_contrast(image, 2.5 * c.item())  # not below 0
        image = tv.adjust_saturation(image, 0.75 + 0.5 * s.item())
        image = tv.adjust_hue(image, (2 * h.item() - 1) * 0.3)
        assert_close(y, image * (high - low) + low, atol=4 * LUMA_TOLERANCE, rtol=0)


def test_pure_colours_turn_by_thirds_and_by_halves():
    red, green, blue = torch.eye(3).view(3, 1, 3, 1, 1)
    third = per_image(torch.tensor([1 / 3]))
    assert_close(adjust_hue(red, third), green)
    assert_close(adjust_hue(green, third), blue)
    assert_close(adjust_hue(blue, third), red)
    assert_close(adjust_hue(red, per_image(torch.tensor([0.5]))), green + blue)


def test_gray_has_neither_saturation_nor_hue_and_keeps_its_luma():
    gray = torch.linspace(0, 1, 12).view(12, 1, 1, 1).expand(12, 3, 2, 2)
    anything = per_image(torch.linspace(0, 0.5, 12))
    assert_close(luma(gray), gray[:, :1])
    assert_close(adjust_saturation(gray, anything), gray)
    assert torch.equal(adjust_hue(gray, anything), gray)


def test_other_images_than_gray_and_rgb_are_refused():
    with pytest.raises(ValueError, match="have 2 channels"):
        ColourJitter()(torch.zeros(1, 2, 4, 4))


def levels(repeats: int = 500) -> torch.Tensor:
    """Every 8-bit level ``repeats`` times."""
    return torch.arange(256, dtype=torch.uint8).repeat(repeats).view(repeats, 1, 16, 16)


@pytest.mark.parametrize(("squeeze", "scale"), [(True, 128.0), (False, 127.5)])
def test_a_level_becomes_uniform_on_its_cell(squeeze, scale):
    torch.manual_seed(0)
    v = levels()
    noise = 128 * (Dequantise(squeeze)(from_uint8(v)).double() - (v.double() / scale - 1))
    assert -1e-4 < noise.min() < 1e-3  # 1e-4: float32 near 1, times 128
    assert 1 - 1e-3 < noise.max() < 1 + 1e-4
    assert abs(noise.mean() - 1 / 2) < 4e-3
    assert abs(noise.var() - 1 / 12) < 2e-3
    assert noise.unique().numel() > 10_000


def test_squeezed_levels_fill_the_range_without_gaps_or_overlap():
    torch.manual_seed(0)
    x = Dequantise()(from_uint8(levels()))
    assert x.min() >= -1
    assert x.max() <= 1
    counts = ((x + 1) * 128).long().clamp(0, 255).flatten().bincount()
    assert counts.tolist() == pytest.approx([500] * 256, abs=1)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ColourJitter(brightness=-1), "ColourJitter's brightness, contrast and saturation are -1"),
        (lambda: ColourJitter(hue=0.6), "ColourJitter's hue is 0.6"),
        (lambda: ColourJitter(value_range=(1.0, 0.0)), "ColourJitter's value_range is"),
    ],
)
def test_a_wrong_setting_is_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()

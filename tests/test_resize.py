"""Exact bicubic resizing: files that MATLAB made, exact rational arithmetic, and the order of its two passes."""

import math
import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from datamodules.functional.resize import Border, bicubic_by, bicubic_to


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def read(file: Path) -> Tensor:
    pixels = torch.from_numpy(np.array(Image.open(file)))
    return (pixels[None] if pixels.dim() == 2 else pixels.permute(2, 0, 1))[None]


@pytest.mark.parametrize(("name", "count"), [("Set5", 5), ("Set14", 14)])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_files_of_matlab_bit_for_bit(name: str, count: int, scale: int) -> None:
    if "ATELIER_DATA" not in os.environ:
        pytest.skip("ATELIER_DATA is not set: the SelfExSR files are not here")
    folder = Path(os.environ["ATELIER_DATA"], "SelfExSR", name, f"image_SRF_{scale}")
    files = sorted(folder.glob("*_HR.png"))
    assert len(files) == count
    for file in files:
        small = read(file.with_name(file.name.replace("_HR", "_LR")))
        assert torch.equal(bicubic_by(read(file), 1 / scale, "clamp"), small), file.name


def exact_line(line: list[int], length: int, scale: Fraction, border: str) -> list[int]:
    """One row or column in rational arithmetic, written from the definition."""

    def kernel(x: Fraction) -> Fraction:
        x = abs(x)
        if x <= 1:
            return Fraction(3, 2) * x**3 - Fraction(5, 2) * x**2 + 1
        return -Fraction(1, 2) * x**3 + Fraction(5, 2) * x**2 - 4 * x + 2 if x < 2 else Fraction(0)

    n, stretch, out = len(line), min(scale, Fraction(1)), []
    for k in range(length):
        centre = (k + Fraction(1, 2)) / scale - Fraction(1, 2)
        total, norm = Fraction(0), Fraction(0)
        for j in range(math.floor(centre - 2 / stretch), math.ceil(centre + 2 / stretch) + 1):
            period = j % (2 * n)
            place = min(max(j, 0), n - 1) if border == "clamp" else min(period, 2 * n - 1 - period)
            weight = kernel((centre - j) * stretch)
            total, norm = total + weight * line[place], norm + weight
        out.append(min(max(math.floor(total / norm + Fraction(1, 2)), 0), 255))
    return out


def exact(image: Tensor, scale: Fraction, border: str) -> Tensor:
    H, W = (math.ceil(length * scale) for length in image.shape)
    columns = [exact_line(column.tolist(), H, scale, border) for column in image.T]
    rows = [exact_line(list(row), W, scale, border) for row in zip(*columns, strict=True)]
    return torch.tensor(rows, dtype=torch.uint8)


@pytest.mark.parametrize("border", ["mirror", "clamp"])
@pytest.mark.parametrize("scale", ["1/2", "1/4", "3/8", "2", "4", "5/2"])
def test_equals_rational_arithmetic(scale: str, border: Border) -> None:
    # Weights of powers of two are exact floats; by the others this image meets no tie, which rounding errors decide.
    image = noise(9, 14)
    ours = bicubic_by(image[None, None], float(Fraction(scale)), border)[0, 0]
    assert torch.equal(ours, exact(image, Fraction(scale), border))


def test_an_impulse_enlarged_by_hand() -> None:
    # Twice as large, output pixels lie 1/4 and 3/4 from the inputs: the kernel is 111/128 and 29/128 there,
    # -9/128 and -3/128 further out. Of 128 in a row of zeros, with what is negative cut off:
    line = torch.tensor([0, 0, 0, 128, 0, 0, 0], dtype=torch.uint8)
    rows = line.expand(1, 1, 2, 7)
    row = [0, 0, 0, 0, 0, 29, 111, 111, 29, 0, 0, 0, 0, 0]
    assert bicubic_by(rows, 2)[0, 0].tolist() == [row] * 4
    bright = bicubic_by(255 - rows, 2)[0, 0, 0].tolist()  # the same upside down: what is above 255 is cut off
    assert bright == [255 - value for value in row]
    grey = bicubic_by(rows + 100, 2)[0, 0, 0].tolist()  # and here the negative lobes show
    assert grey == [100, 100, 100, 97, 91, 129, 211, 211, 129, 91, 97, 100, 100, 100]


@pytest.mark.parametrize("scale", [0.5, 1 / 3, 3.0])
def test_mirror_is_what_a_mirrored_image_gives_inside(scale: float) -> None:
    image = noise(1, 3, 24, 30)
    wide = torch.cat((image.flip(3)[..., 12:], image, image.flip(3)[..., :18]), 3)
    large = torch.cat((wide.flip(2)[:, :, 12:], wide, wide.flip(2)[:, :, :12]), 2)
    left, top = round(18 * scale), round(12 * scale)
    small = bicubic_by(image, scale)
    inside = bicubic_by(large, scale)[:, :, top : top + small.shape[2], left : left + small.shape[3]]
    assert torch.equal(small, inside)


def test_borders_differ_in_the_outer_pixels_only() -> None:
    image = noise(1, 1, 40, 40)
    mirror, clamp = bicubic_by(image, 0.25), bicubic_by(image, 0.25, "clamp")
    assert torch.equal(mirror[..., 3:-3, 3:-3], clamp[..., 3:-3, 3:-3])
    assert not torch.equal(mirror, clamp)


def test_equal_scales_run_down_the_columns_first() -> None:
    image = noise(1, 1, 40, 32)
    columns_first = bicubic_to(bicubic_to(image, (20, 32)), (20, 16))
    rows_first = bicubic_to(bicubic_to(image, (40, 16)), (20, 16))
    assert torch.equal(bicubic_by(image, 0.5), columns_first)
    assert not torch.equal(columns_first, rows_first)


def test_the_axis_that_shrinks_most_runs_first() -> None:
    image = noise(1, 1, 40, 32)
    rows_first = bicubic_to(bicubic_to(image, (40, 8)), (20, 8))
    assert torch.equal(bicubic_to(image, (20, 8)), rows_first)
    assert not torch.equal(bicubic_to(bicubic_to(image, (20, 32)), (20, 8)), rows_first)


def test_sides_round_up_and_the_scale_stays() -> None:
    image = noise(1, 1, 21, 30)
    by = bicubic_by(image, 0.5)
    assert by.shape == (1, 1, 11, 15)
    assert not torch.equal(by, bicubic_to(image, (11, 15)))  # whose scale is 11/21
    assert torch.equal(bicubic_by(image[:, :, :20], 0.5), bicubic_to(image[:, :, :20], (10, 15)))


@pytest.mark.parametrize("scale", [0.3, 1.0, 2.0])
def test_a_flat_image_stays_flat_and_scale_one_changes_nothing(scale: float) -> None:
    assert bicubic_by(torch.full((1, 1, 9, 9), 77, dtype=torch.uint8), scale).unique().tolist() == [77]
    image = noise(1, 3, 9, 9)
    assert torch.equal(bicubic_by(image, 1.0), image)


def test_a_batch_is_its_images_one_by_one() -> None:
    batch = noise(3, 3, 17, 12)
    single = torch.cat([bicubic_by(image[None, channel : channel + 1], 0.4) for image in batch for channel in range(3)])
    assert torch.equal(bicubic_by(batch, 0.4).view_as(single), single)


@pytest.mark.gpu
@pytest.mark.parametrize("scale", [0.5, 1 / 3, 0.25, 2.0, 3.0, 4.0, 0.7])
def test_a_gpu_gives_the_same_bits(scale: float) -> None:
    batch = noise(4, 3, 96, 120)
    assert torch.equal(bicubic_by(batch.cuda(), scale).cpu(), bicubic_by(batch, scale))


@pytest.mark.parametrize(
    ("image", "scale", "border", "message"),
    [
        (torch.rand(1, 3, 8, 8), 0.5, "mirror", r"needs uint8 images \[N, C, H, W\], these are torch.float32"),
        (noise(3, 8, 8), 0.5, "mirror", r"\[3, 8, 8\]"),
        (noise(0, 3, 8, 8), 0.5, "mirror", r"\[0, 3, 8, 8\]"),
        (noise(1, 3, 8, 8), 0.0, "mirror", "cannot be resized by 0.0: give a scale above 0"),
        (noise(1, 3, 8, 8), math.nan, "mirror", "cannot be resized by nan"),
        (noise(1, 3, 8, 8), 0.5, "reflect", "border 'reflect' is unknown: choose one of mirror, clamp"),
    ],
)
def test_bad_input(image: Tensor, scale: float, border: Border, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bicubic_by(image, scale, border)


def test_an_empty_size_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be resized to 0x4"):
        bicubic_to(noise(1, 1, 8, 8), (0, 4))

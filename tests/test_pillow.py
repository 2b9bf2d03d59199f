"""Pillow's resize on batches equals Pillow's own."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from datamodules.functional.pillow import Kernel, cubic, resize_bytes, resize_floats, triangle, weights

KERNELS = [(triangle, Image.Resampling.BILINEAR), (cubic, Image.Resampling.BICUBIC)]
SIDES = [(32, 32), (512, 512), (299, 64), (300, 512), (1, 1)]  # none whose columns come first


def picture(height: int, width: int) -> Tensor:
    noise = torch.Generator().manual_seed(height)
    return torch.randint(256, (2, 3, height, width), generator=noise, dtype=torch.uint8)


@pytest.mark.parametrize("sides", SIDES)
@pytest.mark.parametrize(("kernel", "theirs"), KERNELS)
def test_bytes_equal_pillows_to_the_bit(sides: tuple[int, int], kernel: Kernel, theirs: Image.Resampling) -> None:
    image = picture(*sides)
    wanted = [np.array(Image.fromarray(one.permute(1, 2, 0).numpy()).resize((299, 299), theirs)) for one in image]
    assert torch.equal(resize_bytes(image, 299, kernel), torch.from_numpy(np.stack(wanted)).permute(0, 3, 1, 2))


@pytest.mark.parametrize("sides", SIDES)
@pytest.mark.parametrize(("kernel", "theirs"), KERNELS)
def test_floats_equal_pillows_to_two_roundings_of_float32(
    sides: tuple[int, int], kernel: Kernel, theirs: Image.Resampling
) -> None:
    image = picture(*sides)
    channels = image.flatten(0, 1).float().numpy()
    wanted = [np.array(Image.fromarray(one, mode="F").resize((299, 299), theirs)) for one in channels]
    difference = resize_floats(image, 299, kernel).flatten(0, 1) - torch.from_numpy(np.stack(wanted))
    assert difference.abs().max() <= 2 * 2**-15  # of numbers between 256 and 512; one a pass


def test_weights_by_hand() -> None:
    assert torch.equal(weights(2, 1, triangle), torch.tensor([[0.5, 0.5]], dtype=torch.float64))
    # From 2 to 4 pixels the centres lie at 0.25, 0.75, 1.25 and 1.75; the outer ones see one pixel more than half.
    wanted = torch.tensor([[1.0, 0.0], [0.75, 0.25], [0.25, 0.75], [0.0, 1.0]], dtype=torch.float64)
    assert torch.allclose(weights(2, 4, triangle), wanted)

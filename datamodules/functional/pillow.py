"""Pillow's antialiased resize on batches: to the bit for bytes, as protocols of scores ask for it.

    weight of input j for output i = kernel((j + 1/2 - c_i) / s) / sum over j,   c_i = (i + 1/2) in / out

with s = max(in / out, 1): the kernel widens where the image shrinks. First along the rows, then along the columns: so
did Pillow when scores were published; since version 13 it takes the columns first where the height shrinks much more
than the width. For bytes the weights are whole multiples of 2^-22 and each pass rounds to a byte (Pillow's
``Resample.c``); float images keep float32.
"""

from collections.abc import Callable

import torch
from torch import Tensor

PRECISION = 2**22
Kernel = Callable[[Tensor], Tensor]


def triangle(x: Tensor) -> Tensor:
    """Pillow's BILINEAR."""
    return (1 - x.abs()).clamp_min(0)


def cubic(x: Tensor) -> Tensor:
    """Pillow's BICUBIC: Keys's kernel with a = -1/2."""
    x, a = x.abs(), -0.5
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return torch.where(x < 1, near, torch.where(x < 2, far, 0.0))


SUPPORT: dict[Kernel, float] = {triangle: 1.0, cubic: 2.0}


def weights(before: int, after: int, kernel: Kernel) -> Tensor:
    """The matrix [after, before], float64, by which a side of ``before`` pixels becomes one of ``after``."""
    stretch = max(before / after, 1.0)
    centre = (torch.arange(after, dtype=torch.float64)[:, None] + 0.5) * (before / after)
    place = torch.arange(before, dtype=torch.float64)
    reach = SUPPORT[kernel] * stretch
    first, last = (centre - reach + 0.5).trunc().clamp_min(0), (centre + reach + 0.5).trunc()
    weight = kernel((place - centre + 0.5) * (1 / stretch)).where((place >= first) & (place < last), 0.0)
    return weight / weight.sum(1, keepdim=True)


def resize_bytes(image: Tensor, size: int, kernel: Kernel = triangle) -> Tensor:
    """``image`` uint8 [N, C, H, W] to uint8 [N, C, size, size], as Pillow resizes 8-bit images."""
    for dim in (3, 2):
        whole = weights(image.shape[dim], size, kernel).to(image.device) * PRECISION
        whole = (whole + torch.copysign(torch.tensor(0.5, dtype=torch.float64), whole)).trunc()
        # Whole numbers far below 2^53, so that sums of doubles are exact.
        total = _along(image.double(), whole, dim) + PRECISION / 2
        image = (total / PRECISION).floor().clamp(0, 255).to(torch.uint8)
    return image


def resize_floats(image: Tensor, size: int, kernel: Kernel = cubic) -> Tensor:
    """``image`` [N, C, H, W] to float32 [N, C, size, size], as Pillow resizes images of mode "F", one channel each."""
    for dim in (3, 2):
        image = _along(image.double(), weights(image.shape[dim], size, kernel).to(image.device), dim).float()
    return image


def _along(image: Tensor, weight: Tensor, dim: int) -> Tensor:
    return image @ weight.T if dim == 3 else weight @ image

"""Bicubic resizing of 8-bit images, bit for bit as MATLAB's ``imresize`` does it: what super-resolution is measured on.

Keys 1981, "Cubic convolution interpolation for digital image processing", with a = -1/2. Where it shrinks, the kernel
is stretched by 1 / scale (antialiasing) and the weights of each output pixel are normalised to sum 1. The two axes are
filtered one after the other and each result is rounded (half up) to 8 bits: the axis that shrinks most first, the
vertical one where both scales are equal.

Other resizers differ: Pillow and OpenCV in kernel or antialiasing, BasicSR and MMagic by keeping floats between the
axes (one grey level in 10 to 15 % of the pixels).
"""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from datamodules.functional.constants import made_once

Border = Literal["mirror", "clamp"]

_BORDERS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "mirror": lambda index, length: torch.minimum(index % (2 * length), (-1 - index) % (2 * length)),
    "clamp": lambda index, length: index.clamp(0, length - 1),
}
_SUPPORT = 4.0  # width of the kernel at scale 1


def bicubic_by(image: Tensor, scale: float, border: Border = "mirror") -> Tensor:
    """Resize uint8 ``image`` [N, C, H, W] by ``scale``, as ``imresize(A, scale)``.

    Args:
        image: on any device, with the same result.
        scale: below 1 shrinks. A side of L pixels becomes one of ceil(L scale).
        border: beyond the image: "mirror" (symmetric: MATLAB of today) or "clamp" (replicate: MATLAB of old, by which
            the SelfExSR test sets were made). They differ in the outer pixels only.

    Returns:
        uint8 [N, C, ceil(H scale), ceil(W scale)].

    Raises:
        ValueError: if the image is not uint8 [N, C, H, W], or the scale is not a positive number.
    """
    if not (math.isfinite(scale) and scale > 0):
        raise ValueError(f"An image cannot be resized by {scale}: give a scale above 0.")
    _check(image, border)
    H, W = (math.ceil(length * scale) for length in image.shape[2:])
    return _resize(image, (H, W), (scale, scale), border)


def bicubic_to(image: Tensor, size: tuple[int, int], border: Border = "mirror") -> Tensor:
    """Resize uint8 ``image`` [N, C, H, W] to ``size`` (H, W), as ``imresize(A, size)``; else see ``bicubic_by``."""
    _check(image, border)
    if min(size) < 1:
        raise ValueError(f"An image cannot be resized to {size[0]}x{size[1]}: give a size of at least one pixel.")
    return _resize(image, size, (size[0] / image.shape[2], size[1] / image.shape[3]), border)


def bicubic_floats(image: Tensor, scale: int, border: Border = "mirror") -> Tensor:
    """Enlarge floats [N, C, H, W] by a whole ``scale`` without rounding; gradients pass. Else see ``bicubic_by``."""
    rows, columns = (_matrix_on(image.device, image.dtype, side, scale, border) for side in image.shape[2:])
    with torch.autocast(image.device.type, enabled=False):  # it would round what only its exactness is good for
        return rows @ image @ columns.T


@made_once
def _matrix_on(device: torch.device, dtype: torch.dtype, length: int, scale: int, border: str) -> Tensor:
    return _matrix(length, scale, border).to(device, dtype)


@made_once
def _matrix(length: int, scale: int, border: str) -> Tensor:
    """The enlargement of a side as a matrix, float64 [length * scale, length]."""
    index, weight = _taps(length * scale, scale)
    matrix = torch.zeros(length * scale, length, dtype=torch.float64)
    return matrix.scatter_add_(1, _BORDERS[border](index, length).T, weight.T)


def _check(image: Tensor, border: str) -> None:
    if image.dtype != torch.uint8 or image.dim() != 4 or not image.numel():
        raise ValueError(
            f"Exact bicubic resizing needs uint8 images [N, C, H, W], these are {image.dtype} {list(image.shape)}: "
            "quantise floats with datamodules.functional.quantise.to_uint8."
        )
    if border not in _BORDERS:
        raise ValueError(f"The border {border!r} is unknown: choose one of {', '.join(_BORDERS)}.")


def _resize(image: Tensor, size: tuple[int, int], scales: tuple[float, float], border: str) -> Tensor:
    for axis in sorted((0, 1), key=lambda axis: scales[axis]):
        image = _resize_axis(image, axis + 2, size[axis], scales[axis], border)
    return image


def _resize_axis(image: Tensor, dim: int, length: int, scale: float, border: str) -> Tensor:
    index, weight = _taps(length, scale)
    index = _BORDERS[border](index, image.shape[dim]).to(image.device)
    weight = weight.to(image.device).view(len(weight), *(length if d == dim else 1 for d in range(4)))
    # Tap by tap in float64: one order of summation, hence the same ties, on every device.
    total = image.index_select(dim, index[0]).double() * weight[0]
    for i in range(1, len(index)):
        total += image.index_select(dim, index[i]).double() * weight[i]
    return (total + 0.5).floor_().clamp_(0, 255).to(torch.uint8)


def _taps(length: int, scale: float) -> tuple[Tensor, Tensor]:
    """Which input pixels make each output pixel, and how much of each: index and weight, both [taps, length]."""
    stretch = min(scale, 1.0)
    support = _SUPPORT / stretch
    centre = (torch.arange(length, dtype=torch.float64) + 0.5) / scale - 0.5
    first = (centre - support / 2).floor()
    index = first + torch.arange(math.ceil(support) + 2, dtype=torch.float64)[:, None]
    weight = _kernel((centre - index) * stretch)
    return index.long(), weight / weight.sum(0)


def _kernel(x: Tensor) -> Tensor:
    x = x.abs()
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x <= 1, near, torch.where(x <= 2, far, 0.0))

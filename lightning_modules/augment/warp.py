"""Affine warps of images through the sym6 wavelet (Karras et al. 2020, appendix B.2): a bilinear warp alone would blur.

An image is enlarged twice by the wavelet's low-pass filter f, warped bilinearly there, and brought back by the same
filter. Both changes of size are matrices here: y = Down warp(Up x Up^T) Down^T, and Down Up = I, since f is orthogonal
to its own shifts by two (Daubechies 1992, section 8.1.1; coefficients of the least asymmetric filter of order 6).
Deviation: beyond its border an image is continued by reflection however far one looks; the reflected image repeats
itself after two sides, and one such period is enlarged. The authors' code pads by as much as the batch needs, at most
by one image, which makes shapes depend on the draw.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from datamodules.functional.constants import constant, made_once

# fmt: off
SYM6 = (
    0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633,
    0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252,
    -0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148,
)
# fmt: on
TAPS = len(SYM6)
# Where the filter has its centre of mass: pixel n of the image lies so far behind sample 2 n of the enlarged one.
CENTRE = sum(k * tap for k, tap in enumerate(SYM6)) / sum(SYM6)


def warp(x: Tensor, inverse: Tensor) -> Tensor:
    """``x`` [N, C, H, W] warped by ``inverse`` [N, 2, 3].

    Each takes a pixel's place (column, row, 1), in pixels from the image's centre, to the place in ``x`` that it shows.
    """
    H, W = x.shape[2:]
    place = torch.stack(torch.meshgrid(places(x, W), places(x, H), indexing="xy"), dim=-1)  # [2 H + 10, 2 W + 10, 2]
    source = torch.einsum("nij,hwj->nhwi", inverse[:, :, :2], place) + inverse[:, None, None, :, 2]
    far = constant((W - 1, H - 1), x.device, x.dtype)
    sample = (2 * source + far + CENTRE) % (4 * far)
    warped = Bilinear.apply(up(x, H) @ x @ up(x, W).mT, sample / (2 * far) - 1)
    return down(x, H) @ warped @ down(x, W).mT


class Bilinear(torch.autograd.Function):
    """``grid_sample`` of an image at places that need no gradient, as often differentiable as asked.

    It is linear in the image, so that its derivative is its adjoint and the adjoint's is itself again. PyTorch knows
    the second derivative, which R1 and R2 take through augmented images, from 2.12 on.
    """

    @staticmethod
    def forward(ctx: Any, image: Tensor, grid: Tensor) -> Tensor:
        """``image`` [N, C, H, W] at ``grid`` [N, h, w, 2] in [-1, 1]: [N, C, h, w], 0 beyond the border."""
        ctx.save_for_backward(grid)
        ctx.shape = image.shape
        return grid_sample(image, grid, align_corners=True)

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, None]:
        """The adjoint, of the image alone."""
        return Spread.apply(grad[0], ctx.saved_tensors[0], ctx.shape), None


class Spread(torch.autograd.Function):
    """The adjoint of ``Bilinear``: what is at each place goes to the pixels that it was read from."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, grid: Tensor, shape: torch.Size) -> Tensor:
        """``value`` [N, C, h, w] at ``grid`` [N, h, w, 2]: an image of ``shape``."""
        ctx.save_for_backward(grid)
        image: Tensor = torch.ops.aten.grid_sampler_2d_backward(
            value, value.new_zeros(shape), grid, 0, 0, True, (True, False)
        )[0]
        return image

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, None, None]:
        """The sampling itself."""
        return Bilinear.apply(grad[0], ctx.saved_tensors[0]), None, None


def reflect(place: Tensor, far: int) -> Tensor:
    """``place`` on the line that is folded at 0 and at ``far``, so that it lies between."""
    return far - ((place % (2 * far)) - far).abs()


def places(x: Tensor, side: int) -> Tensor:
    """Where the samples lie from which ``down`` makes ``side`` pixels: pixels from the centre, [2 side + 10]."""
    return (torch.arange(2 * side + TAPS - 2, device=x.device, dtype=x.dtype) - CENTRE) / 2 - (side - 1) / 2


def up(x: Tensor, side: int) -> Tensor:
    """The matrix [4 side - 3, side] that enlarges a period of a row of ``x`` and its reflection, first sample last."""
    return _up(side, x.device, x.dtype)


def down(x: Tensor, side: int) -> Tensor:
    """The matrix [side, 2 side + 10] that makes ``side`` pixels of twice as many samples of rows of ``x``."""
    return _down(side, x.device, x.dtype)


# --- made once for each size, device and type: a tensor of plain numbers halts a device's stream to be copied there


@made_once
def _up(side: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    pixel = torch.arange(1 - TAPS // 2, 2 * side - 1)
    sample = torch.arange(4 * side - 3)
    filtered = 2 * taps_at(sample[:, None] - 2 * pixel, dtype)
    matrix = torch.zeros(len(sample), side, dtype=dtype)
    return matrix.index_add_(1, reflect(pixel, side - 1), filtered).to(device)


@made_once
def _down(side: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    sample = torch.arange(2 * side + TAPS - 2)
    return taps_at(sample - 2 * torch.arange(side)[:, None], dtype).to(device)


def taps_at(index: Tensor, dtype: torch.dtype) -> Tensor:
    """The filter's coefficients at ``index``, 0 outside of it; their sum is 1."""
    taps = torch.tensor(SYM6, dtype=torch.float64)
    known = (index >= 0) & (index < TAPS)
    return ((taps / taps.sum()).to(dtype)[index.clamp(0, TAPS - 1)]) * known

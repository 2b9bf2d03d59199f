"""Shrinking an image by a whole factor with Lanczos's kernel of two lobes: differentiable, for use within a loss.

    L(t) = sinc(t) sinc(t / 2)  for |t| < 2

stretched by the factor: an output pixel is a mean of some 4 factor input pixels a side around its own middle. The
weights sum to 1, and the border repeats the outermost pixel. Turkowski 1990, "Filters for common resampling tasks"; the
downsampler of deep image prior (Ulyanov et al. 2018).
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

LOBES = 2


def lanczos_taps(factor: int) -> tuple[int, Tensor]:
    """Offset of the first input pixel from the first of its block (0 or less), and all weights: float64 [taps]."""
    middle, reach = (factor - 1) / 2, LOBES * factor
    first = math.floor(middle - reach) + 1  # those at the very end of the kernel weigh nothing
    t = (torch.arange(first, factor - first, dtype=torch.float64, device="cpu") - middle) / factor
    weight = torch.sinc(t) * torch.sinc(t / LOBES)
    return first, weight / weight.sum()


def shrink_by(image: Tensor, factor: int) -> Tensor:
    """Floats ``image`` [N, C, H, W] to [N, C, H / factor, W / factor]; values may leave the image's range a little.

    Raises:
        ValueError: a factor below 1, or sides that are no multiple of it.
    """
    H, W = image.shape[2:]
    if factor < 1 or H % factor or W % factor:
        raise ValueError(f"An image of {W} x {H} is not to be shrunk by {factor}: crop it to a multiple of the factor.")
    first, weight = lanczos_taps(factor)
    weight = weight.to(image)
    flat = pad(image.flatten(0, 1)[:, None], [-first] * 4, mode="replicate")
    flat = conv2d(flat, weight.view(1, 1, -1, 1), stride=(factor, 1))
    flat = conv2d(flat, weight.view(1, 1, 1, -1), stride=(1, factor))
    return flat.view(*image.shape[:2], H // factor, W // factor)

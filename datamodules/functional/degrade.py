"""What sensors do to images, as functions of floats in [0, 1]; what they return is not clamped.

Each draws from ``generator``, or where there is none from the global stream of the image's device.
"""

import torch
from torch import Generator, Tensor

LEVELS = 255.0  # grey levels: the unit of sigma in the field's tables


def gaussian(x: Tensor, sigma: float | Tensor, generator: Generator | None = None) -> Tensor:
    """``x`` + N(0, (sigma / 255)^2), independent in each value.

    Args:
        x: [N, C, H, W].
        sigma: standard deviation in grey levels of 255: one for all, or [N], one an image.
        generator: of the same device as ``x``.
    """
    if isinstance(sigma, Tensor):
        sigma = sigma.view(-1, 1, 1, 1)
    noise = torch.randn(x.shape, dtype=x.dtype, device=x.device, generator=generator)
    return x + noise * (sigma / LEVELS)


def poisson(x: Tensor, peak: float | Tensor, generator: Generator | None = None) -> Tensor:
    """Photons counted where a white pixel expects ``peak``, as a share of it: mean x, variance x / peak.

    Args:
        x: [N, C, H, W], nowhere below 0.
        peak: above 0; the fewer photons, the more noise: one for all, or [N], one an image.
        generator: of the same device as ``x``.
    """
    if isinstance(peak, Tensor):
        peak = peak.view(-1, 1, 1, 1)
    return torch.poisson(x * peak, generator) / peak

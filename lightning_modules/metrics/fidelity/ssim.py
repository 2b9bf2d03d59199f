"""Structural similarity, on one scale and on five; one value an image, in float64.

Wang, Bovik, Sheikh and Simoncelli 2004, "Image quality assessment", eq. 13: Gaussian window 11x11 of sigma 1.5,
K = (0.01, 0.03), L = 255, only where the window lies inside the image; variances without Bessel's correction. That is
scikit-image's ``structural_similarity(gaussian_weights=True, sigma=1.5, use_sample_covariance=False)``. Channels are
averaged. Wang, Simoncelli and Bovik 2003, "Multi-scale structural similarity", eq. 7.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from lightning_modules.metrics.fidelity.filters import correlate, gaussian
from lightning_modules.metrics.fidelity.pixelwise import mean_where
from lightning_modules.metrics.fidelity.protocol import PEAK, Pair, not_empty

WINDOW = 11
SIGMA = 1.5
C1 = (0.01 * PEAK) ** 2
C2 = (0.03 * PEAK) ** 2
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


class _Maps(NamedTuple):
    luminance: Tensor  # [N, C, H - 10, W - 10]
    contrast_structure: Tensor


def ssim(images: Pair) -> Tensor:
    """SSIM of each image: [N], float64, at most 1.

    With a hole, the mean runs over the windows whose centre lies in it.

    Raises:
        ValueError: if the images are smaller than the window, or no window's centre lies in the hole.
    """
    _check_size(images.target, WINDOW, "SSIM")
    maps = _maps(images.prediction, images.target)
    inside, margin = images.hole, WINDOW // 2
    if inside is not None:
        inside = not_empty(inside[..., margin:-margin, margin:-margin], "margin that SSIM's window needs")
    return mean_where(maps.luminance * maps.contrast_structure, inside)


def ms_ssim(images: Pair) -> Tensor:
    """Multi-scale SSIM of each image: [N], float64, in [0, 1].

    Between the scales 2x2 pixels are averaged; where a side is odd, its last row counts twice, as in the authors' code.
    Where contrast and structure of a scale correlate negatively, which has no root, the score is 0.

    Raises:
        ValueError: if a side is under 176 pixels, where the window would not fit on the last scale, and for a hole,
            on which it is not defined.
    """
    if images.hole is not None:
        raise ValueError("MS-SSIM is not defined on a hole: use SSIM, or a protocol with hole=False.")
    a, b = images.prediction, images.target
    last = len(SCALE_WEIGHTS) - 1
    _check_size(a, WINDOW * 2**last, "MS-SSIM")
    score = a.new_ones(len(a))
    for i, weight in enumerate(SCALE_WEIGHTS):
        if i:
            a, b = _halve(a), _halve(b)
        maps = _maps(a, b)
        similarity = maps.contrast_structure if i < last else maps.luminance * maps.contrast_structure
        score *= similarity.mean((1, 2, 3)).clamp_min(0) ** weight
    return score


def _check_size(image: Tensor, least: int, what: str) -> None:
    H, W = image.shape[2:]
    if min(H, W) < least:
        raise ValueError(f"{what} needs at least {least}x{least} pixels, and {H}x{W} are left after the shave.")


def _maps(a: Tensor, b: Tensor) -> _Maps:
    mean_a, mean_b, square_a, square_b, product = _blur(torch.stack((a, b, a * a, b * b, a * b)))
    variances = square_a - mean_a**2 + square_b - mean_b**2
    covariance = product - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + C1) / (mean_a**2 + mean_b**2 + C1)
    return _Maps(luminance, (2 * covariance + C2) / (variances + C2))


def _blur(x: Tensor) -> Tensor:
    """Gaussian means of ``x`` [..., H, W] over all windows that lie inside: [..., H - 10, W - 10]."""
    window = gaussian(SIGMA, WINDOW // 2)
    taps = (window / window.sum()).tolist()
    return correlate(correlate(x, taps, -2), taps, -1)


def _halve(x: Tensor) -> Tensor:
    H, W = x.shape[2:]
    return avg_pool2d(pad(x, (0, W % 2, 0, H % 2), mode="replicate"), 2)

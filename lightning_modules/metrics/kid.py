"""Kernel inception distance (Bińkowski et al. 2018, "Demystifying MMD GANs", sec. 4).

    k(x, y) = (x.y / d + 1)^3
    MMD^2 = mean of k(x_i, x_j) over i != j + mean of k(y_i, y_j) over i != j - 2 mean of k(x_i, y_j)

without bias, on random subsets of both sides; mean and (population) standard deviation over the subsets. Subsets are
drawn as torch-fidelity draws them, so that equal features and seeds give equal numbers. All in float64.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lightning_modules.metrics.base import EvaluationMetric, Setting, Statistic, Tensors
from lightning_modules.metrics.gathered import FeatureStore, GatheredFeatures
from lightning_modules.metrics.protocol import Plain


def mmd2(x: Tensor, y: Tensor) -> Tensor:
    """Unbiased squared MMD of ``x`` [n, d] and ``y`` [m, d] under the cubic kernel: a scalar, float64, may be < 0."""
    x, y = x.double(), y.double()
    return _mean_off_diagonal(x) + _mean_off_diagonal(y) - 2 * _kernel(x, y).mean()


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return torch.addmm(x.new_ones(()), x, y.T, alpha=1 / x.shape[1]).pow_(3)


def _mean_off_diagonal(x: Tensor) -> Tensor:
    kernel = _kernel(x, x)
    return (kernel.sum() - kernel.trace()) / (len(x) * (len(x) - 1))


def kid(fake: Tensor, real: Tensor, subsets: int = 100, subset_size: int = 1000, seed: int = 2020) -> Tensor:
    """MMD^2 [subsets] of subsets of ``fake`` [M, d] and ``real`` [N, d], float64."""
    draw = np.random.RandomState(seed)
    values = []
    for _ in range(subsets):
        x, y = (side[torch.from_numpy(_subset(draw, len(side), subset_size)).to(side.device)] for side in (fake, real))
        values.append(mmd2(x, y))
    return torch.stack(values)


def _subset(draw: np.random.RandomState, count: int, size: int) -> np.ndarray:
    return draw.choice(count, size, replace=False)


class KID(GatheredFeatures, EvaluationMetric):
    """``kid`` and ``kid_std``: mean and standard deviation of MMD^2 over subsets.

    Args:
        subsets: how many are drawn.
        subset_size: samples in each, of either side.
        seed: of numpy's ``RandomState``, which draws them; 2020 is torch-fidelity's.

    Raises:
        ValueError: for no subset, or subsets of fewer than two samples.
    """

    names = ("kid", "kid_std")
    higher_is_better = False
    reals: Tensor

    def __init__(self, subsets: int = 100, subset_size: int = 1000, seed: int = 2020) -> None:
        super().__init__()
        if subsets < 1 or subset_size < 2:
            raise ValueError(f"KID: needs a subset of two samples or more, got {subsets} of {subset_size}")
        self.subsets, self.subset_size, self.seed = subsets, subset_size, seed
        self.fewest = subset_size

    @property
    def fields(self) -> dict[str, Plain]:
        """Number, size and seed of the subsets."""
        return {"kid_subsets": self.subsets, "kid_subset_size": self.subset_size, "kid_seed": self.seed}

    def statistics(self) -> Sequence[Statistic]:
        """Features of the reference."""
        return (FeatureStore(),)

    def begin(self, setting: Setting) -> None:
        """Start with none; hold the reference."""
        super().begin(setting)
        self.register_buffer("reals", setting.reference[FeatureStore.kind]["features"], persistent=False)

    def compute(self) -> Tensors:
        """``kid`` and ``kid_std`` over all ranks: scalars, float64."""
        values = kid(self.gathered(), self.reals, self.subsets, self.subset_size, self.seed)
        return {"kid": values.mean(), "kid_std": values.std(correction=0)}

"""Precision and recall (Kynkäänniemi et al. 2019, eq. 1-2), density and coverage (Naeem et al. 2020, eq. 3-4).

A set's manifold is the union of balls around its samples, each reaching to the sample's k-th nearest other.

    precision  share of fakes in any real's ball           recall    share of reals in any fake's ball
    density    real balls a fake lies in, over k, averaged  coverage  share of reals with a fake in their ball

As in the authors' code, balls are closed for precision and recall (k = 3) and open for density and coverage (k = 5).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_modules.metrics.base import EvaluationMetric, Setting, Statistic, Tensors
from lightning_modules.metrics.gathered import FeatureStore, GatheredFeatures
from lightning_modules.metrics.neighbours import COLUMNS, ROWS, Radii, parts, squared_distances, squared_radii
from lightning_modules.metrics.protocol import Plain


def prdc(real: Tensor, fake: Tensor, k: int = 3, coverage_k: int = 5) -> Tensors:
    """The four scores of ``fake`` [M, d] against ``real`` [N, d]: scalars, float64."""
    return prdc_of_radii(real, squared_radii(real, (k, coverage_k)), fake, k, coverage_k)


def prdc_of_radii(real: Tensor, real_radii: Tensor, fake: Tensor, k: int, coverage_k: int) -> Tensors:
    """The same where the squared radii [2, N] of ``real`` for the two k are known."""
    (fake_radius,) = squared_radii(fake, (k,))
    N, M = len(real), len(fake)
    precise, recalled = (torch.zeros(n, dtype=torch.bool, device=real.device) for n in (M, N))
    covered, inside = torch.zeros_like(recalled), torch.zeros((), dtype=torch.int64, device=real.device)
    for rows in parts(M, ROWS):
        for columns in parts(N, COLUMNS):
            squared = squared_distances(fake[rows], real[columns])
            closed, opened = real_radii[:, columns]
            precise[rows] |= (squared <= closed).any(1)
            recalled[columns] |= (squared <= fake_radius[rows, None]).any(0)
            within = squared < opened
            covered[columns] |= within.any(0)
            inside += within.sum()
    precision, recall, coverage = (hit.double().mean() for hit in (precise, recalled, covered))
    density = inside.double() / (coverage_k * M)
    return {"precision": precision, "recall": recall, "density": density, "coverage": coverage}


class PRDC(GatheredFeatures, EvaluationMetric):
    """``precision``, ``recall``, ``density`` and ``coverage``.

    Args:
        neighbours: k of precision and recall.
        coverage_neighbours: k of density and coverage.

    Raises:
        ValueError: for a k below 1.
    """

    names = ("precision", "recall", "density", "coverage")
    higher_is_better = True
    reals: Tensor
    radii: Tensor

    def __init__(self, neighbours: int = 3, coverage_neighbours: int = 5) -> None:
        super().__init__()
        if neighbours < 1 or coverage_neighbours < 1:
            raise ValueError(f"PRDC: neighbours must be 1 or more, got {neighbours} and {coverage_neighbours}")
        self.k, self.coverage_k = neighbours, coverage_neighbours
        self.fewest = 1 + max(neighbours, coverage_neighbours)

    @property
    def fields(self) -> dict[str, Plain]:
        """Both k."""
        return {"neighbours": self.k, "coverage_neighbours": self.coverage_k}

    def statistics(self) -> Sequence[Statistic]:
        """Features of the reference, and their distances to each other."""
        return FeatureStore(), Radii((self.k, self.coverage_k))

    def begin(self, setting: Setting) -> None:
        """Start with none; hold the reference."""
        super().begin(setting)
        store, radii = (setting.reference[statistic.kind] for statistic in self.statistics())
        self.register_buffer("reals", store["features"], persistent=False)
        self.register_buffer("radii", radii["squared"], persistent=False)

    def compute(self) -> Tensors:
        """The four shares over all ranks: scalars, float64."""
        return prdc_of_radii(self.reals, self.radii, self.gathered(), self.k, self.coverage_k)

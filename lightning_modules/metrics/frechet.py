"""Fréchet distance between Gaussians fitted to features (Heusel et al. 2017, "GANs trained by a TTUR", eq. 6).

    d^2 = |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)),  C = X'X / (n - 1)

With C1 = F F', the trace of the root is that of the symmetric (F' C2 F)^(1/2), which has the same eigenvalues: they
are real, and finite also for fewer samples than dimensions, where the general matrix root gives NaN or imaginary
parts. F is Cholesky's factor; where C1 is singular, that of its eigenvectors which it does not annul. All in float64.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lightning_modules.metrics.base import Accumulator, EvaluationMetric, Look, Needs, Setting, Statistic, Tensors


class Moments(NamedTuple):
    """Mean [d] and unbiased covariance [d, d] of features, float64."""

    mean: Tensor
    cov: Tensor


def moments(features: Tensor) -> Moments:
    """Moments of ``features`` [N, d]."""
    features = features.double()
    return moments_of_sums(features.sum(0), features.T @ features, len(features))


def moments_of_sums(total: Tensor, outer: Tensor, count: int) -> Moments:
    """Moments from the sum of the features [d], of their outer products [d, d], and their count.

    Raises:
        ValueError: for fewer than two samples, which have no covariance.
    """
    if count < 2:
        raise ValueError(f"A Fréchet distance needs at least two images on each side, here are {count}.")
    mean = total / count
    return Moments(mean, (outer - count * torch.outer(mean, mean)) / (count - 1))


def frechet_distance(a: Moments, b: Moments) -> Tensor:
    """Squared Fréchet distance of two Gaussians: a scalar, float64, not negative."""
    factor = _factor(a.cov)
    eigenvalues = torch.linalg.eigvalsh(factor.T @ b.cov @ factor)
    trace_of_root = eigenvalues.clamp_min(0).sqrt().sum()
    distance = (a.mean - b.mean).square().sum() + a.cov.trace() + b.cov.trace() - 2 * trace_of_root
    return distance.clamp_min(0)


def _factor(cov: Tensor) -> Tensor:
    """F [d, rank] with F F' = ``cov`` [d, d]."""
    factor, failed = torch.linalg.cholesky_ex(cov)
    if not failed:
        return factor
    eigenvalues, vectors = torch.linalg.eigh(cov)
    rounding = len(cov) * torch.finfo(cov.dtype).eps * eigenvalues[-1].clamp_min(0)
    kept = eigenvalues > rounding
    return vectors[:, kept] * eigenvalues[kept].sqrt()


class FeatureSums(Accumulator):
    """Sums from which moments follow: memory d^2, whatever the number of images; exact under DDP."""

    needs = Needs.FEATURES
    total: Tensor
    outer: Tensor
    count: Tensor

    def begin(self, setting: Setting) -> None:
        """Start at zero."""
        dim = setting.dim
        self.add_state("total", torch.zeros(dim, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("outer", torch.zeros(dim, dim, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, look: Look) -> None:
        """Add ``look.features`` [N, d]."""
        features = look.features.double()
        self.total += features.sum(0)
        self.outer += features.T @ features
        self.count += len(features)

    def moments(self) -> Moments:
        """Moments of all that this rank has seen, or inside ``compute`` of what all ranks have."""
        return moments_of_sums(self.total, self.outer, int(self.count))


class FeatureMoments(FeatureSums, Statistic):
    """Moments of a stream of features."""

    kind = "moments"

    def compute(self) -> Tensors:
        """``mean`` [d] and ``cov`` [d, d] over all ranks, float64."""
        return self.moments()._asdict()


class FrechetDistance(FeatureSums, EvaluationMetric):
    """``fid``: squared Fréchet distance of the features to those of the reference, FID where Inception made them."""

    names = ("fid",)
    higher_is_better = False
    mean: Tensor
    cov: Tensor

    def statistics(self) -> Sequence[Statistic]:
        """Moments of the reference."""
        return (FeatureMoments(),)

    def begin(self, setting: Setting) -> None:
        """Start at zero; hold the moments of the reference."""
        super().begin(setting)
        known, dim = setting.reference[FeatureMoments.kind], setting.dim
        # Torchmetrics hands tensors of one element on as scalars.
        self.register_buffer("mean", known["mean"].reshape(dim), persistent=False)
        self.register_buffer("cov", known["cov"].reshape(dim, dim), persistent=False)

    def compute(self) -> Tensors:
        """``fid`` over all ranks: a scalar, float64."""
        return {"fid": frechet_distance(Moments(self.mean, self.cov), self.moments())}

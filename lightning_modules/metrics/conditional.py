"""Scores of a generator that is asked for classes: whether it draws what was asked, and each class as it is.

- The share of samples that the extractor's classifier takes for the class they were drawn for.
- The intra-class Fréchet distance (Miyato and Koyama 2018, section 4): the mean over classes of the distance between
  the samples drawn for a class and the reference's images of it. Unlike the distance of all samples it sees a
  generator that draws one class for another, or each class in one way only.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_modules.metrics.base import Accumulator, EvaluationMetric, Look, Needs, Setting, Statistic, Tensors
from lightning_modules.metrics.frechet import Moments, frechet_distance, moments_of_sums


def classes_of(look: Look) -> Tensor:
    """The class of each sample, int64 [N].

    Raises:
        ValueError: if they came without.
    """
    if len(look.labels) != len(look.samples):
        raise ValueError(
            "The samples came without the classes they were drawn for: let the generator give both, as "
            "GenerativeModule.sample_labelled does."
        )
    return look.labels


class AskedShare(EvaluationMetric):
    """``asked``, the share of samples whose largest logit is that of the class they were drawn for, and ``asked_min``,
    that of the class where it is smallest.
    """

    names = ("asked", "asked_min")
    needs = Needs.LOGITS | Needs.CLASSES
    labelled = True
    higher_is_better = True
    drawn: Tensor
    right: Tensor

    def begin(self, setting: Setting) -> None:
        """Start at zero."""
        for name in ("drawn", "right"):
            self.add_state(name, torch.zeros(setting.num_classes, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, look: Look) -> None:
        """Add ``look.logits`` [N, K]."""
        y = classes_of(look)
        code = torch.nn.functional.one_hot(y, len(self.drawn))  # not `bincount`: see class_share
        self.drawn += code.sum(0)
        self.right += code[look.logits.argmax(1) == y].sum(0)

    def compute(self) -> Tensors:
        """Both shares over all ranks: scalars, float64."""
        drawn = self.drawn > 0
        shares = self.right[drawn].double() / self.drawn[drawn]
        return {"asked": self.right.sum() / self.drawn.sum().double(), "asked_min": shares.min()}


class ClassSums(Accumulator):
    """Sums from which each class's moments follow: memory K d^2, 34 MB a class of Inception's; exact under DDP."""

    needs = Needs.FEATURES
    labelled = True
    total: Tensor
    outer: Tensor
    count: Tensor

    def begin(self, setting: Setting) -> None:
        """Start at zero."""
        classes, dim = setting.classes, setting.dim
        self.add_state("total", torch.zeros(classes, dim, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("outer", torch.zeros(classes, dim, dim, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros(classes, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, look: Look) -> None:
        """Add ``look.features`` [N, d]."""
        y = classes_of(look)
        for label in y.unique().tolist():
            features = look.features[y == label].double()
            self.total[label] += features.sum(0)
            self.outer[label] += features.T @ features
            self.count[label] += len(features)

    def moments(self) -> list[Moments]:
        """Of each class: of all that this rank has seen, or inside ``compute`` of what all ranks have."""
        each = zip(self.total, self.outer, self.count.tolist(), strict=True)
        return [moments_of_sums(total, outer, count) for total, outer, count in each]


class ClassMoments(ClassSums, Statistic):
    """Moments of a stream of features, class by class."""

    kind = "moments of classes"

    def begin(self, setting: Setting) -> None:
        """Start at zero; know how much it will be."""
        super().begin(setting)
        self.size = 8 * setting.classes * (setting.dim + 1) * setting.dim

    def compute(self) -> Tensors:
        """``mean`` [K, d] and ``cov`` [K, d, d] over all ranks, float64.

        Raises:
            ValueError: for a class of fewer than two images.
        """
        for label, count in enumerate(self.count.tolist()):
            if count < 2:
                raise ValueError(
                    f"An intra-class distance needs two images of each class, and the reference has {count} of class "
                    f"{label}: take more of them, or remove IntraFrechetDistance."
                )
        mean, cov = zip(*self.moments(), strict=True)
        return {"mean": torch.stack(mean), "cov": torch.stack(cov)}


class IntraFrechetDistance(ClassSums, EvaluationMetric):
    """``intra_fid``: the mean over classes of the squared Fréchet distance to the reference's images of the class.

    Not a number where a class has fewer than two samples, as in a trial of a few fakes.
    """

    names = ("intra_fid",)
    higher_is_better = False
    mean: Tensor
    cov: Tensor

    def statistics(self) -> Sequence[Statistic]:
        """Moments of the reference's classes."""
        return (ClassMoments(),)

    def begin(self, setting: Setting) -> None:
        """Start at zero; hold the moments of the reference."""
        super().begin(setting)
        known, classes, dim = setting.reference[ClassMoments.kind], setting.classes, setting.dim
        self.register_buffer("mean", known["mean"].reshape(classes, dim), persistent=False)
        self.register_buffer("cov", known["cov"].reshape(classes, dim, dim), persistent=False)

    def compute(self) -> Tensors:
        """``intra_fid`` over all ranks: a scalar, float64; NaN where a class has fewer than two samples."""
        if self.count.min() < 2:
            return {"intra_fid": self.total.new_tensor(torch.nan)}
        real = map(Moments, self.mean, self.cov)
        distances = [frechet_distance(a, b) for a, b in zip(real, self.moments(), strict=True)]
        return {"intra_fid": torch.stack(distances).mean()}

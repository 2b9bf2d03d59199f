"""Mode coverage: how many modes of a known mixture a generator reaches, how evenly, and how exactly.

A sample belongs to the nearest centre (Euclid) and is of high quality if it lies within a number of deviations of it;
a mode is captured if it holds at least one high-quality sample (VEEGAN, Srivastava et al. 2017). With p the
histogram over the K modes and u = 1 / K, all in nats:

    reverse KL = KL(p || u) = log K - H(p),   JSD = (KL(p || m) + KL(u || m)) / 2,  m = (p + u) / 2

PacGAN's code (Lin et al. 2018) fills p with the high-quality samples only, self-conditioned GAN's (Liu et al. 2020)
with all of them: ``QualityRule`` says which. Where not a single sample counts there is no p, and the scores take their
worst values: entropy 0, reverse KL log K, JSD log 2.

Noise floors. Of samples of the mixture itself 1 - exp(-9 / 2) = 98.9 % lie within three deviations by Euclid, and
erf(3 / sqrt 2)^2 = 99.5 % per axis; n samples of a uniform p have a reverse KL of about (K - 1) / 2n.
"""

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torchmetrics import Metric

from datamodules.functional.mixtures import grid_form, ring_form


@dataclass(frozen=True)
class QualityRule:
    """When a sample is of high quality, and which samples make the histogram.

    Args:
        sigmas: it lies within so many deviations of its centre (strictly).
        per_axis: along each axis, instead of by Euclidean distance.
        count_all: all samples make the histogram, instead of those of high quality.
        samples: how many of them the protocol draws. The metric takes as many as it is given.
    """

    sigmas: float = 3.0
    per_axis: bool = False
    count_all: bool = False
    samples: int = 2500


VEEGAN = QualityRule()
# Unrolled GAN's and PresGAN's own codes only draw pictures: their rule is VEEGAN's, by which others measured them.
RULES = {
    "pacgan": VEEGAN,
    "veegan": VEEGAN,
    "unrolled": VEEGAN,
    "self-conditioned": QualityRule(per_axis=True, count_all=True, samples=50_000),
    "presgan": VEEGAN,
}


def histogram_scores(counts: Tensor) -> dict[str, Tensor]:
    """``reverse_kl``, ``entropy`` and ``jsd`` of ``counts`` [K] against K equal ones: scalars, float64, in nats."""
    uniform = torch.full(counts.shape, 1 / len(counts), dtype=torch.float64, device=counts.device)
    total = counts.sum()
    if not total:
        worst = {"reverse_kl": math.log(len(counts)), "entropy": 0.0, "jsd": math.log(2)}
        return {name: uniform.new_tensor(value) for name, value in worst.items()}
    p = counts.double() / total
    entropy = -torch.xlogy(p, p).sum()
    middle = (p + uniform) / 2
    # JSD as the entropy of the mean minus the mean entropy; a difference of nearly equal numbers may fall below zero.
    jsd = -torch.xlogy(middle, middle).sum() - (entropy + math.log(len(counts))) / 2
    return {
        "reverse_kl": (math.log(len(counts)) - entropy).clamp_min(0),
        "entropy": entropy.clamp_min(0) + 0,  # of one mode it is -0
        "jsd": jsd.clamp_min(0),
    }


def assign(samples: Tensor, centres: Tensor, std: float, rule: QualityRule) -> tuple[Tensor, Tensor]:
    """The nearest of ``centres`` [K, d] to each of ``samples`` [N, d], and whether it is of high quality; [N] each.

    Raises:
        ValueError: if the samples are no finite points of d dimensions.
    """
    if samples.ndim != 2 or samples.shape[1] != centres.shape[1]:
        raise ValueError(
            f"The mixture has {centres.shape[1]} dimensions, the samples are of shape {tuple(samples.shape)}: "
            f"give points [N, {centres.shape[1]}]."
        )
    if not samples.isfinite().all():
        raise ValueError("Some samples are not finite: a diverged generator has no modes to count.")
    samples, centres = samples.double(), centres.double()
    # Not the fast form |a|^2 - 2ab + |b|^2, which loses the digits that three deviations of .01 are made of.
    distance = torch.cdist(samples, centres, compute_mode="donot_use_mm_for_euclid_dist")
    nearest, mode = distance.min(1)
    if rule.per_axis:
        nearest = (samples - centres[mode]).abs().amax(1)
    return mode, nearest < rule.sigmas * std


class ModeCoverage(Metric):
    """Mode coverage of a stream of points, in constant memory.

    Args:
        centres: of the modes, [K, d].
        std: deviation of each mode along each axis.
        rule: when a sample is of high quality.

    Raises:
        ValueError: if the centres are not distinct points, or the deviation is not positive.
    """

    is_differentiable = False
    full_state_update = False
    centres: Tensor
    near: Tensor
    good: Tensor

    def __init__(self, centres: Tensor, std: float, rule: QualityRule = VEEGAN) -> None:
        super().__init__()
        if centres.ndim != 2 or len(centres) == 0 or len(centres.unique(dim=0)) < len(centres):
            raise ValueError(f"The centres of shape {tuple(centres.shape)} are no distinct points [K, d]: give such.")
        if std <= 0:
            raise ValueError(f"A mode of deviation {std} has no high quality to measure: give one above 0.")
        self.std = std
        self.rule = rule
        self.register_buffer("centres", centres.double(), persistent=False)
        self.add_state("near", torch.zeros(len(centres), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("good", torch.zeros(len(centres), dtype=torch.int64), dist_reduce_fx="sum")

    @classmethod
    def ring(cls, preset: str = "pacgan") -> Self:
        """For ``datamodules.mixtures.Ring.preset(preset)``, by the rule of that paper.

        Raises:
            ValueError: if there is no such ring.
        """
        form = ring_form(preset)
        return cls(form.centres(), form.std, RULES[preset])

    @classmethod
    def grid(cls, preset: str = "pacgan") -> Self:
        """For ``datamodules.mixtures.Grid.preset(preset)``, by the rule of that paper.

        Raises:
            ValueError: if there is no such grid.
        """
        form = grid_form(preset)
        return cls(form.centres(), form.std, RULES[preset])

    def update(self, samples: Tensor) -> None:
        """Add ``samples`` [N, d]."""
        mode, good = assign(samples, self.centres, self.std, self.rule)
        _count(self.near, mode)
        _count(self.good, mode[good])

    def compute(self) -> dict[str, Tensor]:
        """Over all ranks, scalars, float64: ``modes`` captured, share of ``high_quality``, and the histogram's
        ``reverse_kl``, ``entropy`` and ``jsd``.

        Raises:
            ValueError: before the first sample.
        """
        total = self.near.sum()
        if not total:
            raise ValueError("Mode coverage of no samples: update it first.")
        counted = self.near if self.rule.count_all else self.good
        return {
            "modes": (self.good > 0).sum().double(),
            "high_quality": self.good.sum().double() / total,
            **histogram_scores(counted),
        }


class StackedModes(Metric):
    """Modes of Stacked-MNIST in constant memory: which tuples of classes a generator reaches, and how evenly.

    Each channel is an image of its own, classified by the largest logit; the modes are the ``classes ** channels``
    tuples (Metz et al. 2017; PacGAN, table 2: 26,000 samples, whose floor is a reverse KL of about .0192).

    Args:
        classes: that the classifier knows.
        channels: of an image.
    """

    is_differentiable = False
    full_state_update = False
    histogram: Tensor

    def __init__(self, classes: int = 10, channels: int = 3) -> None:
        super().__init__()
        self.classes = classes
        self.channels = channels
        self.add_state("histogram", torch.zeros(classes**channels, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, labels: Tensor) -> None:
        """Add ``labels`` [N, channels], integers: the class of each channel.

        Raises:
            ValueError: if they are no such classes.
        """
        integer = not labels.is_floating_point() and labels.dtype != torch.bool
        if labels.ndim != 2 or labels.shape[1] != self.channels or not integer:
            raise ValueError(
                f"Labels of shape {tuple(labels.shape)} and {labels.dtype} are no classes of {self.channels} channels: "
                f"give integers [N, {self.channels}]."
            )
        labels = labels.long()
        if ((labels < 0) | (labels >= self.classes)).any():
            raise ValueError(f"Some labels are no classes: give integers from 0 to {self.classes - 1}.")
        place = self.classes ** torch.arange(self.channels, device=labels.device)
        _count(self.histogram, (labels * place).sum(1))

    def compute(self) -> dict[str, Tensor]:
        """Over all ranks, scalars, float64: ``modes`` seen, and ``reverse_kl``, ``entropy`` and ``jsd``.

        Raises:
            ValueError: before the first sample.
        """
        if not self.histogram.any():
            raise ValueError("Modes of no samples: update the metric first.")
        return {"modes": (self.histogram > 0).sum().double(), **histogram_scores(self.histogram)}


def stacked_modes(labels: Tensor, classes: int = 10) -> dict[str, Tensor]:
    """``StackedModes`` of ``labels`` [N, channels] on this rank."""
    metric = StackedModes(classes, labels.shape[-1]).to(labels.device)
    metric.update(labels)
    return metric.compute()


def _count(histogram: Tensor, index: Tensor) -> None:
    # Not `bincount`, which has no deterministic form on a GPU.
    value, count = index.unique(return_counts=True)
    histogram[value] += count

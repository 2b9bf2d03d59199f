"""Metrics that look at the samples themselves, as an evaluation takes them: no extractor runs for them.

What is measured stands in ``spectrum``, ``diversity``, ``sliced_wasserstein`` and ``mode_coverage``.
"""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from datamodules.functional.mixtures import grid_form, ring_form
from lightning_modules.metrics.base import Accumulator, EvaluationMetric, Look, Setting, Statistic, Tensors, spell
from lightning_modules.metrics.diversity import Descriptions, Diversity
from lightning_modules.metrics.mode_coverage import ModeCoverage
from lightning_modules.metrics.protocol import Plain
from lightning_modules.metrics.sliced_wasserstein import SMALLEST, SlicedWasserstein, choose
from lightning_modules.metrics.spectrum import BETA, MeanSpectrum, SpectrumDistance


class OfSamples(Accumulator):
    """Hands the samples to a metric that is made when their shape and their reference are known."""

    inner: Metric

    @abstractmethod
    def make(self, setting: Setting) -> Metric:
        """The metric of the samples."""

    def begin(self, setting: Setting) -> None:
        """Make it."""
        self.inner = self.make(setting)

    def update(self, look: Look) -> None:
        """Show it ``look.samples``."""
        self.inner.update(look.samples)

    def compute(self) -> Tensors:
        """Its scores."""
        return self.inner.compute()


class OfImages(OfSamples, EvaluationMetric):
    """Scores of images.

    Attributes:
        least: pixels of their shorter side.
    """

    least: int

    def check(self, shape: Sequence[int]) -> None:
        """Gray or RGB images of at least ``least`` pixels."""
        if len(shape) != 3 or shape[0] not in (1, 3) or min(shape[1:]) < self.least:
            raise ValueError(
                f"{type(self).__name__} measures gray or RGB images with sides of {self.least} pixels or more, these "
                f"are {spell(shape)}: remove it from evaluation.metrics."
            )


class OneTensor(OfSamples, Statistic):
    """A statistic that is a single tensor."""

    def compute(self) -> Tensors:
        """``value``."""
        return {"value": self.inner.compute()}


class SpectrumOfReference(OneTensor):
    """The mean power spectrum.

    Args:
        beta: of the Kaiser window.
    """

    def __init__(self, beta: float) -> None:
        super().__init__()
        self.beta, self.kind = beta, f"spectrum {beta}"

    def make(self, setting: Setting) -> Metric:
        """``MeanSpectrum``."""
        return MeanSpectrum(setting.shape, self.beta)


class SpectrumScore(OfImages):
    """``spectrum`` and ``spectrum_high``: the log-spectral distance in decibels, and its sign at high frequencies.

    Args:
        beta: of the Kaiser window; 0 is none.
    """

    names = ("spectrum", "spectrum_high")
    least = 4

    def __init__(self, beta: float = BETA) -> None:
        super().__init__()
        self.beta = beta

    @property
    def fields(self) -> dict[str, Plain]:
        """The window."""
        return {"spectrum_beta": self.beta}

    def statistics(self) -> Sequence[Statistic]:
        """The spectrum of the reference."""
        return (SpectrumOfReference(self.beta),)

    def make(self, setting: Setting) -> Metric:
        """``SpectrumDistance``."""
        (known,) = (setting.reference[statistic.kind] for statistic in self.statistics())
        return SpectrumDistance(known["value"].reshape(-1), setting.shape, self.beta)


class DescriptionsOfReference(OneTensor):
    """Colour, texture and shape of each image."""

    kind = "colour, texture, shape"

    def make(self, setting: Setting) -> Metric:
        """``Descriptions``."""
        return Descriptions(setting.shape[0])


class DiversityScore(OfImages):
    """``colour``, ``texture`` and ``shape``: how far the samples are from the reference in the spread of each.

    Args:
        slices: random directions.
        seed: of the directions.
    """

    names = ("colour", "texture", "shape")
    least = 3

    def __init__(self, slices: int = 512, seed: int = 0) -> None:
        super().__init__()
        self.slices, self.seed = slices, seed

    @property
    def fields(self) -> dict[str, Plain]:
        """Number and seed of the directions."""
        return {"diversity_slices": self.slices, "diversity_seed": self.seed}

    def statistics(self) -> Sequence[Statistic]:
        """Descriptions of the reference."""
        return (DescriptionsOfReference(),)

    def make(self, setting: Setting) -> Metric:
        """``Diversity``."""
        return Diversity(setting.reference[DescriptionsOfReference.kind]["value"], self.slices, self.seed)


class ChosenImages(Statistic):
    """The images that a sliced Wasserstein distance compares with.

    Args:
        images: how many.
        seed: by which they are chosen.
    """

    seen: list[Tensor]

    def __init__(self, images: int, seed: int) -> None:
        super().__init__()
        self.images, self.seed, self.kind = images, seed, f"images {images} of seed {seed}"

    def begin(self, setting: Setting) -> None:
        """Start with none."""
        self.size = min(setting.count, self.images) * torch.Size(setting.shape).numel()
        self.add_state("seen", [], dist_reduce_fx="cat")

    def update(self, look: Look) -> None:
        """Keep those that may be chosen."""
        self.seen.append(look.samples)
        if sum(map(len, self.seen)) > 2 * self.images:
            self.seen = [choose(torch.cat(self.seen), self.images, self.seed)]

    def compute(self) -> Tensors:
        """``images``, uint8 [n, C, H, W]."""
        return {"images": choose(dim_zero_cat(self.seen), self.images, self.seed)}


class SlicedWassersteinScore(OfImages):
    """``swd``, and ``swd_32`` and its like for each level: distances of Laplacian-pyramid patches, times 1000.

    Args:
        images: the largest number of images a side; the samples' number, where that is smaller, on both.
        count: patches an image and level.
        slices: random directions.
        seed: of directions and places.
    """

    names = ("swd",)
    least = SMALLEST

    def __init__(self, images: int = 16_384, count: int = 128, slices: int = 512, seed: int = 0) -> None:
        super().__init__()
        self.images, self.count, self.slices, self.seed = images, count, slices, seed

    @property
    def fields(self) -> dict[str, Plain]:
        """All arguments."""
        return {
            "swd_images": self.images,
            "swd_patches": self.count,
            "swd_slices": self.slices,
            "swd_seed": self.seed,
        }

    def statistics(self) -> Sequence[Statistic]:
        """The images to compare with."""
        return (ChosenImages(self.images, self.seed),)

    def make(self, setting: Setting) -> Metric:
        """``SlicedWasserstein`` of as many reference images as there are samples."""
        (known,) = (setting.reference[statistic.kind] for statistic in self.statistics())
        return SlicedWasserstein(known["images"][: setting.count], self.images, self.count, self.slices, self.seed)


class Coverage(OfSamples, EvaluationMetric):
    """``modes``, ``high_quality``, ``reverse_kl``, ``entropy`` and ``jsd`` of points against a known mixture."""

    names = ("modes", "high_quality", "reverse_kl", "entropy", "jsd")

    def check(self, shape: Sequence[int]) -> None:
        """Points in the plane."""
        if tuple(shape) != (2,):
            raise ValueError(
                f"{type(self).__name__} counts modes among points in the plane, these are {spell(shape)}: remove it "
                "from evaluation.metrics."
            )


class RingCoverage(Coverage):
    """Mode coverage of ``datamodules.mixtures.Ring.preset(preset)``, by the rule of that paper.

    Args:
        preset: ``pacgan``, ``veegan``, ``unrolled``, ``self-conditioned`` or ``presgan``.

    Raises:
        ValueError: if there is no such ring.
    """

    def __init__(self, preset: str = "pacgan") -> None:
        super().__init__()
        ring_form(preset)
        self.preset = preset

    @property
    def fields(self) -> dict[str, Plain]:
        """Whose ring."""
        return {"modes_ring": self.preset}

    def make(self, setting: Setting) -> Metric:
        """``ModeCoverage``."""
        return ModeCoverage.ring(self.preset)


class GridCoverage(Coverage):
    """Mode coverage of ``datamodules.mixtures.Grid.preset(preset)``, by the rule of that paper.

    Args:
        preset: ``pacgan``, ``veegan`` or ``self-conditioned``.

    Raises:
        ValueError: if there is no such grid.
    """

    def __init__(self, preset: str = "pacgan") -> None:
        super().__init__()
        grid_form(preset)
        self.preset = preset

    @property
    def fields(self) -> dict[str, Plain]:
        """Whose grid."""
        return {"modes_grid": self.preset}

    def make(self, setting: Setting) -> Metric:
        """``ModeCoverage``."""
        return ModeCoverage.grid(self.preset)

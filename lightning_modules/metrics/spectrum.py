"""Distance of power spectra: up-sampling and blur leave marks in frequencies that no eye and few networks look at.

    P(k) = mean over images, channels and frequencies with round(|f| min(H, W)) = k of |FFT(w (x - mean x))|^2

for the rings k = 1 ... min(H, W) / 2, f in cycles a pixel: azimuthally averaged (Durall et al. 2020, "Watch your
up-convolution"), averaged over images before the logarithm and under a Kaiser window w whose squares sum to 1
(the average spectra of StyleGAN3, Karras et al. 2021), so that the borders' cross does not drown high frequencies.
White noise of variance v has P = v in every ring. The distance is log-spectral, in decibels:

    D = sqrt( mean_k (L_fake(k) - L_real(k))^2 ),   L = 10 log10( P + 1/12 )

Deviations: x loses its own mean, a channel at a time, instead of the mean of the data set, so that nothing but the
windowed picture reaches the rings; 1/12, the power of 8-bit rounding, keeps empty images finite; nothing is divided
by P(0), so that a loss of contrast counts.
"""

from collections.abc import Iterable
from functools import lru_cache

import torch
from torch import Tensor
from torchmetrics import Metric

from lightning_modules.metrics.pixels import check_images, check_same_kind

ROUNDING = 1 / 12  # variance of the error of rounding to whole grey levels
BETA = 8.0  # of the Kaiser window


@lru_cache(maxsize=8)
def rings(height: int, width: int) -> tuple[Tensor, ...]:
    """For each ring 1 ... min(H, W) / 2 the indices of its frequencies among the H * W of an FFT."""
    fy, fx = (torch.fft.fftfreq(side, dtype=torch.float64) for side in (height, width))
    short = min(height, width)
    ring = (torch.hypot(fy[:, None], fx[None, :]) * short).round().flatten()
    return tuple((ring == k).nonzero().flatten() for k in range(1, short // 2 + 1))


def ring_power(image: Tensor, beta: float = BETA) -> Tensor:
    """P(k) of each of the images: float64 [N, K].

    Args:
        image: uint8 [N, C, H, W].
        beta: of the Kaiser window; 0 is none.
    """
    _, _, height, width = image.shape
    x = image.double()
    x = (x - x.mean((2, 3), keepdim=True)) * window(height, width, beta).to(image.device)
    power = torch.fft.fft2(x).abs().square().mean(1).flatten(1)
    return torch.stack([power[:, ring.to(image.device)].mean(1) for ring in rings(height, width)], dim=1)


def window(height: int, width: int, beta: float) -> Tensor:
    """A Kaiser window [height, width], float64, whose squares sum to 1."""
    sides = [torch.kaiser_window(side, periodic=False, beta=beta, dtype=torch.float64) for side in (height, width)]
    window = torch.outer(*sides)
    return window / window.square().sum().sqrt()


def decibels(power: Tensor) -> Tensor:
    """L of ``power`` [...]."""
    return 10 * (power + ROUNDING).log10()


def spectrum_scores(fake: Tensor, real: Tensor) -> dict[str, Tensor]:
    """Scores of the spectrum ``fake`` [K] against ``real`` [K]; see ``SpectrumDistance.compute``."""
    gap = decibels(fake) - decibels(real)
    return {"spectrum": gap.square().mean().sqrt(), "spectrum_high": gap[len(gap) // 2 :].mean()}


class SpectrumSums(Metric):
    """Sums of P over images, in constant memory; exact under DDP.

    Args:
        shape: (C, H, W) of the images.
        beta: of the Kaiser window; 0 is none.
    """

    is_differentiable = False
    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self, shape: tuple[int, ...], beta: float = BETA) -> None:
        super().__init__()
        self.shape = tuple(shape)
        self.beta = beta
        self.add_state("total", torch.zeros(min(shape[1:]) // 2, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, samples: Tensor) -> None:
        """Add ``samples``, uint8 [N, C, H, W].

        Raises:
            ValueError: if they are no such images.
        """
        check_images(samples, least=4)
        check_same_kind(samples, self.shape)
        self.total += ring_power(samples, self.beta).sum(0)
        self.count += len(samples)

    def spectrum(self) -> Tensor:
        """P [K] of all that this rank has seen, or inside ``compute`` of what all ranks have.

        Raises:
            ValueError: before the first image.
        """
        if not self.count:
            raise ValueError("A spectrum of no images: update the metric first.")
        return self.total / self.count


class MeanSpectrum(SpectrumSums):
    """P of a stream of images."""

    def compute(self) -> Tensor:
        """P over all ranks: float64 [K]."""
        return self.spectrum()


class SpectrumDistance(SpectrumSums):
    """Distance of a stream of images to a reference by their spectra.

    Args:
        reference: P of the reference images [K], from ``mean_spectrum`` with the same beta.
        shape: (C, H, W) of the images.
        beta: of the Kaiser window; 0 is none.

    Raises:
        ValueError: if the reference is none of images of that shape.
    """

    higher_is_better = False
    reference: Tensor

    def __init__(self, reference: Tensor, shape: tuple[int, ...], beta: float = BETA) -> None:
        super().__init__(shape, beta)
        if reference.shape != self.total.shape:
            raise ValueError(
                f"A spectrum of {tuple(reference.shape)} rings is not that of images of shape {tuple(shape)}, which "
                f"have {len(self.total)}: compute it from such images with mean_spectrum."
            )
        self.register_buffer("reference", reference.double(), persistent=False)

    def compute(self) -> dict[str, Tensor]:
        """Over all ranks, scalars, float64, in decibels: the distance ``spectrum``, and ``spectrum_high``, by how much
        the upper half of the rings is louder than the reference's on average: negative for blur, positive for noise
        and for the marks of up-sampling.
        """
        return spectrum_scores(self.spectrum(), self.reference)


def mean_spectrum(batches: Iterable[Tensor], shape: tuple[int, ...], beta: float = BETA) -> Tensor:
    """P [K] of all images of ``batches``, each uint8 [N, C, H, W] of ``shape`` (C, H, W).

    Under DDP each rank may give its share or all of them: the mean is the same. All must call it.
    """
    metric = MeanSpectrum(shape, beta)
    for image in batches:
        metric.to(image.device).update(image)
    return metric.compute()

"""Errors of an alpha matte in the unknown band of its trimap: SAD, MSE, Grad, Conn; one value an image, in float64.

Rhemann et al. 2009, "A perceptually motivated online benchmark for image matting", with the constants of the
Composition-1k tables (Xu et al. 2017, "Deep image matting") as MMagic computes them. The prediction is first set to
0 and 1 where the trimap says so. SAD, Grad and Conn are in thousands of pixels; MSE is a mean, often printed x 1000.
One deviation: thresholds are the floats next to 0.1, 0.2, ...; MMagic's 0.6 is one ulp larger, so an alpha of 153 / 255
is not yet 0.6 to it.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from datamodules.functional.matting import BACKGROUND, FOREGROUND, UNKNOWN
from datamodules.functional.quantise import check_unit
from lightning_modules.metrics.fidelity.components import largest_component
from lightning_modules.metrics.fidelity.filters import correlate, gaussian
from lightning_modules.metrics.fidelity.means import ImageMeans

THOUSAND = 1000.0
SIGMA = 1.4  # of Grad's filters
REACH = 4  # px: where a Gaussian of that sigma falls below 0.01
STEPS = 10  # of Conn's thresholds
TOLERANCE = 0.15  # of Conn: a pixel nearer than that to its connected level counts as connected


class Mattes(NamedTuple):
    """Two mattes as they are compared."""

    prediction: Tensor  # [N, 1, H, W], float64 in [0, 1], clamped by the trimap
    target: Tensor
    unknown: Tensor  # [N, 1, H, W], bool


def mattes(prediction: Tensor, target: Tensor, trimap: Tensor) -> Mattes:
    """Bring two batches of alpha mattes to what is compared.

    Args:
        prediction: alpha [N, 1, H, W], uint8 or floats in [0, 1] (which are not quantised).
        target: likewise, of the same shape.
        trimap: uint8 [N, 1, H, W] of 0 (background), 128 (unknown) and 255 (foreground).

    Raises:
        ValueError: if they cannot be compared, and why.
    """
    alphas = [_alpha(alpha, name) for alpha, name in ((prediction, "prediction"), (target, "target"))]
    if not prediction.shape == target.shape == trimap.shape:
        raise ValueError(
            f"Prediction {list(prediction.shape)}, target {list(target.shape)} and trimap {list(trimap.shape)} differ "
            "in shape: bring the prediction back to the size of its target."
        )
    levels = torch.tensor([BACKGROUND, UNKNOWN, FOREGROUND], device=trimap.device)
    if trimap.dtype != torch.uint8 or not torch.isin(trimap, levels).all():
        raise ValueError(
            f"The trimap is {trimap.dtype} with values from {float(trimap.min()):g} to {float(trimap.max()):g}: give "
            "uint8 of 0 (background), 255 (foreground) and 128 for all between."
        )
    clamped = alphas[0].masked_fill(trimap == BACKGROUND, 0.0).masked_fill(trimap == FOREGROUND, 1.0)
    return Mattes(clamped, alphas[1], trimap == UNKNOWN)


def sad(images: Mattes) -> Tensor:
    """Sum of absolute differences / 1000: [N]. Over the whole image, of which the prediction only owns the unknown."""
    return (images.prediction - images.target).abs().sum((1, 2, 3)) / THOUSAND


def matting_mse(images: Mattes) -> Tensor:
    """Sum of squared differences over the number of unknown pixels: [N]. 0 where the trimap leaves none unknown."""
    squares = (images.prediction - images.target).square().sum((1, 2, 3))
    count = images.unknown.sum((1, 2, 3))
    return torch.where(count > 0, squares / count, 0.0)


def gradient_error(images: Mattes) -> Tensor:
    """Sum of squared differences of gradient magnitudes over the unknown pixels / 1000: [N].

    Gradients are of the whole mattes, stretched to [0, 1], by first-order Gaussian derivatives of sigma 1.4.
    """
    difference = _gradient(_stretch(images.prediction)) - _gradient(_stretch(images.target))
    return (difference.square() * images.unknown).sum((1, 2, 3)) / THOUSAND


def connectivity_error(images: Mattes) -> Tensor:
    """Sum of differences in connectedness over the unknown pixels / 1000: [N].

    A pixel's level is the last threshold up to which it stayed in the largest component that both mattes share; its
    connectedness falls by what its alpha is above that level, from 0.15 on.
    """
    level = torch.stack([_level(a[0], b[0]) for a, b in zip(*images[:2], strict=True)])[:, None]
    difference = _connectedness(images.prediction - level) - _connectedness(images.target - level)
    return (difference.abs() * images.unknown).sum((1, 2, 3)) / THOUSAND


Measure = Callable[[Mattes], Tensor]
MEASURES: Mapping[str, Measure] = {
    "sad": sad,
    "mse": matting_mse,
    "grad": gradient_error,
    "conn": connectivity_error,
}


class Matting(ImageMeans):
    """Means of the matting errors over images: sad, mse, grad, conn.

    Args:
        measures: by name.
    """

    higher_is_better = False

    def __init__(self, measures: Mapping[str, Measure] = MEASURES) -> None:
        super().__init__(list(measures))
        self.measures = tuple(measures.values())

    def update(self, prediction: Tensor, target: Tensor, trimap: Tensor) -> None:
        """Add mattes [N, 1, H, W]; see ``mattes``. Batches may differ in size."""
        images = mattes(prediction, target, trimap)
        self.add(*(measure(images) for measure in self.measures))


def matting(prediction: Tensor, target: Tensor, trimap: Tensor) -> dict[str, float]:
    """``sad``, ``mse``, ``grad`` and ``conn`` of mattes [N, 1, H, W], their means over N; see ``mattes``."""
    metric = Matting().to(target.device)
    metric.update(prediction, target, trimap)
    return metric.as_floats()


def _alpha(alpha: Tensor, name: str) -> Tensor:
    if alpha.dim() != 4 or alpha.shape[1] != 1 or not alpha.numel():
        raise ValueError(f"The {name} is of shape {list(alpha.shape)}: a matte is [N, 1, H, W].")
    if alpha.dtype == torch.uint8:
        return alpha.double() / 255
    check_unit(alpha, name)
    return alpha.double()


def _stretch(alpha: Tensor) -> Tensor:
    low, high = alpha.amin((1, 2, 3), keepdim=True), alpha.amax((1, 2, 3), keepdim=True)
    return torch.where(high > low, (alpha - low) / (high - low), 0.0)


def _gradient(alpha: Tensor) -> Tensor:
    """Magnitude of the gradient of ``alpha`` [N, 1, H, W], in units of filters of norm 1."""
    smooth = gaussian(SIGMA, REACH)
    slope = torch.arange(-REACH, REACH + 1) * smooth
    along, across = (slope / slope.norm()).tolist(), (smooth / smooth.norm()).tolist()
    padded = pad(alpha, (REACH,) * 4, mode="replicate")
    dx = correlate(correlate(padded, across, -2), along, -1)
    dy = correlate(correlate(padded, along, -2), across, -1)
    return torch.hypot(dx, dy)


def _level(a: Tensor, b: Tensor) -> Tensor:
    """The last threshold up to which each pixel of ``a`` and ``b`` [H, W] stayed connected: [H, W]."""
    level, connected = torch.zeros_like(a), torch.ones_like(a, dtype=torch.bool)
    for i in range(1, STEPS + 1):
        threshold = i / STEPS
        connected &= largest_component((a >= threshold) & (b >= threshold))
        level[connected] = threshold
    return level


def _connectedness(above: Tensor) -> Tensor:
    return 1 - above * (above >= TOLERANCE)

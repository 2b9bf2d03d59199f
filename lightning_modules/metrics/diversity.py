"""Diversity of colour, texture and shape: three short descriptions an image, and how far fakes are from reals in each.

- colour: the share of pixels in 4 x 4 x 4 cells of RGB; of grey images in 16 cells of brightness.
- texture: local binary patterns, rotation-invariant and uniform (LBP riu2, Ojala et al. 2002): the share of pixels of
  whose eight neighbours 0 ... 8 are at least as bright, in one arc, and last those with more than one arc.
- shape: the share of edge strength (length of the Sobel gradient of the brightness) in 8 directions, of which the
  first has vertical edges in its middle; all 0 for an image without edges.

The distance of two sets is a sliced Wasserstein distance: the mean Wasserstein-1 distance of the descriptions along
512 random directions, divided by what a unit vector measures along a random direction on average. So two sets of one
image each are as far apart as their descriptions by Euclid, to the per cent that the directions scatter. It sees a
shift of the mean and a loss of variety: a collapsed generator is far from the reals though each of its images is real.

Of a set to itself it is 0. Two halves of one data set have a distance above 0 that shrinks with their size: compare
scores of equal counts only. Deviations: the neighbours of a pattern are the square's, not points of a circle between
pixels; the border of one pixel has neither pattern nor edge. Memory: 330 bytes an RGB image.
"""

import math

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from lightning_modules.metrics.pixels import brightness, check_images
from lightning_modules.metrics.wasserstein import orthonormal_directions, sliced_wasserstein

RGB_CELLS = 64
GREY_CELLS = 16
PATTERNS = 10
EDGES = 8
# Of a pixel's neighbours, once round.
CIRCLE = ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0))


def colour(image: Tensor) -> Tensor:
    """Share of pixels of uint8 ``image`` [N, C, H, W] in each cell: float64 [N, 64], of grey images [N, 16]."""
    if image.shape[1] == 1:
        return _shares(image[:, 0] // 16, GREY_CELLS)
    red, green, blue = (image // 64).unbind(1)
    return _shares(16 * red + 4 * green + blue, RGB_CELLS)


def texture(image: Tensor) -> Tensor:
    """Share of pixels of uint8 ``image`` [N, C, H, W] with each pattern: float64 [N, 10]."""
    y = brightness(image)
    h, w = y.shape[1] - 2, y.shape[2] - 2
    centre = y[:, 1:-1, 1:-1]
    bright = torch.stack([y[:, i : i + h, j : j + w] >= centre for i, j in CIRCLE])
    arcs = (bright != bright.roll(1, 0)).sum(0)
    return _shares(torch.where(arcs <= 2, bright.sum(0), PATTERNS - 1), PATTERNS)


def shape(image: Tensor) -> Tensor:
    """Share of edge strength of uint8 ``image`` [N, C, H, W] in each direction: float64 [N, 8]."""
    y = brightness(image)
    across, down = _sobel(y), _sobel(y.transpose(1, 2)).transpose(1, 2)
    strength = torch.hypot(across.double(), down.double())
    # No quotient of integers lies on the border of a bin, whose tangents are irrational.
    angle = torch.atan2(down.double(), across.double())
    index = (angle * (EDGES / math.pi)).round().long() % EDGES
    share = torch.stack([strength.where(index == edge, 0.0).sum((1, 2)) for edge in range(EDGES)], dim=1)
    total = share.sum(1, keepdim=True)
    return share / total.where(total > 0, 1.0)


def _sobel(y: Tensor) -> Tensor:
    slope = y[:, :, 2:] - y[:, :, :-2]
    return slope[:, :-2] + 2 * slope[:, 1:-1] + slope[:, 2:]


def _shares(index: Tensor, bins: int) -> Tensor:
    # A pass for each bin: `scatter_add` and `bincount` have no deterministic form on a GPU.
    count = torch.stack([(index == i).sum((1, 2)) for i in range(bins)], dim=1)
    return count.double() / index[0].numel()


def describe(image: Tensor) -> Tensor:
    """Colour, texture and shape of uint8 ``image`` [N, C, H, W], side by side: float32 [N, 82], of grey ones [N, 34].

    Raises:
        ValueError: if it is no such image, with sides of at least 3.
    """
    check_images(image, least=3)
    if not len(image):
        return torch.empty(0, _width(image.shape[1]), device=image.device)
    return torch.cat([colour(image), texture(image), shape(image)], dim=1).float()


def _width(channels: int) -> int:
    return (GREY_CELLS if channels == 1 else RGB_CELLS) + PATTERNS + EDGES


def distance(a: Tensor, b: Tensor, slices: int = 512, seed: int = 0) -> Tensor:
    """Sliced Wasserstein distance of ``a`` [n, d] and ``b`` [m, d], in units of Euclid's: a scalar, float64."""
    d = a.shape[1]
    unit = math.exp(math.lgamma(d / 2) - math.lgamma((d + 1) / 2)) / math.sqrt(math.pi)
    return sliced_wasserstein(a, b, orthonormal_directions(d, slices, seed)) / unit


class DescriptionList(Metric):
    """The descriptions of a stream of images.

    Args:
        channels: of the images, 1 or 3.
    """

    is_differentiable = False
    full_state_update = False
    seen: list[Tensor]

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.add_state("seen", [], dist_reduce_fx="cat")
        self.reset()

    def reset(self) -> None:
        """Forget all images."""
        super().reset()
        # A rank without images must bring a tensor of the same kind as the others to be gathered.
        self.seen.append(torch.empty(0, _width(self.channels), device=self.device))

    def update(self, samples: Tensor) -> None:
        """Add ``samples``, uint8 [N, C, H, W].

        Raises:
            ValueError: if they are no such images.
        """
        described = describe(samples)
        if samples.shape[1] != self.channels:
            raise ValueError(
                f"The samples have {samples.shape[1]} channels, the reference {self.channels}: bring both to one."
            )
        self.seen.append(described)


class Descriptions(DescriptionList):
    """The descriptions of a stream of images, as the reference of ``Diversity``."""

    def compute(self) -> Tensor:
        """Those of all ranks: float32 [N, 82], of grey images [N, 34]."""
        return dim_zero_cat(self.seen)


class Diversity(DescriptionList):
    """Distances of a stream of images to a reference by colour, texture and shape.

    Args:
        reference: descriptions of the reference images, from ``Descriptions`` or ``describe``.
        slices: random directions.
        seed: of the directions.

    Raises:
        ValueError: if the reference holds no descriptions.
    """

    higher_is_better = False
    reference: Tensor

    def __init__(self, reference: Tensor, slices: int = 512, seed: int = 0) -> None:
        channels = {_width(channels): channels for channels in (1, 3)}.get(reference.shape[-1])
        if channels is None or reference.ndim != 2 or not len(reference):
            raise ValueError(
                f"A tensor of shape {tuple(reference.shape)} describes no images: make the reference with `describe`."
            )
        super().__init__(channels)
        self.slices = slices
        self.seed = seed
        self.register_buffer("reference", reference.float(), persistent=False)

    def compute(self) -> dict[str, Tensor]:
        """``colour``, ``texture`` and ``shape`` over all ranks: scalars, float64, 0 for equal sets.

        Raises:
            ValueError: before the first image.
        """
        seen = dim_zero_cat(self.seen)
        if not len(seen):
            raise ValueError("Diversity of no images: update it first.")
        widths = [seen.shape[1] - PATTERNS - EDGES, PATTERNS, EDGES]
        pairs = zip(seen.split(widths, 1), self.reference.split(widths, 1), strict=True)
        scores = [distance(a, b, self.slices, self.seed) for a, b in pairs]
        return dict(zip(("colour", "texture", "shape"), scores, strict=True))

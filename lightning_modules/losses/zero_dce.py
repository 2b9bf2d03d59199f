"""What an image in good light is like, said without any: the losses of Zero-DCE (Guo et al. 2020, section 3.3).

Forms and weights are those of its released code, since they belong together: exposure by the squared distance and
weight 10, colour by the root over squares of squares and weight 5, smoothness by squares and weight 200 (the paper's
equations have other forms and weights). Deviations: no difference to a border of zeros in the spatial term.
"""

from abc import abstractmethod

from torch import Tensor
from torch.nn.functional import avg_pool2d

from lightning_modules.losses.terms import WeightedTerm

REGION = 4  # px: side of the regions whose contrast is kept


class ZeroReferenceLoss(WeightedTerm):
    """A term on what became of an image, and by which maps."""

    @abstractmethod
    def __call__(self, y: Tensor, image: Tensor, maps: Tensor) -> Tensor:
        """The term, a scalar, weighted: of ``y`` and ``image`` [N, 3, H, W], and ``maps`` [N, M, H, W]."""


class SpatialConsistency(ZeroReferenceLoss):
    """Neighbouring regions are to differ as they did: contrast stays where it was."""

    name = "spatial"

    def __call__(self, y: Tensor, image: Tensor, maps: Tensor) -> Tensor:
        """weight * mean over 4x4 regions of the sum over their neighbours (up to four) of (change of difference)^2."""
        gained = avg_pool2d((image - y).mean(1, keepdim=True), REGION)  # differences are linear
        down, right = gained.diff(dim=2).square().sum(), gained.diff(dim=3).square().sum()
        return self.weight * 2 * (down + right) / gained.numel()  # each neighbourhood is two regions'


class Exposure(ZeroReferenceLoss):
    """Each region is to be as bright as a well exposed one.

    Args:
        weight: of the term.
        level: that brightness, in [0, 1].
        region: side of a region in px.
    """

    name = "exposure"

    def __init__(self, weight: float = 10.0, level: float = 0.6, region: int = 16) -> None:
        super().__init__(weight)
        if not 0 <= level <= 1 or region < 1:
            raise ValueError(
                f"Exposure: give a level in [0, 1] and a region of 1 px or more, got {level:g} and {region}"
            )
        self.level, self.region = level, region

    def __call__(self, y: Tensor, image: Tensor, maps: Tensor) -> Tensor:
        """weight * mean (mean of a region - level)^2."""
        return self.weight * (avg_pool2d(image.mean(1, keepdim=True), self.region) - self.level).square().mean()


class ColourConstancy(ZeroReferenceLoss):
    """The channels are to have one mean: the world is grey on average.

    Args:
        weight: of the term.
    """

    name = "colour"

    def __init__(self, weight: float = 5.0) -> None:
        super().__init__(weight)

    def __call__(self, y: Tensor, image: Tensor, maps: Tensor) -> Tensor:
        """weight * mean over images of sqrt((R - G)^4 + (R - B)^4 + (G - B)^4), each the channel's mean."""
        R, G, B = image.mean((2, 3)).unbind(1)
        total = (R - G) ** 4 + (R - B) ** 4 + (G - B) ** 4
        return self.weight * total.clamp_min(1e-20).sqrt().mean()  # the root has no slope at 0


class MapSmoothness(ZeroReferenceLoss):
    """Neighbouring pixels are to be brightened alike.

    Args:
        weight: of the term.
    """

    name = "smoothness"

    def __init__(self, weight: float = 200.0) -> None:
        super().__init__(weight)

    def __call__(self, y: Tensor, image: Tensor, maps: Tensor) -> Tensor:
        """weight * 2 * the sum over maps of (mean squared step down + mean squared step to the right)."""
        down, right = (maps.float().diff(dim=dim).square().mean((0, 2, 3)).sum() for dim in (2, 3))
        return self.weight * 2 * (down + right)

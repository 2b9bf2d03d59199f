"""What a picture keeps of its content and takes of a style, by the layers of a network that is not trained.

Content is where things are: the maps themselves (Gatys et al. 2016, eq. 1; Johnson et al. 2016, eq. 2). Style is what
is left when places are forgotten: Gram matrices (Gatys et al., eqs. 3 to 5; Johnson et al., eqs. 3 and 4), or means and
deviations (Huang and Belongie 2017, eq. 13). All are means over layers, and over what a layer has of values where the
papers divide by their number: Johnson's forms, of which Gatys's style is a quarter. Deviation: Huang and Belongie
print norms, their code has the mean squares that stand here.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from datamodules.functional.statistics import gram, moments
from lightning_modules.losses.terms import WeightedTerm

Maps = Mapping[str, Tensor]


class FeatureTerm(WeightedTerm):
    """A term on what layers see in an image, beside what they are to see.

    Args:
        layers: those that it looks at.
        weight: of the term.
        relative: divide each layer's distance by that of its target from 0, so that layers count alike whatever the
            network; VGG19's of Gatys et al. is scaled for that once and for all.

    Raises:
        ValueError: no layers, or a negative weight.
    """

    def __init__(self, layers: Sequence[str], weight: float = 1.0, relative: bool = False) -> None:
        super().__init__(weight)
        if not layers:
            raise ValueError(f"{type(self).__name__} has no layers: name some of the feature network's")
        self.layers, self.relative = tuple(layers), relative

    def targets(self, maps: Maps) -> list[Tensor]:
        """What each of its layers is to be like: as it is in ``maps``."""
        return [self.exactly(maps[layer]).detach() for layer in self.layers]

    def __call__(self, maps: Maps, targets: Sequence[Tensor], guide: Tensor | None = None) -> Tensor:
        """The term, a scalar, weighted; with a ``guide`` [N, 1, H, W] places count by their shares of it."""
        found = [self.exactly(maps[layer], guide) for layer in self.layers]
        apart = [self.apart(one, target) for one, target in zip(found, targets, strict=True)]
        return self.weight * torch.stack(apart).mean()

    def exactly(self, maps: Tensor, guide: Tensor | None = None) -> Tensor:
        """The statistic in full precision, which sums over an image need."""
        with torch.autocast(maps.device.type, enabled=False):
            return self.statistic(maps.float(), guide)

    def apart(self, found: Tensor, target: Tensor) -> Tensor:
        """The distance of one layer, relative where that is asked."""
        distance = self.distance(found, target)
        return distance / self.distance(torch.zeros_like(target), target) if self.relative else distance

    @abstractmethod
    def statistic(self, maps: Tensor, guide: Tensor | None = None) -> Tensor:
        """What is compared of one layer's ``maps`` [N, C, h, w]: [N, ...]."""

    def distance(self, found: Tensor, target: Tensor) -> Tensor:
        """Between what was found and what is wanted: a scalar."""
        return (found - target).square().mean()


class Content(FeatureTerm):
    """The maps themselves: mean (f - f')^2. It looks at all places, whatever the guide."""

    name = "content"

    def statistic(self, maps: Tensor, guide: Tensor | None = None) -> Tensor:
        """The maps."""
        return maps


class StyleTerm(FeatureTerm):
    """A term on what a style is recognised by."""

    name = "style"


class GramStyle(StyleTerm):
    """Gram matrices: the squared Frobenius norm of their difference."""

    def statistic(self, maps: Tensor, guide: Tensor | None = None) -> Tensor:
        """[N, C, C]."""
        return gram(maps, guide)

    def distance(self, found: Tensor, target: Tensor) -> Tensor:
        """Mean over N of the sum of (G - G')^2."""
        return (found - target).square().sum((1, 2)).mean()


class MomentStyle(StyleTerm):
    """Means and deviations of the maps: the sum of both mean squared differences."""

    def statistic(self, maps: Tensor, guide: Tensor | None = None) -> Tensor:
        """[N, 2, C]."""
        return moments(maps, guide)

    def distance(self, found: Tensor, target: Tensor) -> Tensor:
        """mean (mu - mu')^2 + mean (sigma - sigma')^2."""
        return 2 * (found - target).square().mean()

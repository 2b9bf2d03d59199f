"""One network's eyes on an image and on smaller ones of it: what is larger than it reads, it then sees too.

As Gaussian pyramids are used with Gram matrices for larger structure (Snelgrove 2017, "High-resolution multi-scale
neural texture synthesis"); each size is the last one's under the binomial filter [1, 3, 3, 1], of which every second
pixel is kept.
"""

from collections.abc import Sequence

from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from lightning_modules.networks.base import FeatureMaps


class Octaves(FeatureMaps):
    """The layers of ``features`` at several octaves: ``<layer>`` of the image, ``<layer>/2`` at half its size, ...

    Args:
        features: whose layers.
        octaves: how many sizes of the image.
        layers: those that are taken of each octave; all unless given.

    Raises:
        ValueError: no octave, or layers that the network has not.
    """

    def __init__(self, features: FeatureMaps, octaves: int = 3, layers: Sequence[str] | None = None) -> None:
        super().__init__()
        if octaves < 1:
            raise ValueError(f"Octaves: give 1 octave or more, got {octaves}")
        features.require(layers or ())
        self.features, self.octaves = features, octaves
        self.layers = tuple(features.widths if layers is None else layers)
        self.title = f"{features.title}-{octaves}octaves"
        self.minimum = features.minimum * 2 ** (octaves - 1)
        self.widths = {named(layer, i): features.widths[layer] for i in range(octaves) for layer in self.layers}

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """``x`` [N, C, H, W] in [0, 1] to the maps of each octave."""
        maps: dict[str, Tensor] = {}
        for i in range(self.octaves):
            x = halved(x) if i else x
            seen = self.features(x)
            maps |= {named(layer, i): seen[layer] for layer in self.layers}
        return maps


def named(layer: str, octave: int) -> str:
    """What ``layer`` is called at ``octave``."""
    return f"{layer}/{2**octave}" if octave else layer


def halved(x: Tensor) -> Tensor:
    """``x`` [N, C, H, W] at half its size, its border mirrored: three averages of 2 x 2 px, the last one's stride 2."""
    x = avg_pool2d(pad(x, (1, 1, 1, 1), mode="reflect"), 2, stride=1)
    return avg_pool2d(avg_pool2d(x, 2, stride=1), 2)

"""Networks that are not trained any more, and whose layers say what an image is like."""

from abc import abstractmethod
from collections.abc import Sequence

from torch import Tensor

from lightning_modules.networks.base.network import Network


class FeatureMaps(Network):
    """Images in [0, 1] to what the layers of a network see in them.

    Attributes:
        title: the network and whose weights it has, for records.
        widths: its layers by name, nearest the image first, each with its number of maps.
        minimum: least side in px of an image.
    """

    title: str
    widths: dict[str, int]
    minimum: int = 1

    @abstractmethod
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """``x`` [N, 3, H, W] in [0, 1] to each layer's maps [N, C', h, w], in the order of ``widths``."""

    def require(self, layers: Sequence[str]) -> None:
        """Raise ValueError where one of ``layers`` is none of its."""
        for layer in layers:
            if layer not in self.widths:
                raise ValueError(f"{self.title} has no layer {layer!r}: choose of {', '.join(self.widths)}")

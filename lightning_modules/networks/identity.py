"""The network that changes nothing: what a damaged image scores by itself, the first row of a table."""

from torch import Tensor

from lightning_modules.networks.base import Network


class Identity(Network):
    """y -> y. It has no parameters."""

    def forward(self, y: Tensor) -> Tensor:
        """``y`` itself."""
        return y

"""Networks that need no training: what a damaged image scores by itself, or one grey, the first rows of a table."""

from torch import Tensor

from lightning_modules.networks.base import Network


class Identity(Network):
    """y -> y. It has no parameters."""

    def forward(self, y: Tensor) -> Tensor:
        """``y`` itself."""
        return y


class Constant(Network):
    """Every y -> one colour without structure: what an error in pixels asks of a picture at the least.

    Args:
        value: of every pixel, in the range that the networks see; 0 is the middle grey of [-1, 1].
    """

    def __init__(self, value: float = 0.0) -> None:
        super().__init__()
        self.value = value

    def forward(self, y: Tensor) -> Tensor:
        """``value``, as large as ``y``."""
        return y.new_full(y.shape, self.value)

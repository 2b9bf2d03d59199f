"""Self-ensemble (Timofte et al. 2016, "Seven ways to improve example-based single image super resolution").

EDSR's "+" (Lim et al. 2017): the mean over the eight turns of the square of the network's answer to the turned image,
turned back. It costs eight times as much and asks for no training.
"""

from torch import Tensor

from lightning_modules.tools.tiles import Restoration

TURNS = [(quarters, mirrored) for quarters in range(4) for mirrored in (False, True)]  # the first leaves all as it is


class SelfEnsemble:
    """A restoration by the mean over eight turns.

    It sees as far as the network does, in that of its directions in which it sees furthest. One that stands on a grid
    (by strides) does so from both ends: give it images whose sides are multiples of the grid's.

    Args:
        restoration: [N, C, h, w] to [N, C', h scale, w scale].
    """

    def __init__(self, restoration: Restoration) -> None:
        self.restoration = restoration

    def __call__(self, y: Tensor) -> Tensor:
        """The mean answer to ``y`` [N, C, h, w]."""
        total = self.restoration(y)
        for quarters, mirrored in TURNS[1:]:
            total = total + turned_back(self.restoration(turned(y, quarters, mirrored)), quarters, mirrored)
        return total / len(TURNS)


def turned(image: Tensor, quarters: int, mirrored: bool) -> Tensor:
    """``image`` [N, C, H, W] by so many quarters against the clock, then mirrored left to right."""
    image = image.rot90(quarters, (2, 3))
    return image.flip(3) if mirrored else image


def turned_back(image: Tensor, quarters: int, mirrored: bool) -> Tensor:
    """The inverse of ``turned``."""
    return (image.flip(3) if mirrored else image).rot90(-quarters, (2, 3))

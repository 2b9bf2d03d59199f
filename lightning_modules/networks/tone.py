"""Enhancement without weights: the rows that a trained network has to beat.

Gamma correction, with one exponent for all images or with the one that gives each image the mean it should have, and
histogram equalisation (Gonzalez and Woods, "Digital image processing", section 3.3), of luma or of each channel.
"""

import torch
from torch import Tensor

from datamodules.functional.colour import GREY
from datamodules.functional.constants import constant
from lightning_modules.networks.base import Network

LEVELS = 256
HALVINGS = 40  # of the interval that holds the exponent: far below float32's precision
STEEPEST = 6.0  # log2 of the largest exponent


class Gamma(Network):
    """y -> y^exponent. It has no parameters.

    Args:
        exponent: below 1 brightens; the inverse of a display's 2.2 unless given.
    """

    def __init__(self, exponent: float = 1 / 2.2) -> None:
        super().__init__()
        if exponent <= 0:
            raise ValueError(f"Gamma's exponent is {exponent:g}: give a number above 0, below 1 to brighten")
        self.exponent = exponent

    def forward(self, y: Tensor) -> Tensor:
        """``y`` [N, C, H, W] in [0, 1], with the exponent."""
        return y.clamp_min(0) ** self.exponent


class MeanGamma(Network):
    """y -> y^g, g being each image's own, so that its mean becomes ``mean``. It has no parameters.

    Exponents lie between 1/64 and 64; an image that none of them brings there (a black one) gets the nearest.

    Args:
        mean: over all pixels and channels.
    """

    def __init__(self, mean: float = 0.5) -> None:
        super().__init__()
        if not 0 < mean < 1:
            raise ValueError(f"MeanGamma's mean is {mean:g}: give a number between 0 and 1")
        self.mean = mean

    def forward(self, y: Tensor) -> Tensor:
        """``y`` [N, C, H, W] in [0, 1], each image with its exponent."""
        y = y.clamp(0, 1)
        low = torch.full((len(y), 1, 1, 1), -STEEPEST, dtype=y.dtype, device=y.device)
        high = -low
        for _ in range(HALVINGS):  # the mean falls as the exponent grows
            middle = (low + high) / 2
            bright = (y ** middle.exp2()).mean((1, 2, 3), keepdim=True) > self.mean
            low, high = torch.where(bright, middle, low), torch.where(bright, high, middle)
        return y ** ((low + high) / 2).exp2()


class Equalise(Network):
    """Each grey level to the share of pixels that are darker, so that all levels are used alike. No parameters.

    Args:
        luma: equalise luma and scale the channels by what became of it, which keeps hues; else each channel by itself.
    """

    def __init__(self, luma: bool = True) -> None:
        super().__init__()
        self.luma = luma

    def forward(self, y: Tensor) -> Tensor:
        """``y`` [N, C, H, W] in [0, 1], equalised at 256 levels."""
        if not self.luma or y.shape[1] == 1:
            return equalised(y)
        weights = constant(GREY, y.device, y.dtype).view(1, 3, 1, 1)
        before = (y * weights).sum(1, keepdim=True)
        ratio = equalised(before) / before.clamp_min(1 / (2 * LEVELS))
        return (y * ratio).clamp(0, 1)


def equalised(y: Tensor) -> Tensor:
    """Each channel of ``y`` [N, C, H, W]: (F(v) - F(darkest)) / (1 - F(darkest)), F being the share of pixels up to v.

    A channel of one level stays as it is.
    """
    levels = (y.clamp(0, 1) * (LEVELS - 1)).round().long().flatten(2)  # [N, C, H W]
    counts = torch.zeros(*levels.shape[:2], LEVELS, dtype=torch.float64, device=y.device)
    counts.scatter_add_(2, levels, torch.ones_like(levels, dtype=torch.float64))
    cumulated = counts.cumsum(2)
    darkest = cumulated.gather(2, levels.amin(2, keepdim=True))
    rest = levels.shape[2] - darkest
    spread = (cumulated - darkest) / rest.clamp_min(1)
    found = spread.gather(2, levels).view_as(y).to(y.dtype)
    return torch.where(rest[..., None] > 0, found, y)

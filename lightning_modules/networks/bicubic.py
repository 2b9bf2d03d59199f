"""MATLAB's bicubic enlargement as a network: the baseline that every table of super-resolution begins with."""

from torch import Tensor

from datamodules.functional.quantise import UNIT, from_uint8, to_uint8
from datamodules.functional.resize import Border, bicubic_by
from lightning_modules.networks.base import Upscaler


class Bicubic(Upscaler):
    """``imresize(A, scale)`` of an 8-bit image, bit for bit. It has no parameters and passes no gradient.

    Args:
        border: beyond the image: "mirror" is MATLAB of today, "clamp" MATLAB of old.
    """

    def __init__(self, border: Border = "mirror") -> None:
        super().__init__()
        self.border = border

    def forward(self, y: Tensor, scale: int) -> Tensor:
        """``y`` [N, C, h, w] in [0, 1], quantised first, to [N, C, h scale, w scale] in [0, 1] in steps of 1/255."""
        return from_uint8(bicubic_by(to_uint8(y, UNIT), scale, self.border), UNIT)

"""VDSR (Kim et al. 2016, "Accurate image super-resolution using very deep convolutional networks", section 3).

Twenty convolutions say what bicubic enlargement lacks. One network serves several scales, since it sees the enlarged
image alone, as differences from mid-grey.
"""

from torch import Tensor, nn

from datamodules.functional.resize import bicubic_floats
from lightning_modules.networks.base import MID_GREY, Upscaler
from lightning_modules.networks.init import He


class VDSR(Upscaler):
    """y -> x for any of ``scales``.

    Args:
        depth: convolutions.
        width: channels between them.
        channels: of the images.
        scales: those that it is trained for.
        still: begin the last convolution at 0, so that training starts from bicubic enlargement itself.
    """

    def __init__(
        self,
        depth: int = 20,
        width: int = 64,
        channels: int = 1,
        scales: tuple[int, ...] = (2, 3, 4),
        still: bool = False,
    ) -> None:
        super().__init__()
        if depth < 2:
            raise ValueError(f"depth is {depth}: VDSR has a first and a last convolution, give 2 or more")
        self.scales = tuple(scales)
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.ReLU(inplace=True)]
        for _ in range(depth - 2):
            layers += [nn.Conv2d(width, width, 3, padding=1, bias=False), nn.ReLU(inplace=True)]
        last = nn.Conv2d(width, channels, 3, padding=1, bias=False)
        self.layers = nn.Sequential(*layers, last)
        self.apply(He())
        if still:
            nn.init.zeros_(last.weight)

    def forward(self, y: Tensor, scale: int) -> Tensor:
        """``y`` [N, C, h, w] to [N, C, h scale, w scale]."""
        x = bicubic_floats(y, scale)
        return x + self.layers(x - MID_GREY)

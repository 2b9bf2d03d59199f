"""EDSR and SRResNet: residual blocks at the small size, then sub-pixel convolutions.

EDSR: Lim et al. 2017, "Enhanced deep residual networks for single image super-resolution", sections 3.1 and 3.2; its
baseline has 16 blocks of 64 channels. SRResNet: Ledig et al. 2017, "Photo-realistic single image super-resolution using
a generative adversarial network", section 2.1.1: PReLU, batch norm, 9x9 convolutions at both ends.
Deviation of SRResNet: its image has the LR's value range, [0, 1], not [-1, 1].
"""

from itertools import chain

import torch
from torch import Tensor, nn

from lightning_modules.networks.base import Upscaler

DIV2K_MEAN = (0.4488, 0.4371, 0.4040)


class Residual(nn.Module):
    """x + weight * layers(x).

    Args:
        layers: from ``width`` channels to as many.
        weight: of what they add.
    """

    def __init__(self, *layers: nn.Module, weight: float = 1.0) -> None:
        super().__init__()
        self.layers, self.weight = nn.Sequential(*layers), weight

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [N, C, h, w] to the same shape."""
        return x + self.weight * self.layers(x) if self.weight != 1 else x + self.layers(x)


def factors_of(scale: int) -> list[int]:
    """The enlargements, one after the other, that make ``scale``: twofold ones, or a threefold one.

    Raises:
        ValueError: for a scale that is neither a power of two nor 3.
    """
    if scale != 3 and (scale < 2 or scale & (scale - 1)):
        raise ValueError(f"scale is {scale}: images are enlarged by 3 or a power of two")
    return [3] if scale == 3 else [2] * (scale.bit_length() - 1)


def sub_pixel(scale: int, width: int) -> list[list[nn.Module]]:
    """The layers of each of the enlargements that together make ``scale``, by sub-pixel convolution."""
    return [[nn.Conv2d(width, width * f * f, 3, padding=1), nn.PixelShuffle(f)] for f in factors_of(scale)]


class EDSR(Upscaler):
    """y -> x for one scale; the defaults are EDSR-baseline's.

    Args:
        scale: the one.
        blocks: residual blocks.
        width: channels.
        residual: weight of what a block adds; EDSR of 32 blocks and 256 channels has 0.1.
        channels: of the images.
        mean: of each channel, taken off before and added after.
    """

    mean: Tensor

    def __init__(
        self,
        scale: int = 4,
        blocks: int = 16,
        width: int = 64,
        residual: float = 1.0,
        channels: int = 3,
        mean: tuple[float, ...] = DIV2K_MEAN,
    ) -> None:
        super().__init__()
        if len(mean) not in (1, channels):
            raise ValueError(f"mean has {len(mean)} values, the images {channels} channels: give one for each")
        self.scales = (scale,)
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.first = nn.Conv2d(channels, width, 3, padding=1)
        body = [Residual(conv(width), nn.ReLU(inplace=True), conv(width), weight=residual) for _ in range(blocks)]
        self.body = Residual(*body, conv(width))
        self.last = nn.Sequential(*chain(*sub_pixel(scale, width)), nn.Conv2d(width, channels, 3, padding=1))

    def forward(self, y: Tensor, scale: int) -> Tensor:
        """``y`` [N, C, h, w] to [N, C, h scale, w scale]."""
        return self.last(self.body(self.first(y - self.mean))) + self.mean


class SRResNet(Upscaler):
    """y -> x for one scale.

    Args:
        scale: the one.
        blocks: residual blocks.
        width: channels.
        channels: of the images.
    """

    def __init__(self, scale: int = 4, blocks: int = 16, width: int = 64, channels: int = 3) -> None:
        super().__init__()
        self.scales = (scale,)
        self.first = nn.Sequential(nn.Conv2d(channels, width, 9, padding=4), nn.PReLU())
        body = [
            Residual(conv(width), nn.BatchNorm2d(width), nn.PReLU(), conv(width), nn.BatchNorm2d(width))
            for _ in range(blocks)
        ]
        self.body = Residual(*body, conv(width), nn.BatchNorm2d(width))
        enlarge = chain(*([*layers, nn.PReLU()] for layers in sub_pixel(scale, width)))
        self.last = nn.Sequential(*enlarge, nn.Conv2d(width, channels, 9, padding=4))

    def forward(self, y: Tensor, scale: int) -> Tensor:
        """``y`` [N, C, h, w] to [N, C, h scale, w scale]."""
        return self.last(self.body(self.first(y)))


def conv(width: int) -> nn.Conv2d:
    """3x3 of equal width."""
    return nn.Conv2d(width, width, 3, padding=1)

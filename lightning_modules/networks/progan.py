"""ProGAN's networks, which grow (Karras et al. 2018, "Progressive growing of GANs for improved quality, stability, and
variation", section 2, table 2).

``growth`` says how far: at 0 the images have 4 px, at i 4 * 2^i; in between the newest blocks are faded in, at the
share that the fraction says. Whatever it is, images have their full size: small ones are enlarged by repetition, and D
averages them again. It is part of the state, so that a checkpoint knows how far its networks have grown.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from lightning_modules.networks.base import Discriminator, Generator, Growing
from lightning_modules.networks.equalised import EqualisedConv2d, EqualisedLinear, Leaky, MinibatchDeviation, PixelNorm
from lightning_modules.networks.resolutions import SMALLEST, Widths, levels

GAIN = math.sqrt(2)
PUBLISHED = Widths(16384, 512)


class Grown(Growing):
    """How far a network has grown, kept in its state.

    Attributes:
        levels: resolutions.
    """

    levels: int
    growth: float

    @property
    def level(self) -> int:
        """The newest resolution's number."""
        return math.ceil(self.growth)

    @property
    def share(self) -> float:
        """Of the newest blocks; 1 where they are all there is."""
        return 1.0 if self.growth == self.level else self.growth - math.floor(self.growth)

    def get_extra_state(self) -> Tensor:
        """``growth``, for the checkpoint."""
        return torch.tensor(self.growth, dtype=torch.float64)

    def set_extra_state(self, state: Tensor) -> None:
        """Take it from there."""
        self.growth = float(state)


def normed(layer: nn.Module) -> list[nn.Module]:
    """``layer``, LeakyReLU, pixel norm."""
    return [layer, Leaky(gain=1.0), PixelNorm()]


class Enlarge(nn.Module):
    """Twice the sides, each pixel four times."""

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [N, C, H, W] to [N, C, 2 H, 2 W]."""
        return interpolate(x, scale_factor=2)


class Bias(nn.Module):
    """A number for each map.

    Args:
        channels: maps.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [N, channels, H, W]."""
        return x + self.bias


class ProGANGenerator(Grown, Generator):
    """z -> x.

    Args:
        size: side of the images in px, a power of two from 4.
        channels: of the images.
        z_dim: length of z.
        widths: feature maps of each resolution.
    """

    def __init__(self, size: int = 1024, channels: int = 3, z_dim: int = 512, widths: Widths = PUBLISHED) -> None:
        super().__init__()
        sides, first = levels(size), widths.at(SMALLEST)
        self.z_dim, self.out_shape = z_dim, (channels, size, size)
        self.levels, self.growth = len(sides), float(len(sides) - 1)
        start = nn.Sequential(
            PixelNorm(),
            EqualisedLinear(z_dim, first * SMALLEST**2, bias=False, gain=GAIN / SMALLEST),
            nn.Unflatten(1, (first, SMALLEST, SMALLEST)),
            Bias(first),
            Leaky(gain=1.0),
            PixelNorm(),
            *normed(EqualisedConv2d(first, first, 3, gain=GAIN)),
        )
        self.blocks = nn.ModuleList([start])
        for before, after in pairwise(widths.at(side) for side in sides):
            layers = [EqualisedConv2d(before, after, 3, gain=GAIN), EqualisedConv2d(after, after, 3, gain=GAIN)]
            self.blocks.append(nn.Sequential(Enlarge(), *(part for layer in layers for part in normed(layer))))
        self.colours = nn.ModuleList(EqualisedConv2d(widths.at(side), channels, 1) for side in sides)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """``z`` [N, z_dim] to images [N, *out_shape], as sharp as ``growth`` lets them be."""
        x = before = z
        for block in self.blocks[: self.level + 1]:
            before, x = x, block(x)
        image = self.colours[self.level](x)
        if self.share < 1:
            image = torch.lerp(interpolate(self.colours[self.level - 1](before), scale_factor=2), image, self.share)
        return interpolate(image, size=self.out_shape[1:]) if image.shape[2] < self.out_shape[1] else image


class ProGANDiscriminator(Grown, Discriminator):
    """Images [N, C, size, size] to scores [N].

    Args:
        size: side of the images in px, a power of two from 4.
        channels: of the images.
        widths: feature maps of each resolution.
        group: images over which the deviation is taken.
    """

    blocks_take_images = False

    def __init__(self, size: int = 1024, channels: int = 3, widths: Widths = PUBLISHED, group: int = 4) -> None:
        super().__init__()
        sides, last = levels(size), widths.at(SMALLEST)
        self.image_shape = (channels, size, size)
        self.levels, self.growth = len(sides), float(len(sides) - 1)
        self.colours = nn.ModuleList(
            nn.Sequential(EqualisedConv2d(channels, widths.at(side), 1, gain=GAIN), Leaky(gain=1.0)) for side in sides
        )
        halving = [
            nn.Sequential(
                EqualisedConv2d(before, before, 3, gain=GAIN),
                Leaky(gain=1.0),
                EqualisedConv2d(before, after, 3, gain=GAIN),
                Leaky(gain=1.0),
                nn.AvgPool2d(2),
            )
            for after, before in pairwise(widths.at(side) for side in sides)
        ]
        self.blocks = nn.Sequential(*reversed(halving))
        self.epilogue = nn.Sequential(
            MinibatchDeviation(group),
            EqualisedConv2d(last + 1, last, 3, gain=GAIN),
            Leaky(gain=1.0),
            nn.Flatten(),
            EqualisedLinear(last * SMALLEST**2, last, gain=GAIN),
            Leaky(gain=1.0),
        )
        self.head = EqualisedLinear(last, 1)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """``x`` [N, C, size, size] to scores [N]."""
        return self.verdict(self.features(x, y), y)

    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """What the head judges: [N, maps]."""
        level = self.level
        x = shrunk(x, self.levels - 1 - level)
        found = self.colours[level](x)
        for i in range(self.levels - 1 - level, self.levels - 1):
            found = self.blocks[i](found)
            if self.share < 1 and i == self.levels - 1 - level:
                found = torch.lerp(self.colours[level - 1](shrunk(x, 1)), found, self.share)
        return self.epilogue(found)


def shrunk(x: Tensor, times: int) -> Tensor:
    """``x`` [N, C, H, W] with sides halved so many times, by averages."""
    return avg_pool2d(x, 2**times) if times else x

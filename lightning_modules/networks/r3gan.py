"""R3GAN's networks (Huang et al. 2024, "The GAN is dead; long live the GAN! A modern baseline GAN", section 3; numbers
from its published code): ResNeXt's blocks without any norm, in G as in D.

Each resolution has residual blocks of 1x1, grouped 3x3 and 1x1 convolutions. The last one starts at 0, so that a block
starts as the identity, and the others are scaled by L^(-1/4), L blocks being in the network (Fixup, Zhang et al. 2019):
so a network of any depth starts well without norms. Between two resolutions stands the filter [1, 2, 1] on repeated
pixels, together [1, 3, 3, 1], and a 1x1 convolution where the width changes. G ends without tanh: the range of values
is learned, and clipped when images are made bytes.
In half precision all of 4 px stays in float32, and what goes from block to block above is half too. Deviation: at
256 px the code has float32 at 8 and 16 px, too.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.amp.autocast_mode import is_autocast_available
from torch.nn.functional import leaky_relu

from lightning_modules.networks.base import Discriminator, Generator
from lightning_modules.networks.conditional import given
from lightning_modules.networks.equalised import SLOPE, in_full
from lightning_modules.networks.fir import FIR, DenseFIR
from lightning_modules.networks.resolutions import LARGEST, SMALLEST
from lightning_modules.networks.spectral import full_precision

GAIN = math.sqrt(2 / (1 + SLOPE**2))  # makes up for what a LeakyReLU takes
TAPS = (1.0, 3.0, 3.0, 1.0)
WIDTHS = (768, 768, 768, 768)


def drawn(weight: Tensor, fan_in: int, gain: float = 1.0) -> Tensor:
    """``weight``, filled from N(0, gain^2 / fan_in) (He et al. 2015)."""
    return nn.init.normal_(weight, std=gain / math.sqrt(fan_in))


def convolution(before: int, after: int, kernel: int = 1, groups: int = 1, gain: float = 1.0) -> nn.Conv2d:
    """A convolution without bias that keeps the sides."""
    layer = nn.Conv2d(before, after, kernel, padding=kernel // 2, groups=groups, bias=False)
    drawn(layer.weight, before // groups * kernel**2, gain)
    return layer


def linear(before: int, after: int) -> nn.Linear:
    """A fully connected layer without bias."""
    layer = nn.Linear(before, after, bias=False)
    drawn(layer.weight, before)
    return layer


class BiasedLeaky(nn.Module):
    """LeakyReLU 0.2 of maps and a bias for each.

    Args:
        maps: how many.
    """

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(maps, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [N, maps, H, W]."""
        return leaky_relu(x + self.bias.to(x.dtype), SLOPE)


class ResidualBlock(nn.Module):
    """x + [1x1, grouped 3x3, 1x1], with biased LeakyReLUs between; the identity at the start.

    Args:
        width: maps of x.
        expansion: how many times as many the 3x3 convolution has.
        group: maps of it that see each other.
        gain: on the scale of the first two convolutions.

    Raises:
        ValueError: maps that do not make whole groups.
    """

    def __init__(self, width: int, expansion: int = 2, group: int = 16, gain: float = 1.0) -> None:
        super().__init__()
        wide = expansion * width
        if width < 1 or expansion < 1 or group < 1 or wide % group:
            raise ValueError(
                f"R3GAN: {expansion} x {width} maps are no whole groups of {group}: set widths, expansion and group "
                "so that each of `widths` times `expansion` is a multiple of `group`"
            )
        self.layers = nn.Sequential(
            convolution(width, wide, gain=GAIN * gain),
            BiasedLeaky(wide),
            convolution(wide, wide, kernel=3, groups=wide // group, gain=GAIN * gain),
            BiasedLeaky(wide),
            convolution(wide, width, gain=0.0),
        )

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [N, width, H, W] to the same shape."""
        return x + self.layers(x)


class Resample(nn.Module):
    """Twice the sides or half of them by a filter, and a 1x1 convolution, at the smaller size, if the width changes.

    Args:
        before: maps that it is given.
        after: maps that it makes.
        fir: the filter.
    """

    def __init__(self, before: int, after: int, fir: FIR) -> None:
        super().__init__()
        self.fir = fir
        self.change = nn.Identity() if before == after else convolution(before, after)


class Up(Resample):
    """To twice the sides."""

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [N, before, H, W] to [N, after, 2 H, 2 W]."""
        return self.fir.up(self.change(x))


class Down(Resample):
    """To half the sides."""

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [N, before, H, W] to [N, after, H / 2, W / 2]."""
        return self.change(self.fir.down(x))


def as_autocast(x: Tensor) -> Tensor:
    """``x`` in the type that autocast computes in, where it is on."""
    kind = x.device.type
    autocast = is_autocast_available(kind) and torch.is_autocast_enabled(kind)
    return x.to(torch.get_autocast_dtype(kind)) if autocast else x


class InFull(nn.Sequential):
    """Layers that stay in float32 whatever autocast says."""

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [N, ...] through all of them."""
        with full_precision(x.device):
            return super().forward(in_full(x))


class Basis(nn.Module):
    """A number for each map of 4 px: its inner product with a learned one (a depthwise 4x4 convolution).

    As a product, since the second derivative of a convolution goes through its groups one by one.

    Args:
        maps: how many.
    """

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(drawn(torch.empty(maps, SMALLEST, SMALLEST), SMALLEST**2))

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [N, maps, 4, 4] to [N, maps]."""
        return (x * self.weight).sum((2, 3))


def side_of(widths: Sequence[int]) -> int:
    """The side of the images of networks with these ``widths``, from 4 px on.

    Raises:
        ValueError: no width, or too many.
    """
    size = SMALLEST * 2 ** (len(widths) - 1)
    if not SMALLEST <= size <= LARGEST:
        raise ValueError(
            f"R3GAN: widths are those of 4, 8, 16, ... px up to the image's side, at most {LARGEST} px: got "
            f"{len(widths)} of them"
        )
    return size


def stages(widths: Sequence[int], blocks: int, expansion: int, group: int) -> list[list[nn.Module]]:
    """The residual blocks of each of ``widths``, scaled as their number asks for.

    Raises:
        ValueError: no blocks.
    """
    if blocks < 1:
        raise ValueError(f"R3GAN: blocks is {blocks}: give 1 or more for each resolution")
    gain = (len(widths) * blocks) ** -0.25
    return [[ResidualBlock(width, expansion, group, gain) for _ in range(blocks)] for width in widths]


class R3GANGenerator(Generator):
    """z, y -> x.

    Args:
        channels: of the image.
        z_dim: length of z; a class is embedded in as many numbers.
        widths: maps at 4 px, 8 px and so on: their number says how large the image is. All 768 for CIFAR-10; 384, 192
            and 96 at 64, 128 and 256 px of FFHQ; all 1536 for ImageNet.
        blocks: residual blocks of each resolution.
        expansion: see ``ResidualBlock``.
        group: see ``ResidualBlock``.
        num_classes: K; none unless given.

    Raises:
        ValueError: widths that make no network.
    """

    def __init__(
        self,
        channels: int = 3,
        z_dim: int = 64,
        widths: Sequence[int] = WIDTHS,
        blocks: int = 2,
        expansion: int = 2,
        group: int = 16,
        num_classes: int | None = None,
    ) -> None:
        super().__init__()
        size, fir = side_of(widths), DenseFIR(TAPS)
        self.z_dim, self.out_shape, self.num_classes = z_dim, (channels, size, size), num_classes
        first, *others = stages(widths, blocks, expansion, group)
        self.embed = None if num_classes is None else nn.Embedding(num_classes, z_dim)
        if self.embed is not None:
            drawn(self.embed.weight, self.embed.num_embeddings)
        self.linear = linear(z_dim if num_classes is None else 2 * z_dim, widths[0])
        self.basis = nn.Parameter(torch.randn(widths[0], SMALLEST, SMALLEST))
        self.first = InFull(*first)
        self.blocks = nn.Sequential(
            *(nn.Sequential(Up(*pair, fir), *made) for pair, made in zip(pairwise(widths), others, strict=True))
        )
        self.colours = convolution(widths[-1], channels)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """``z`` [N, z_dim] and classes ``y`` [N] to images [N, channels, size, size], about in [-1, 1]."""
        with full_precision(z.device):
            given_z = z if self.embed is None else torch.cat([z, self.embed(given(y))], dim=1)
            x = self.basis * self.linear(given_z)[:, :, None, None]
        return in_full(self.colours(self.blocks(as_autocast(self.first(x)))))


class R3GANDiscriminator(Discriminator):
    """Images [N, channels, size, size] to logits [N]: G the other way round.

    Args:
        channels: of the images.
        widths: G's, in the same order, which is from 4 px on.
        blocks: residual blocks of each resolution.
        expansion: see ``ResidualBlock``.
        group: see ``ResidualBlock``.
        num_classes: K; none unless given. A class is embedded in as many numbers as there are maps at 4 px.

    Raises:
        ValueError: widths that make no network.
    """

    def __init__(
        self,
        channels: int = 3,
        widths: Sequence[int] = WIDTHS,
        blocks: int = 2,
        expansion: int = 2,
        group: int = 16,
        num_classes: int | None = None,
    ) -> None:
        super().__init__()
        size, fir, falling = side_of(widths), DenseFIR(TAPS), list(reversed(widths))
        self.image_shape, self.num_classes = (channels, size, size), num_classes
        *others, last = stages(falling, blocks, expansion, group)
        self.blocks = nn.Sequential(
            convolution(channels, falling[0]),
            *(nn.Sequential(*made, Down(*pair, fir)) for pair, made in zip(pairwise(falling), others, strict=True)),
            InFull(*last, Basis(falling[-1])),
        )
        answers = 1 if num_classes is None else falling[-1]
        self.head = linear(falling[-1], answers)
        self.embed = None if num_classes is None else nn.Embedding(num_classes, answers)
        if self.embed is not None:
            drawn(self.embed.weight, self.embed.num_embeddings, answers**-0.5)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """``x`` [N, channels, size, size] and classes ``y`` [N] to logits [N]."""
        return self.verdict(self.features(x, y), y)

    def verdict(self, features: Tensor, y: Tensor | None = None) -> Tensor:
        """The logits [N] of ``features`` [N, maps of 4 px]."""
        with full_precision(features.device):
            found: Tensor = self.head(in_full(features))
            return found.flatten() if self.embed is None else (found * self.embed(given(y))).sum(1)

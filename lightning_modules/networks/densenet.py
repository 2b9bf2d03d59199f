"""A generator and a discriminator of dense blocks (DenseNet-BC, Huang et al. 2017).

A dense block's layers, [norm, ReLU, conv 1x1 to 4 k maps, norm, ReLU, conv 3x3 to k maps], each see the maps of all
before it; a transition, [norm, ReLU, conv 1x1], halves the number of maps. The paper classifies; here D is its
network with one logit, and G runs it backwards: its transitions double the side where D's halve it.
Deviations: ``depth`` layers a block (16 in the paper's 100 layers); ``batch_norm=False`` leaves D un-normalised for
gradient penalties.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from lightning_modules.networks.base import Discriminator, Generator
from lightning_modules.networks.init import He, Initialiser
from lightning_modules.networks.latents import Gaussian, Latent
from lightning_modules.networks.spectral import initialise

Norm = Callable[[int], nn.Module]
BOTTLENECK = 4  # maps of a layer's 1x1 convolution, in multiples of the growth
COMPRESSION = 2  # maps before a transition over maps after it


def doublings(size: int) -> int:
    """How often the side doubles from 4, or from 7, up to ``size`` px."""
    if size not in (16, 28, 32, 64, 128):
        raise ValueError(f"size must be 28 or a power of two from 16 to 128, got {size}")
    return (size // (7 if size == 28 else 4)).bit_length() - 1


class DenseLayer(nn.Module):
    """The input, and beside it ``growth`` maps computed from it.

    Args:
        inputs: feature maps of the input.
        growth: feature maps added, k in the paper.
        norm: makes the norm of so many maps.
    """

    def __init__(self, inputs: int, growth: int, norm: Norm) -> None:
        super().__init__()
        hidden = BOTTLENECK * growth
        self.enter = nn.Sequential(norm(inputs), nn.ReLU(), nn.Conv2d(inputs, hidden, 1, bias=False))
        self.grow = nn.Sequential(norm(hidden), nn.ReLU(), nn.Conv2d(hidden, growth, 3, padding=1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [N, inputs, H, W] to [N, inputs + growth, H, W]."""
        return torch.cat([x, self.grow(self.enter(x))], dim=1)


def dense_block(inputs: int, growth: int, depth: int, norm: Norm) -> list[nn.Module]:
    """``depth`` layers: from ``inputs`` to ``inputs + depth * growth`` maps."""
    return [DenseLayer(inputs + i * growth, growth, norm) for i in range(depth)]


def transition(inputs: int, norm: Norm, resize: nn.Module) -> list[nn.Module]:
    """Half the maps, at another side."""
    return [norm(inputs), nn.ReLU(), nn.Conv2d(inputs, inputs // COMPRESSION, 1, bias=False), resize]


class DenseNetGenerator(Generator):
    """z -> linear -> dense blocks with transitions that double the side -> norm, ReLU, 3x3 convolution -> tanh.

    Args:
        size: side of the image in px: 16, 28, 32, 64 or 128.
        channels: of the image.
        z_dim: length of z.
        width: feature maps before the first block.
        growth: feature maps that a layer adds.
        depth: layers of a block.
        spectral_norm: normalise the weights' spectra.
        init: how to draw the weights; He's as in the paper unless given.
        latent: where z comes from; N(0, I) unless given.
    """

    def __init__(
        self,
        size: int = 32,
        channels: int = 3,
        z_dim: int = 128,
        width: int = 192,
        growth: int = 12,
        depth: int = 4,
        spectral_norm: bool = False,
        init: Initialiser | None = None,
        latent: Latent | None = None,
    ) -> None:
        super().__init__()
        times = doublings(size)
        self.latent = latent or Gaussian()
        self.z_dim, self.out_shape, self.seed_shape = z_dim, (channels, size, size), (width, *[size // 2**times] * 2)
        self.linear = nn.Linear(z_dim, width * (size // 2**times) ** 2)
        layers: list[nn.Module] = []
        maps = width
        for _ in range(times):
            layers += dense_block(maps, growth, depth, nn.BatchNorm2d)
            maps += depth * growth
            layers += transition(maps, nn.BatchNorm2d, nn.Upsample(scale_factor=2))
            maps //= COMPRESSION
        layers += dense_block(maps, growth, depth, nn.BatchNorm2d)
        maps += depth * growth
        self.layers = nn.Sequential(*layers, nn.BatchNorm2d(maps), nn.ReLU(), nn.Conv2d(maps, channels, 3, padding=1))
        initialise(self, init or He(), spectral_norm)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """``z`` [N, z_dim] to images [N, channels, size, size] in [-1, 1]; ``y`` is not used."""
        return torch.tanh(self.layers(self.linear(z).unflatten(1, self.seed_shape)))


class DenseNetDiscriminator(Discriminator):
    """3x3 convolution -> dense blocks with transitions that halve the side -> norm, ReLU, mean of positions -> a logit.

    Args:
        size: side of the image in px: 16, 28, 32, 64 or 128.
        channels: of the image.
        growth: feature maps that a layer adds; twice as many stand before the first block.
        depth: layers of a block.
        batch_norm: normalise; to be off under a gradient penalty, which is defined for single samples.
        spectral_norm: normalise the weights' spectra.
        init: how to draw the weights; He's as in the paper unless given.
    """

    def __init__(
        self,
        size: int = 32,
        channels: int = 3,
        growth: int = 12,
        depth: int = 4,
        batch_norm: bool = True,
        spectral_norm: bool = False,
        init: Initialiser | None = None,
    ) -> None:
        super().__init__()
        norm: Norm = nn.BatchNorm2d if batch_norm else nn.Identity
        maps = 2 * growth
        blocks: list[nn.Module] = [nn.Conv2d(channels, maps, 3, padding=1, bias=False)]
        for _ in range(doublings(size)):
            block = dense_block(maps, growth, depth, norm)
            maps += depth * growth
            blocks.append(nn.Sequential(*block, *transition(maps, norm, nn.AvgPool2d(2))))
            maps //= COMPRESSION
        last = dense_block(maps, growth, depth, norm)
        maps += depth * growth
        self.blocks = nn.Sequential(*blocks, nn.Sequential(*last, norm(maps), nn.ReLU()))
        self.head = nn.Linear(maps, 1)
        initialise(self, init or He(), spectral_norm)

    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The mean of the last maps of ``x`` [N, channels, size, size] over positions: [N, maps]."""
        return self.blocks(x).mean(dim=(2, 3))

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """``x`` [N, channels, size, size] to logits [N]; ``y`` is not used."""
        return self.verdict(self.features(x))

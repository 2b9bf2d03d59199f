"""The "standard CNN" of SNGAN (Miyato et al. 2018, table 3): convolutions 4x4 with stride 2, 3x3 between them in D.

``width`` feature maps at the image's resolution, twice as many at half of it. The paper draws 32 px (from 4x4) and
48 px (from 6x6), both in three doublings; 64 px (from 8x8) follow the same rule, 28 px take two doublings from 7x7.
Widths, biases and initialisation N(0, 0.02) follow the PyTorch GAN collections, where D's maps double in the strided
convolution; the same nets without spectral norm are the critics of their WGAN rows.
"""

from itertools import pairwise

from torch import Tensor, nn

from lightning_modules.networks.base import Discriminator, Generator
from lightning_modules.networks.init import Initialiser, Normal
from lightning_modules.networks.latents import Gaussian, Latent
from lightning_modules.networks.spectral import initialise

STARTS = {28: 7, 32: 4, 48: 6, 64: 8}  # side of the image in px to the side that it grows from


def doublings(size: int) -> int:
    """How often the side doubles up to ``size`` px."""
    if size not in STARTS:
        raise ValueError(f"size must be 28, 32, 48 or 64, got {size}")
    return (size // STARTS[size]).bit_length() - 1


class SNCNNGenerator(Generator):
    """z -> linear -> transposed convolutions with batch norm and ReLU -> 3x3 convolution -> tanh.

    Args:
        size: side of the image in px: 28, 32, 48 or 64.
        channels: of the image.
        z_dim: length of z.
        width: feature maps at the image's resolution; 64 in the paper.
        spectral_norm: normalise G's weights as D's.
        init: how to draw the weights; N(0, 0.02) and biases 0 unless given.
        latent: where z comes from; N(0, I) unless given.
    """

    def __init__(
        self,
        size: int = 32,
        channels: int = 3,
        z_dim: int = 128,
        width: int = 64,
        spectral_norm: bool = False,
        init: Initialiser | None = None,
        latent: Latent | None = None,
    ) -> None:
        super().__init__()
        maps = [width * 2**i for i in reversed(range(doublings(size) + 1))]
        self.latent = latent or Gaussian()
        self.z_dim, self.out_shape, self.seed_shape = z_dim, (channels, size, size), (maps[0], *[STARTS[size]] * 2)
        self.linear = nn.Linear(z_dim, maps[0] * STARTS[size] ** 2)
        layers: list[nn.Module] = [nn.BatchNorm2d(maps[0]), nn.ReLU(inplace=True)]
        for before, after in pairwise(maps):
            layers.append(nn.ConvTranspose2d(before, after, 4, stride=2, padding=1))
            layers += [nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, channels, 3, padding=1), nn.Tanh())
        initialise(self, init or Normal(), spectral_norm)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """``z`` [N, z_dim] to images [N, channels, size, size] in [-1, 1]; ``y`` is not used."""
        return self.layers(self.linear(z).unflatten(1, self.seed_shape))


class SNCNNDiscriminator(Discriminator):
    """Convolutions with LeakyReLU 0.1, 3x3 and 4x4 with stride 2 in turn -> flattened -> one logit.

    Args:
        size: side of the image in px: 28, 32, 48 or 64.
        channels: of the image.
        width: feature maps after the first convolution; 64 in the paper.
        spectral_norm: normalise every weight; to be off for critics under weight clipping or a gradient penalty.
        init: how to draw the weights; N(0, 0.02) and biases 0 unless given.
    """

    def __init__(
        self,
        size: int = 32,
        channels: int = 3,
        width: int = 64,
        spectral_norm: bool = True,
        init: Initialiser | None = None,
    ) -> None:
        super().__init__()
        convolutions: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1)]
        maps = width
        for _ in range(doublings(size)):
            convolutions.append(nn.Conv2d(maps, 2 * maps, 4, stride=2, padding=1))
            convolutions.append(nn.Conv2d(2 * maps, 2 * maps, 3, padding=1))
            maps *= 2
        self.blocks = nn.Sequential(*[nn.Sequential(layer, nn.LeakyReLU(0.1, inplace=True)) for layer in convolutions])
        self.head = nn.Linear(maps * STARTS[size] ** 2, 1)
        initialise(self, init or Normal(), spectral_norm)

    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The last maps of ``x`` [N, channels, size, size], flattened: [N, maps * side^2]."""
        return self.blocks(x).flatten(1)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """``x`` [N, channels, size, size] to logits [N]; ``y`` is not used."""
        return self.verdict(self.features(x))

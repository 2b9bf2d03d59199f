"""DCGAN (Radford et al. 2016, figure 1 and section 3): strided 4x4 convolutions, batch norm, no pooling.

The paper draws 64 px. Here ``size`` is 28 (grown 7-14-28) or a power of two from 8 to 128 (grown from 4); the
feature maps halve as the resolution doubles, ``width`` of them before the image: 128 in figure 1, 64 in the code that
its authors published.
Deviations: D returns logits, not probabilities; ``batch_norm=False`` leaves D un-normalised for gradient penalties.
"""

from torch import Tensor, nn

from lightning_modules.networks.base import Discriminator, Generator
from lightning_modules.networks.init import DCGAN, He, Initialiser
from lightning_modules.networks.latents import Gaussian, Latent
from lightning_modules.networks.spectral import initialise


def resolutions(size: int) -> list[int]:
    """The sides a DCGAN of ``size`` px passes through below its image: 4, 8, ... or 7, 14."""
    if size != 28 and size not in (8, 16, 32, 64, 128):
        raise ValueError(f"size must be 28 or a power of two from 8 to 128, got {size}")
    start = 7 if size == 28 else 4
    return [start * 2**i for i in range((size // start).bit_length() - 1)]


class DCGANGenerator(Generator):
    """z -> transposed convolutions with batch norm and ReLU -> tanh.

    Args:
        size: side of the image in px: 28, or 8, 16, 32, 64, 128.
        channels: of the image.
        z_dim: length of z.
        width: feature maps at half the image's resolution.
        spectral_norm: normalise the weights' spectra.
        init: how to draw the weights; as in section 4 unless given.
        latent: where z comes from; N(0, I) unless given.
    """

    def __init__(
        self,
        size: int = 64,
        channels: int = 3,
        z_dim: int = 100,
        width: int = 64,
        spectral_norm: bool = False,
        init: Initialiser | None = None,
        latent: Latent | None = None,
    ) -> None:
        super().__init__()
        sides = resolutions(size)
        self.z_dim, self.out_shape, self.latent = z_dim, (channels, size, size), latent or Gaussian()
        maps = [width * size // (2 * side) for side in sides]
        layers: list[nn.Module] = [nn.ConvTranspose2d(z_dim, maps[0], sides[0], bias=False)]
        for before, after in zip(maps, [*maps[1:], channels], strict=True):
            layers += [nn.BatchNorm2d(before), nn.ReLU(inplace=True)]
            layers += [nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=False)]
        self.layers = nn.Sequential(*layers, nn.Tanh())
        initialise(self, init or DCGAN(), spectral_norm)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """``z`` [N, z_dim] to images [N, channels, size, size] in [-1, 1]; ``y`` is not used."""
        return self.layers(z[:, :, None, None])


class DCGANDiscriminator(Discriminator):
    """Strided convolutions with LeakyReLU 0.2, batch norm on all but the first -> one logit.

    Args:
        size: side of the image in px: 28, or 8, 16, 32, 64, 128.
        channels: of the image.
        width: feature maps after the first convolution.
        batch_norm: normalise; to be off under a gradient penalty, which is defined for single samples.
        spectral_norm: normalise the weights' spectra.
        init: how to draw the weights; unless given as in section 4, or He's without batch norm, where N(0, 0.02) would
            let the first layers' signal fade.
    """

    def __init__(
        self,
        size: int = 64,
        channels: int = 3,
        width: int = 64,
        batch_norm: bool = True,
        spectral_norm: bool = False,
        init: Initialiser | None = None,
    ) -> None:
        super().__init__()
        sides = resolutions(size)
        maps = [width * size // (2 * side) for side in reversed(sides)]
        blocks: list[nn.Module] = []
        for i, (before, after) in enumerate(zip([channels, *maps], maps, strict=False)):
            normalised = batch_norm and i > 0
            block: list[nn.Module] = [nn.Conv2d(before, after, 4, stride=2, padding=1, bias=not normalised)]
            block += [nn.BatchNorm2d(after)] if normalised else []
            blocks.append(nn.Sequential(*block, nn.LeakyReLU(0.2, inplace=True)))
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Conv2d(maps[-1], 1, sides[0])
        initialise(self, init or (DCGAN() if batch_norm else He(slope=0.2)), spectral_norm)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """``x`` [N, channels, size, size] to logits [N]; ``y`` is not used."""
        return self.verdict(self.features(x))

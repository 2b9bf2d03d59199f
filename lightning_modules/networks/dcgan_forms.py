"""Three further forms of DCGAN, as the code bases have them whose tables are reproduced.

- The PyTorch GAN collections: G grows from 2x2, D's convolutions are 5x5 and its batch norm follows the LeakyReLU;
  weights as torch draws them.
- StudioGAN's ``deep_conv``: a linear layer before G's transposed convolutions, 3x3 and strided 4x4 convolutions in
  turn in D, summed over positions; orthogonal weights, batch norm's epsilon 1e-4.
- DCGAN-tensorflow, which PacGAN (Lin et al. 2018) took over: a linear layer, 5x5 convolutions with biases in both
  networks, and sides that halve and round up, so that 28 px come from 2, 4, 7 and 14; weights N(0, 0.02), biases 0.
The original's form is in ``dcgan.py``. The first two are for 32 px, and take 48 and 64 by growing from a larger side.
Deviations of the third: D's weights are drawn from the whole normal, not within two deviations of it; where TensorFlow
pads an even side by one pixel and two, torch does by two and one, which is the mirror image.
"""

from itertools import pairwise

from torch import Tensor, nn

from lightning_modules.networks.base import Discriminator, Generator
from lightning_modules.networks.init import Initialiser, Normal, Orthogonal
from lightning_modules.networks.latents import Gaussian, Latent, Uniform
from lightning_modules.networks.spectral import initialise


def start(size: int, doublings: int) -> int:
    """The side that ``size`` px grow from in so many doublings."""
    if size not in (32, 48, 64):
        raise ValueError(f"size must be 32, 48 or 64, got {size}")
    return size // 2**doublings


def deconvolution(inputs: int, outputs: int, bias: bool) -> nn.Module:
    """Twice the side."""
    return nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=bias)


class CollectionsGenerator(Generator):
    """z -> transposed convolutions from 2x2 (at 32 px) with batch norm and ReLU -> tanh.

    Args:
        size: side of the image in px: 32, 48 or 64.
        channels: of the image.
        z_dim: length of z.
        width: feature maps at half the image's resolution.
        spectral_norm: normalise the weights' spectra.
        init: how to draw the weights; as torch does unless given.
        latent: where z comes from; N(0, I) unless given.
    """

    def __init__(
        self,
        size: int = 32,
        channels: int = 3,
        z_dim: int = 100,
        width: int = 128,
        spectral_norm: bool = False,
        init: Initialiser | None = None,
        latent: Latent | None = None,
    ) -> None:
        super().__init__()
        self.latent = latent or Gaussian()
        self.z_dim, self.out_shape = z_dim, (channels, size, size)
        maps = [8 * width, 4 * width, 2 * width, width]
        layers: list[nn.Module] = [nn.ConvTranspose2d(z_dim, maps[0], start(size, doublings=4), bias=False)]
        for before, after in pairwise([*maps, channels]):
            layers += [nn.BatchNorm2d(before), nn.ReLU(inplace=True), deconvolution(before, after, bias=False)]
        self.layers = nn.Sequential(*layers, nn.Tanh())
        initialise(self, init, spectral_norm)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """``z`` [N, z_dim] to images [N, channels, size, size] in [-1, 1]; ``y`` is not used."""
        return self.layers(z[:, :, None, None])


class CollectionsDiscriminator(Discriminator):
    """Four strided 5x5 convolutions, LeakyReLU 0.2 and then batch norm on all but the first -> flattened -> one logit.

    Args:
        size: side of the image in px: 32, 48 or 64.
        channels: of the image.
        width: feature maps after the first convolution.
        batch_norm: normalise; to be off under a gradient penalty, which is defined for single samples.
        spectral_norm: normalise the weights' spectra.
        init: how to draw the weights; as torch does unless given.
    """

    def __init__(
        self,
        size: int = 32,
        channels: int = 3,
        width: int = 64,
        batch_norm: bool = True,
        spectral_norm: bool = False,
        init: Initialiser | None = None,
    ) -> None:
        super().__init__()
        maps = [channels, width, 2 * width, 4 * width, 8 * width]
        blocks = []
        for i, (before, after) in enumerate(pairwise(maps)):
            block = [nn.Conv2d(before, after, 5, stride=2, padding=2, bias=False), nn.LeakyReLU(0.2, inplace=True)]
            blocks.append(nn.Sequential(*block, *([nn.BatchNorm2d(after)] if batch_norm and i else [])))
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(maps[-1] * start(size, doublings=4) ** 2, 1)
        initialise(self, init, spectral_norm)

    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The last maps of ``x`` [N, channels, size, size], flattened: [N, maps * side^2]."""
        return self.blocks(x).flatten(1)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """``x`` [N, channels, size, size] to logits [N]; ``y`` is not used."""
        return self.verdict(self.features(x))


class DeepConvGenerator(Generator):
    """z -> linear -> transposed convolutions with batch norm and ReLU -> 3x3 convolution -> tanh.

    Args:
        size: side of the image in px: 32, 48 or 64.
        channels: of the image.
        z_dim: length of z.
        width: feature maps at the image's resolution.
        spectral_norm: normalise the weights' spectra.
        init: how to draw the weights; orthogonal, biases 0, unless given.
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
        side = start(size, doublings=3)
        maps = [8 * width, 4 * width, 2 * width, width]
        self.latent = latent or Gaussian()
        self.z_dim, self.out_shape, self.seed_shape = z_dim, (channels, size, size), (maps[0], side, side)
        self.linear = nn.Linear(z_dim, maps[0] * side**2)
        layers: list[nn.Module] = []
        for before, after in pairwise(maps):
            layers += [deconvolution(before, after, bias=True), nn.BatchNorm2d(after, eps=1e-4), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, channels, 3, padding=1), nn.Tanh())
        initialise(self, init or Orthogonal(), spectral_norm)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """``z`` [N, z_dim] to images [N, channels, size, size] in [-1, 1]; ``y`` is not used."""
        return self.layers(self.linear(z).unflatten(1, self.seed_shape))


class DeepConvDiscriminator(Discriminator):
    """Three times a 3x3 and a strided 4x4 convolution, one more 3x3 -> summed over positions -> one logit.

    A batch norm and a ReLU follow each convolution.

    Args:
        size: side of the image in px: 32, 48 or 64.
        channels: of the image.
        width: feature maps of the first block.
        batch_norm: normalise; to be off under spectral norm, where StudioGAN has none, and under a gradient penalty.
        spectral_norm: normalise the weights' spectra.
        init: how to draw the weights; orthogonal, biases 0, unless given.
    """

    def __init__(
        self,
        size: int = 32,
        channels: int = 3,
        width: int = 64,
        batch_norm: bool = True,
        spectral_norm: bool = False,
        init: Initialiser | None = None,
    ) -> None:
        super().__init__()
        start(size, doublings=3)

        def activation(maps: int) -> list[nn.Module]:
            return [*([nn.BatchNorm2d(maps, eps=1e-4)] if batch_norm else []), nn.ReLU(inplace=True)]

        blocks = []
        for before, after in pairwise([channels, width, 2 * width, 4 * width]):
            flat = [nn.Conv2d(before, after, 3, padding=1), *activation(after)]
            strided = [nn.Conv2d(after, after, 4, stride=2, padding=1), *activation(after)]
            blocks.append(nn.Sequential(*flat, *strided))
        last = nn.Sequential(nn.Conv2d(4 * width, 8 * width, 3, padding=1), *activation(8 * width))
        self.blocks = nn.Sequential(*blocks, last)
        self.head = nn.Linear(8 * width, 1)
        initialise(self, init or Orthogonal(), spectral_norm)

    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The last maps of ``x`` [N, channels, size, size], summed over positions: [N, maps]."""
        return self.blocks(x).sum(dim=(2, 3))

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """``x`` [N, channels, size, size] to logits [N]; ``y`` is not used."""
        return self.verdict(self.features(x))


def halved(size: int) -> list[int]:
    """The four sides from half of ``size`` down, each half of the one before and rounded up: 14, 7, 4, 2 of 28."""
    if size < 16:
        raise ValueError(f"size must be 16 or more, got {size}")
    return [-(-size // 2**i) for i in range(1, 5)]


class Conv5Generator(Generator):
    """z -> linear -> transposed 5x5 convolutions with batch norm and ReLU -> tanh.

    Args:
        size: side of the image in px, 16 or more.
        channels: of the image.
        z_dim: length of z.
        width: feature maps at half the image's resolution.
        init: how to draw the weights; N(0, 0.02), biases 0, unless given.
        latent: where z comes from; U[-1, 1) unless given.
    """

    def __init__(
        self,
        size: int = 28,
        channels: int = 3,
        z_dim: int = 100,
        width: int = 64,
        init: Initialiser | None = None,
        latent: Latent | None = None,
    ) -> None:
        super().__init__()
        sides = [*reversed(halved(size)), size]
        maps = [8 * width, 4 * width, 2 * width, width, channels]
        self.latent = latent or Uniform()
        self.z_dim, self.out_shape, self.seed_shape = z_dim, (channels, size, size), (maps[0], sides[0], sides[0])
        self.linear = nn.Linear(z_dim, maps[0] * sides[0] ** 2)
        layers: list[nn.Module] = []
        for (before, after), (small, large) in zip(pairwise(maps), pairwise(sides), strict=True):
            odd = large - (2 * small - 1)  # 1, or 0 where the half was rounded up
            deconv = nn.ConvTranspose2d(before, after, 5, stride=2, padding=2, output_padding=odd)
            layers += [nn.BatchNorm2d(before), nn.ReLU(inplace=True), deconv]
        self.layers = nn.Sequential(*layers, nn.Tanh())
        self.apply(init or Normal())

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """``z`` [N, z_dim] to images [N, channels, size, size] in [-1, 1]; ``y`` is not used."""
        return self.layers(self.linear(z).unflatten(1, self.seed_shape))


class Conv5Discriminator(Discriminator):
    """Four strided 5x5 convolutions, batch norm on all but the first, LeakyReLU 0.2 -> flattened -> one logit.

    Args:
        size: side of the image in px, 16 or more.
        channels: of the image.
        width: feature maps after the first convolution.
        init: how to draw the weights; N(0, 0.02), biases 0, unless given.
    """

    def __init__(self, size: int = 28, channels: int = 3, width: int = 64, init: Initialiser | None = None) -> None:
        super().__init__()
        maps = [channels, width, 2 * width, 4 * width, 8 * width]
        blocks = []
        for i, (before, after) in enumerate(pairwise(maps)):
            norm = [nn.BatchNorm2d(after)] if i else []
            convolution = nn.Conv2d(before, after, 5, stride=2, padding=2)
            blocks.append(nn.Sequential(convolution, *norm, nn.LeakyReLU(0.2, inplace=True)))
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(maps[-1] * halved(size)[-1] ** 2, 1)
        self.apply(init or Normal())

    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The last maps of ``x`` [N, channels, size, size], flattened: [N, maps * side^2]."""
        return self.blocks(x).flatten(1)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """``x`` [N, channels, size, size] to logits [N]; ``y`` is not used."""
        return self.verdict(self.features(x))

"""Encoders x -> z and joint discriminators D(x, z): the networks of ALI (Dumoulin et al. 2017), BiGAN and VEEGAN.

Both are made of the discriminators at hand: an encoder is one with ``z_dim`` outputs instead of a logit, a joint
discriminator one whose last features meet those of z before they are judged, as in ALI's tables.
An encoder computes its code, as BiGAN's (Donahue et al. 2017); ``NoisyCode`` and ``DrawnCode`` make a distribution of
it, as VEEGAN and ALI have it. Deviations: no dropout, no maxout.
"""

from math import prod

import torch
from torch import Tensor, nn

from lightning_modules.networks.base import JointDiscriminator, LatentEncoder, draw_normal
from lightning_modules.networks.dcgan import DCGANDiscriminator
from lightning_modules.networks.init import He, Initialiser
from lightning_modules.networks.mlp import hidden
from lightning_modules.networks.spectral import initialise


def convolutions(
    size: int, channels: int, width: int, batch_norm: bool, outputs: int
) -> tuple[nn.Sequential, nn.Conv2d]:
    """Blocks and head of DCGAN's discriminator, with ``outputs`` numbers in the place of its logit."""
    judge = DCGANDiscriminator(size, channels, width, batch_norm)
    maps, side = judge.head.weight.shape[1:3]
    return judge.blocks, nn.Conv2d(maps, outputs, side)


class MLPEncoder(LatentEncoder):
    """A flattened sample -> ReLU layers -> a linear layer.

    Args:
        in_shape: of one sample: (2,) for points, (C, H, W) for images.
        z_dim: length of the code.
        width: units of a hidden layer.
        depth: number of hidden layers.
    """

    def __init__(self, in_shape: tuple[int, ...] = (2,), z_dim: int = 2, width: int = 128, depth: int = 2) -> None:
        super().__init__()
        self.z_dim = z_dim
        self.layers = nn.Sequential(hidden(prod(in_shape), width, depth), nn.Linear(width, z_dim))

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [N, *in_shape] to codes [N, z_dim]."""
        return self.layers(x.flatten(1))


class DCGANEncoder(LatentEncoder):
    """DCGAN's discriminator with a code in the place of its logit.

    Args:
        size: side of the image in px: 28, or 8, 16, 32, 64, 128.
        channels: of the image.
        z_dim: length of the code.
        width: feature maps after the first convolution.
        batch_norm: normalise; off unless asked for, as reals and fakes would then share statistics.
        init: how to draw the weights; He's unless given.
    """

    def __init__(
        self,
        size: int = 64,
        channels: int = 3,
        z_dim: int = 100,
        width: int = 64,
        batch_norm: bool = False,
        init: Initialiser | None = None,
    ) -> None:
        super().__init__()
        self.z_dim = z_dim
        self.blocks, self.head = convolutions(size, channels, width, batch_norm, outputs=z_dim)
        initialise(self, init or He(slope=0.2), spectral_norm=False)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [N, channels, size, size] to codes [N, z_dim]."""
        return self.head(self.blocks(x)).flatten(1)


class NoisyCode(LatentEncoder):
    """p(z | x) = N(m(x), deviation^2 I), as VEEGAN's reconstructor of points has it.

    Without the noise codes of narrow modes are narrow, which z is not, and a joint discriminator needs to know no more.

    Args:
        encoder: x -> m.
        deviation: of the noise; the squared distance of m(x) from z, halved and summed, is the likelihood's at 1.
    """

    def __init__(self, encoder: LatentEncoder, deviation: float = 1.0) -> None:
        super().__init__()
        if deviation <= 0:
            raise ValueError(f"NoisyCode: deviation must be above 0, got {deviation}")
        self.encoder, self.z_dim, self.deviation = encoder, encoder.z_dim, deviation

    def forward(self, x: Tensor) -> Tensor:
        """m(x) [N, z_dim]."""
        return self.encoder(x)

    def draw(self, x: Tensor) -> Tensor:
        """m(x) with noise, [N, z_dim]."""
        mean = self.encoder(x)
        return mean + self.deviation * torch.randn_like(mean)


class DrawnCode(LatentEncoder):
    """p(z | x) = N(m(x), exp(v(x))), as ALI has it (section 2.2): drawn by reparametrisation, so that m and v learn.

    Args:
        encoder: x -> (m, v); its code is twice as long.
    """

    def __init__(self, encoder: LatentEncoder) -> None:
        super().__init__()
        if encoder.z_dim % 2:
            raise ValueError(f"DrawnCode: the encoder's z_dim holds means and variances, {encoder.z_dim} is not even")
        self.encoder, self.z_dim = encoder, encoder.z_dim // 2

    def forward(self, x: Tensor) -> Tensor:
        """m(x) [N, z_dim]."""
        return self.encoder(x)[:, : self.z_dim]

    def draw(self, x: Tensor) -> Tensor:
        """m(x) with noise of variance exp(v(x)), [N, z_dim]."""
        mean, log_variance = self.encoder(x).chunk(2, dim=1)
        return draw_normal(mean, log_variance)


class MLPJointDiscriminator(JointDiscriminator):
    """Point and code -> ReLU layers -> one logit.

    Args:
        x_shape: of one sample: (2,) for points, (C, H, W) for images.
        z_dim: length of z.
        width: units of a hidden layer.
        depth: number of hidden layers.
    """

    def __init__(self, x_shape: tuple[int, ...] = (2,), z_dim: int = 2, width: int = 128, depth: int = 2) -> None:
        super().__init__()
        self.x_shape, self.z_dim = tuple(x_shape), z_dim
        self.blocks = hidden(prod(x_shape) + z_dim, width, depth)
        self.head = nn.Linear(width, 1)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Pairs ``x`` [N, prod(x_shape) + z_dim] to logits [N]; ``y`` is not used."""
        return self.verdict(self.features(x))


class DCGANJointDiscriminator(JointDiscriminator):
    """DCGAN's discriminator of x and an MLP of z, whose features meet in two more layers.

    Args:
        size: side of the image in px: 28, or 8, 16, 32, 64, 128.
        channels: of the image.
        z_dim: length of z.
        width: feature maps after the first convolution.
        joint_width: units of each layer on z, and on both.
        batch_norm: normalise the convolutions; a gradient penalty is then no longer of single samples.
        init: how to draw the weights; He's unless given.
    """

    def __init__(
        self,
        size: int = 64,
        channels: int = 3,
        z_dim: int = 100,
        width: int = 64,
        joint_width: int = 256,
        batch_norm: bool = False,
        init: Initialiser | None = None,
    ) -> None:
        super().__init__()
        self.x_shape, self.z_dim = (channels, size, size), z_dim
        self.blocks, self.of_image = convolutions(size, channels, width, batch_norm, outputs=joint_width)
        self.of_code = nn.Linear(z_dim, joint_width)
        self.of_both = nn.Sequential(nn.LeakyReLU(0.2), nn.Linear(2 * joint_width, joint_width), nn.LeakyReLU(0.2))
        self.head = nn.Linear(joint_width, 1)
        initialise(self, init or He(slope=0.2), spectral_norm=False)

    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """What the head judges of pairs ``x`` [N, channels * size^2 + z_dim]: [N, joint_width]."""
        image, code = self.part(x)
        return self.of_both(torch.cat([self.of_image(self.blocks(image)).flatten(1), self.of_code(code)], dim=1))

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Pairs ``x`` [N, channels * size^2 + z_dim] to logits [N]; ``y`` is not used."""
        return self.verdict(self.features(x))

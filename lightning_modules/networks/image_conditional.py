"""Networks that are given an image y in [0, 1] beside noise or beside the image x, made of networks that are not.

- ``UnitRange``: a translator of images in [-1, 1], such as a U-Net with its tanh, for restoration's [0, 1].
- ``NoiseBeside``: z as planes of one number each beside y, as BicycleGAN's generator takes it (Zhu et al. 2017, "Toward
  multimodal image-to-image translation", section 4: "add to input").
- ``PairEncoder``: x and y side by side, as channels of one image, to a normal distribution of z.
"""

import torch
from torch import Tensor

from lightning_modules.networks.base import Encoder, Generator, Network, planes_beside
from lightning_modules.networks.init import Initialiser
from lightning_modules.networks.vae import DCGANEncoder


class UnitRange(Network):
    """``network`` with 0 and 1 for black and white in the place of -1 and 1.

    Args:
        network: images in [-1, 1] to images in [-1, 1].
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network, self.multiple = network, network.multiple

    def forward(self, y: Tensor) -> Tensor:
        """``y`` [N, C, H, W] in [0, 1] to an image in [0, 1]."""
        return (self.network(2 * y - 1) + 1) / 2


class NoiseBeside(Generator):
    """G(z, y) -> x in [0, 1].

    Args:
        network: an image of 3 + ``z_dim`` channels in [-1, 1] to one of 3.
        z_dim: length of z.
        size: side in px of the images that are trained on; a convolutional network takes others too.
    """

    def __init__(self, network: Network, z_dim: int = 8, size: int = 64) -> None:
        super().__init__()
        self.network, self.multiple = network, network.multiple
        self.z_dim, self.out_shape = z_dim, (3, size, size)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """``z`` [N, z_dim] and ``y`` [N, 3, H, W] in [0, 1] to an image [N, 3, H, W] in [0, 1]."""
        if y is None:
            raise ValueError("an image is made of another one: call the generator with y")
        return (self.network(planes_beside(2 * y - 1, z)) + 1) / 2


class PairEncoder(Encoder):
    """E(x, y) -> mean and log-variance of z: strided convolutions over x and y side by side.

    Args:
        size: side of the images in px: 8, 16, 32, 64, 128.
        z_dim: length of z.
        width: feature maps after the first convolution.
        batch_norm: normalise all but the first convolution.
        init: how to draw the weights; as DCGAN's unless given.
    """

    def __init__(
        self,
        size: int = 64,
        z_dim: int = 8,
        width: int = 64,
        batch_norm: bool = True,
        init: Initialiser | None = None,
    ) -> None:
        super().__init__()
        self.encoder = DCGANEncoder(size, 6, z_dim, width, None, batch_norm, init)
        self.z_dim = z_dim

    def forward(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean and log-variance [N, z_dim] of ``x`` under ``y``, both [N, 3, size, size] in [0, 1]."""
        if y is None:
            raise ValueError("a pair is two images: call the encoder with y")
        mean, log_variance = self.encoder(2 * torch.cat([x, y], dim=1) - 1)
        return mean, log_variance

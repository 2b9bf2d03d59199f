"""Encoders and decoders of variational autoencoders, with or without classes.

- ``DCGANEncoder``, ``DCGANDecoder``: DCGAN's D and G (``dcgan.py``) with another head, and without the tanh.
- ``MLPEncoder``, ``MLPDecoder``: Burda et al. 2016, section 5, one stochastic layer: two hidden layers of 200 tanh
  units between 784 pixels and 50 dimensions; weights by Glorot and Bengio 2010, biases 0.

Classes come in as in Sohn et al. 2015: a one-hot code beside z, and beside x (as planes, where x has some).
"""

from math import prod

from torch import Tensor, nn

from lightning_modules.networks.base import Decoder, Encoder
from lightning_modules.networks.conditional import beside
from lightning_modules.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from lightning_modules.networks.init import DCGAN, Initialiser, Xavier
from lightning_modules.networks.mlp import hidden


def told(x: Tensor, y: Tensor | None, num_classes: int | None) -> Tensor:
    """``x`` [N, d, ...] with the code of ``y`` [N] beside it, where there are classes: [N, d + K, ...]."""
    return x if num_classes is None else beside(x, y, num_classes)


class DCGANEncoder(Encoder):
    """Strided convolutions with LeakyReLU 0.2 -> mean and log-variance.

    Args:
        size: side of the image in px: 28, or 8, 16, 32, 64, 128.
        channels: of the image.
        z_dim: length of z.
        width: feature maps after the first convolution.
        num_classes: K; None for an encoder that is told no labels.
        batch_norm: normalise all but the first convolution.
        init: how to draw the weights; as DCGAN's unless given.
    """

    def __init__(
        self,
        size: int = 64,
        channels: int = 3,
        z_dim: int = 100,
        width: int = 64,
        num_classes: int | None = None,
        batch_norm: bool = True,
        init: Initialiser | None = None,
    ) -> None:
        super().__init__()
        D = DCGANDiscriminator(size, channels + (num_classes or 0), width, batch_norm, init=init)
        self.z_dim, self.num_classes, self.blocks = z_dim, num_classes, D.blocks
        maps, side = D.head.weight.shape[1:3]
        self.head = nn.Conv2d(maps, 2 * z_dim, side).apply(init or DCGAN())

    def forward(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean and log-variance [N, z_dim] of ``x`` [N, channels, size, size] with labels ``y`` [N]."""
        mean, log_variance = self.head(self.blocks(told(x, y, self.num_classes))).flatten(1).chunk(2, dim=1)
        return mean, log_variance


class DCGANDecoder(Decoder):
    """z -> transposed convolutions with batch norm and ReLU -> logits.

    Args:
        size: side of the image in px: 28, or 8, 16, 32, 64, 128.
        channels: of the image.
        z_dim: length of z.
        width: feature maps at half the image's resolution.
        num_classes: K; None for a decoder that is told no labels.
        init: how to draw the weights; as DCGAN's unless given.
    """

    def __init__(
        self,
        size: int = 64,
        channels: int = 3,
        z_dim: int = 100,
        width: int = 64,
        num_classes: int | None = None,
        init: Initialiser | None = None,
    ) -> None:
        super().__init__()
        self.z_dim, self.out_shape, self.num_classes = z_dim, (channels, size, size), num_classes
        G = DCGANGenerator(size, channels, z_dim + (num_classes or 0), width, init=init)
        self.layers = G.layers[:-1]

    def logits(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Of each value of x: [N, channels, size, size], from ``z`` [N, z_dim] with labels ``y`` [N]."""
        return self.layers(told(z, y, self.num_classes)[:, :, None, None])


class MLPEncoder(Encoder):
    """Flattened pixels in [0, 1] -> tanh layers -> mean and log-variance.

    Args:
        in_shape: of one image (C, H, W), or of a point (d,).
        z_dim: length of z.
        width: units of a hidden layer.
        depth: number of hidden layers.
        num_classes: K; None for an encoder that is told no labels.
        init: how to draw the weights; Glorot and Bengio's unless given.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...] = (1, 28, 28),
        z_dim: int = 50,
        width: int = 200,
        depth: int = 2,
        num_classes: int | None = None,
        init: Initialiser | None = None,
    ) -> None:
        super().__init__()
        self.z_dim, self.num_classes = z_dim, num_classes
        self.blocks = hidden(prod(in_shape) + (num_classes or 0), width, depth, nn.Tanh)
        self.head = nn.Linear(width, 2 * z_dim)
        self.apply(init or Xavier())

    def forward(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean and log-variance [N, z_dim] of ``x`` [N, *in_shape] in [-1, 1] with labels ``y`` [N]."""
        pixels = x.flatten(1).add(1).mul(0.5)
        mean, log_variance = self.head(self.blocks(told(pixels, y, self.num_classes))).chunk(2, dim=1)
        return mean, log_variance


class MLPDecoder(Decoder):
    """z -> tanh layers -> logits.

    Args:
        out_shape: of one image (C, H, W), or of a point (d,).
        z_dim: length of z.
        width: units of a hidden layer.
        depth: number of hidden layers.
        num_classes: K; None for a decoder that is told no labels.
        init: how to draw the weights; Glorot and Bengio's unless given.
    """

    def __init__(
        self,
        out_shape: tuple[int, ...] = (1, 28, 28),
        z_dim: int = 50,
        width: int = 200,
        depth: int = 2,
        num_classes: int | None = None,
        init: Initialiser | None = None,
    ) -> None:
        super().__init__()
        self.z_dim, self.out_shape, self.num_classes = z_dim, tuple(out_shape), num_classes
        self.layers = nn.Sequential(
            hidden(z_dim + (num_classes or 0), width, depth, nn.Tanh), nn.Linear(width, prod(out_shape))
        )
        self.apply(init or Xavier())

    @property
    def output_bias(self) -> nn.Parameter:  # type: ignore[override]  # registered once, by its layer
        """The last layer's."""
        return self.layers[-1].bias  # type: ignore[return-value]

    def logits(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Of each value of x: [N, *out_shape], from ``z`` [N, z_dim] with labels ``y`` [N]."""
        return self.layers(told(z, y, self.num_classes)).unflatten(1, self.out_shape)

"""Multi-layer perceptrons for points and small images: the generators and critics of the toy experiments."""

from itertools import pairwise
from math import prod

from torch import Tensor, nn

from lightning_modules.networks.base import Discriminator, Generator
from lightning_modules.networks.latents import Gaussian, Latent


def hidden(width_in: int, width: int, depth: int, activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    """``depth`` blocks of a linear layer of ``width`` units and an activation."""
    if depth < 1 or width < 1:
        raise ValueError(f"an MLP needs a depth and a width of 1 or more, got depth {depth} and width {width}")
    widths = [width_in] + [width] * depth
    blocks = [nn.Sequential(nn.Linear(a, b), activation()) for a, b in pairwise(widths)]
    return nn.Sequential(*blocks)


class MLPGenerator(Generator):
    """z -> ReLU layers -> a linear layer, with tanh where the output is bounded.

    Args:
        out_shape: of one sample: (2,) for points, (C, H, W) for images.
        z_dim: length of z.
        width: units of a hidden layer.
        depth: number of hidden layers.
        tanh: end in tanh, for data in [-1, 1]; off for points.
        latent: where z comes from; N(0, I) unless given.
    """

    def __init__(
        self,
        out_shape: tuple[int, ...] = (2,),
        z_dim: int = 2,
        width: int = 128,
        depth: int = 2,
        tanh: bool = False,
        latent: Latent | None = None,
    ) -> None:
        super().__init__()
        self.latent = latent or Gaussian()
        self.z_dim, self.out_shape = z_dim, tuple(out_shape)
        self.layers = nn.Sequential(hidden(z_dim, width, depth), nn.Linear(width, prod(out_shape)))
        self.squash: nn.Module = nn.Tanh() if tanh else nn.Identity()

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """``z`` [N, z_dim] to samples [N, *out_shape]; ``y`` is not used."""
        return self.squash(self.layers(z)).unflatten(1, self.out_shape)


class MLPDiscriminator(Discriminator):
    """A flattened sample -> ReLU layers -> one logit.

    Args:
        in_shape: of one sample: (2,) for points, (C, H, W) for images.
        width: units of a hidden layer.
        depth: number of hidden layers.
    """

    def __init__(self, in_shape: tuple[int, ...] = (2,), width: int = 128, depth: int = 2) -> None:
        super().__init__()
        self.blocks = hidden(prod(in_shape), width, depth)
        self.head = nn.Linear(width, 1)

    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The last hidden layer of ``x`` [N, *in_shape]: [N, width]."""
        return self.blocks(x.flatten(1))

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """``x`` [N, *in_shape] to logits [N]; ``y`` is not used."""
        return self.verdict(self.features(x))

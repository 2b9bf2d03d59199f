"""The networks of PacGAN's mixtures in the plane (Lin et al. 2018, section 4.1 and its code): MLPs, D's with maxout."""

from itertools import pairwise
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from lightning_modules.networks.base import Discriminator, Generator
from lightning_modules.networks.init import Normal
from lightning_modules.networks.latents import Gaussian, Latent

BATCH_NORM_RATE = 0.05  # at which the running statistics follow a step


class Largest(torch.autograd.Function):
    """The largest piece [N, width] of x [N, pieces, width]; each that is as large is handed the whole gradient.

    Cheaper on a CPU than ``amax``, whose derivative counts the pieces that are as large and divides the gradient among
    them; in float32 hardly any are. Gradients can be derived again.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:
        """``x`` [N, pieces, width] to [N, width]."""
        largest = x.amax(1)
        is_largest = torch.ge(x, largest.unsqueeze(1), out=torch.empty_like(x))  # in floats: no bools to multiply by
        ctx.save_for_backward(is_largest)
        return largest

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """The ``gradient`` [N, width] where a piece is the largest, else 0."""
        (is_largest,) = ctx.saved_tensors
        return gradient.unsqueeze(1) * is_largest


class Maxout(nn.Module):
    """The largest of several linear maps, unit by unit (Goodfellow et al. 2013, eq. 1).

    Args:
        width_in: numbers in.
        width: units.
        pieces: linear maps of each unit.
    """

    def __init__(self, width_in: int, width: int, pieces: int) -> None:
        super().__init__()
        self.pieces = pieces
        self.linear = nn.Linear(width_in, width * pieces)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [N, width_in] to [N, width]."""
        largest: Tensor = Largest.apply(self.linear(x).unflatten(1, (self.pieces, -1)))
        return largest


class PlaneGenerator(Generator):
    """z -> linear layers with batch norm and ReLU -> a linear layer.

    Args:
        out_shape: of one sample.
        z_dim: length of z.
        width: units of a hidden layer.
        depth: number of hidden layers.
        latent: where z comes from; N(0, I) unless given.
        eps: of batch norm, torch's unless given; the paper names none, the library of its code has 1e-4.
        batch_norm_parts: batch norm sees so many parts of a training batch apart, as the paper's code does with the
            samples of a pack: the i-th sample is of part i modulo ``batch_norm_parts``.

    Raises:
        ValueError: no parts, or a batch that does not fall into them.
    """

    def __init__(
        self,
        out_shape: tuple[int, ...] = (2,),
        z_dim: int = 2,
        width: int = 400,
        depth: int = 4,
        latent: Latent | None = None,
        eps: float = 1e-5,
        batch_norm_parts: int = 1,
    ) -> None:
        super().__init__()
        if batch_norm_parts < 1:
            raise ValueError(f"PlaneGenerator: batch_norm_parts must be 1 or more, got {batch_norm_parts}")
        self.latent, self.batch_norm_parts = latent or Gaussian(), batch_norm_parts
        rate = BATCH_NORM_RATE / batch_norm_parts  # once for each part
        self.z_dim, self.out_shape = z_dim, tuple(out_shape)
        layers: list[nn.Module] = []
        for before, after in pairwise([z_dim] + [width] * depth):
            layers += [nn.Linear(before, after, bias=False), nn.BatchNorm1d(after, eps, rate), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(width, prod(out_shape)))
        self.apply(Normal())

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """``z`` [N, z_dim] to samples [N, *out_shape]; ``y`` is not used."""
        parts = self.batch_norm_parts if self.training else 1
        if len(z) % parts:
            raise ValueError(f"a batch of {len(z)} does not fall into {parts} parts of batch norm: make it a multiple")
        made = [self.layers(part) for part in z.unflatten(0, (-1, parts)).unbind(1)]
        return torch.stack(made, 1).view(-1, *self.out_shape)


class MaxoutDiscriminator(Discriminator):
    """A flattened sample, or pack of samples -> maxout layers -> one logit.

    Args:
        in_shape: of what is judged at once: (2,) for points, (2 m,) for packs of m.
        width: units of a hidden layer.
        pieces: linear maps of each unit.
        depth: number of hidden layers.
    """

    def __init__(self, in_shape: tuple[int, ...] = (2,), width: int = 200, pieces: int = 5, depth: int = 3) -> None:
        super().__init__()
        layers = [Maxout(before, after, pieces) for before, after in pairwise([prod(in_shape)] + [width] * depth)]
        self.blocks = nn.Sequential(*layers)
        self.head = nn.Linear(width, 1)
        self.apply(Normal())

    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The last hidden layer of ``x`` [N, *in_shape]: [N, width]."""
        return self.blocks(x.flatten(1))

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """``x`` [N, *in_shape] to logits [N]; ``y`` is not used."""
        return self.verdict(self.features(x))

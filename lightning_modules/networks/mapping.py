"""The mapping network of the StyleGANs (Karras et al. 2019, figure 1b), and what a generator behind it has to do.

A mapping network makes w of z; each layer of the synthesis network is styled by a w of its own, so that two z can be
mixed. In evaluation w can be drawn towards its mean (the truncation trick, appendix B there).
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from lightning_modules.networks.base import StyledGenerator
from lightning_modules.networks.equalised import EqualisedLinear, Leaky, PixelNorm, in_full
from lightning_modules.networks.spectral import full_precision
from lightning_modules.networks.wrapped import given

W_LR_MUL = 0.01  # of the mapping network


class Mapping(nn.Module):
    """z and a class to w: fully connected layers with LeakyReLU, z and the class's embedding each of length 1.

    Args:
        z_dim: length of z; 0 where classes alone are mapped.
        w_dim: length of w.
        layers: how many.
        num_classes: K; none unless given.
        lr_mul: how much faster than others these layers learn.
        decay: of the running mean of w, which each forward pass in training moves; None keeps none.
    """

    w_mean: Tensor

    def __init__(
        self,
        z_dim: int = 512,
        w_dim: int = 512,
        layers: int = 8,
        num_classes: int | None = None,
        lr_mul: float = W_LR_MUL,
        decay: float | None = 0.995,
    ) -> None:
        super().__init__()
        if not z_dim and num_classes is None:
            raise ValueError("there is nothing to map: give z_dim or num_classes")
        self.z_dim, self.num_classes, self.decay = z_dim, num_classes, decay
        self.norm = PixelNorm()
        self.embed = None if num_classes is None else EqualisedLinear(num_classes, w_dim)
        given_dim = z_dim + (w_dim if num_classes is not None else 0)
        sizes = [given_dim, *[w_dim] * layers]
        self.layers = nn.Sequential(
            *(
                layer
                for before, after in pairwise(sizes)
                for layer in (EqualisedLinear(before, after, lr_mul=lr_mul), Leaky())
            )
        )
        if decay is not None:
            self.register_buffer("w_mean", torch.zeros(w_dim))

    def forward(self, z: Tensor | None, y: Tensor | None = None) -> Tensor:
        """``z`` [N, z_dim] and classes ``y`` [N] to w [N, w_dim]; in training the running mean follows."""
        with full_precision((given(y) if z is None else z).device):
            parts = [] if z is None else [self.norm(in_full(z))]
            if self.embed is not None and self.num_classes is not None:
                code = one_hot(given(y), self.num_classes).to(self.embed.weight.dtype)
                parts.append(self.norm(self.embed(code)))
            w: Tensor = self.layers(torch.cat(parts, 1))
        if self.training and self.decay is not None:
            self.w_mean.lerp_(w.detach().mean(0), 1 - self.decay)
        return w


class MappedGenerator(StyledGenerator):
    """A mapping network and a synthesis network.

    Args:
        mapping: z, y -> w.
        synthesis: styles -> x.
        num_styles: layers that have one.
        out_shape: of an image, (C, H, W).
        truncation: how far from the mean w is in evaluation: 1 is all the way, 0 the mean itself.
    """

    mapping: Mapping

    def __init__(
        self,
        mapping: Mapping,
        synthesis: nn.Module,
        num_styles: int,
        out_shape: tuple[int, int, int],
        truncation: float = 1.0,
    ) -> None:
        super().__init__()
        self.mapping, self.synthesis = mapping, synthesis
        self.z_dim, self.num_classes, self.out_shape = mapping.z_dim, mapping.num_classes, out_shape
        self.num_styles, self.truncation = num_styles, truncation

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """``z`` [N, z_dim] and classes ``y`` [N] to images [N, *out_shape]."""
        return self.synthesis(self.styles(z, y))

    def styles(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """The same w for every layer: [N, styles, w_dim]; in evaluation truncated."""
        return self.spread(self.mapping(z, y))

    def mixed_styles(self, z: Tensor, other: Tensor, y: Tensor | None, crossing: Tensor) -> Tensor:
        """The styles of ``z`` up to the layer ``crossing`` (integers, [] or [N, 1]), from there those of ``other``."""
        both = self.mapping(torch.cat([z, other]), None if y is None else torch.cat([y, y]))
        own, theirs = self.spread(both).chunk(2)
        layer = torch.arange(self.num_styles, device=z.device)
        return torch.where((layer < crossing)[..., None], own, theirs)

    def affine_weights(self) -> list[Tensor]:
        """The fully connected layers of the synthesis, at the scale that they are used with."""
        layers = (layer for layer in self.synthesis.modules() if isinstance(layer, EqualisedLinear))
        return [layer.weight.detach() * layer.scale for layer in layers]

    def spread(self, w: Tensor) -> Tensor:
        """``w`` [N, w_dim], in evaluation truncated, for every layer: [N, styles, w_dim]."""
        if not self.training and self.truncation != 1:
            w = torch.lerp(self.mapping.w_mean.to(w.dtype), w, self.truncation)
        return w[:, None].expand(-1, self.num_styles, -1)

"""StyleGAN2's generator (Karras et al. 2020, "Analyzing and improving the image quality of StyleGAN", figure 2; the
settings of Karras et al. 2020, "Training generative adversarial networks with limited data", appendix C).

A mapping network makes w of z; each modulated convolution is styled by a w of its own, so that two z can be mixed.
Every resolution adds its colours to the image so far (output skips), which is enlarged by a filter.
Deviation: what half precision needs is the clamp alone, since bfloat16 has the range of float32.
"""

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from lightning_modules.networks.base import StyledGenerator
from lightning_modules.networks.conditional import given
from lightning_modules.networks.equalised import EqualisedLinear, Leaky, PixelNorm
from lightning_modules.networks.fir import FIR
from lightning_modules.networks.modulated import ModulatedConv2d

SMALLEST = 4  # px, where synthesis begins
W_LR_MUL = 0.01  # of the mapping network


class Widths(NamedTuple):
    """How many feature maps a resolution has.

    Args:
        base: their number times the resolution; 32,768 is the published one, half of it below 512 px in ``auto``.
        most: the greatest number.
    """

    base: int = 32768
    most: int = 512

    def at(self, side: int) -> int:
        """The number at ``side`` px."""
        return max(1, min(self.base // side, self.most))


def levels(size: int) -> list[int]:
    """The resolutions from 4 px to ``size``.

    Raises:
        ValueError: ``size`` is no power of two from 4 to 1024.
    """
    found = [SMALLEST * 2**i for i in range(9)]
    if size not in found:
        raise ValueError(f"size is {size}: StyleGAN's images are of 4, 8, 16, ... 1024 px")
    return found[: found.index(size) + 1]


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
        parts = [] if z is None else [self.norm(z.float())]
        if self.embed is not None and self.num_classes is not None:
            parts.append(self.norm(self.embed(one_hot(given(y), self.num_classes).to(self.embed.weight.dtype))))
        w = self.layers(torch.cat(parts, 1))
        if self.training and self.decay is not None:
            self.w_mean.lerp_(w.detach().float().mean(0), 1 - self.decay)
        return w


class StyledConv(nn.Module):
    """A modulated convolution, noise of a learned strength, bias and LeakyReLU.

    Args:
        before: channels that it is given.
        after: channels that it makes.
        w_dim: length of w.
        up: filter with which it enlarges twofold.
        clamp: see ``Leaky``.
    """

    def __init__(self, before: int, after: int, w_dim: int, up: FIR | None = None, clamp: float | None = None) -> None:
        super().__init__()
        self.convolution = ModulatedConv2d(before, after, 3, w_dim, up=up)
        self.strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(after, 1, 1))
        self.activation = Leaky(clamp=clamp)

    def forward(self, x: Tensor, w: Tensor, noise: bool) -> Tensor:
        """``x`` [N, before, H, W] under ``w`` [N, w_dim], with ``noise`` of the global stream or without."""
        x = self.convolution(x, w)
        if noise:
            drawn = torch.randn(len(x), 1, *x.shape[2:], device=x.device)
            x = x + (drawn * self.strength).to(x.dtype)
        return self.activation(x + self.bias.to(x.dtype))


class ToColours(nn.Module):
    """Features to colours by a modulated 1x1 convolution.

    Args:
        before: channels that it is given.
        channels: of the image.
        w_dim: length of w.
        clamp: largest magnitude of a colour; none unless given.
    """

    def __init__(self, before: int, channels: int, w_dim: int, clamp: float | None = None) -> None:
        super().__init__()
        self.convolution = ModulatedConv2d(before, channels, 1, w_dim, demodulate=False)
        self.bias, self.clamp = nn.Parameter(torch.zeros(channels, 1, 1)), clamp

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """``x`` [N, before, H, W] under ``w`` [N, w_dim] to [N, channels, H, W] in float32."""
        colours = self.convolution(x, w).float() + self.bias
        return colours if self.clamp is None else colours.clamp(-self.clamp, self.clamp)


class Synthesis(nn.Module):
    """Styles to an image.

    Args:
        size: side of the image in px, a power of two from 4.
        channels: of the image.
        w_dim: length of w.
        widths: feature maps of each resolution.
        taps: of the filter that enlarges.
        clamp: see ``Leaky``.
    """

    def __init__(
        self, size: int, channels: int, w_dim: int, widths: Widths, taps: tuple[float, ...], clamp: float | None
    ) -> None:
        super().__init__()
        sides = levels(size)
        self.fir = FIR(taps)
        self.constant = nn.Parameter(torch.randn(1, widths.at(SMALLEST), SMALLEST, SMALLEST))
        self.first = StyledConv(widths.at(SMALLEST), widths.at(SMALLEST), w_dim, clamp=clamp)
        pairs = [(widths.at(before), widths.at(after)) for before, after in pairwise(sides)]
        self.enlarging = nn.ModuleList(StyledConv(a, b, w_dim, self.fir, clamp) for a, b in pairs)
        self.keeping = nn.ModuleList(StyledConv(b, b, w_dim, clamp=clamp) for _, b in pairs)
        self.colours = nn.ModuleList(ToColours(widths.at(side), channels, w_dim, clamp) for side in sides)
        self.styles = 2 * len(sides)  # the colours of a resolution have the style of the next one's first layer

    def forward(self, w: Tensor, noise: bool = True) -> Tensor:
        """``w`` [N, styles, w_dim] to an image [N, channels, size, size]."""
        styles = w.unbind(1)
        x = self.first(self.constant.expand(len(w), -1, -1, -1), styles[0], noise)
        image = self.colours[0](x, styles[1])
        for i, (enlarge, keep) in enumerate(zip(self.enlarging, self.keeping, strict=True)):
            x = keep(enlarge(x, styles[2 * i + 1], noise), styles[2 * i + 2], noise)
            image = self.fir.up(image) + self.colours[i + 1](x, styles[2 * i + 3])
        return image


class StyleGAN2Generator(StyledGenerator):
    """z, y -> x.

    Args:
        size: side of the image in px, a power of two from 4.
        channels: of the image.
        z_dim: length of z.
        w_dim: length of w.
        mapping_layers: of the mapping network; 8, and 2 for CIFAR-10.
        widths: feature maps of each resolution.
        num_classes: K; none unless given.
        taps: of the filter that enlarges.
        clamp: largest magnitude of activations; 256 in half precision.
        truncation: how far from the mean w is in evaluation: 1 is all the way, 0 the mean itself.
    """

    mapping: Mapping

    def __init__(
        self,
        size: int = 1024,
        channels: int = 3,
        z_dim: int = 512,
        w_dim: int = 512,
        mapping_layers: int = 8,
        widths: Widths = Widths(),  # noqa: B008  # a tuple cannot change
        num_classes: int | None = None,
        taps: tuple[float, ...] = (1.0, 3.0, 3.0, 1.0),
        clamp: float | None = 256.0,
        truncation: float = 1.0,
    ) -> None:
        super().__init__()
        self.z_dim, self.out_shape, self.num_classes = z_dim, (channels, size, size), num_classes
        self.w_dim, self.truncation = w_dim, truncation
        self.mapping = Mapping(z_dim, w_dim, mapping_layers, num_classes)
        self.synthesis = Synthesis(size, channels, w_dim, widths, taps, clamp)
        self.num_styles = self.synthesis.styles

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

    def spread(self, w: Tensor) -> Tensor:
        """``w`` [N, w_dim], in evaluation truncated, for every layer: [N, styles, w_dim]."""
        if not self.training and self.truncation != 1:
            w = torch.lerp(self.mapping.w_mean.to(w.dtype), w, self.truncation)
        return w[:, None].expand(-1, self.num_styles, -1)

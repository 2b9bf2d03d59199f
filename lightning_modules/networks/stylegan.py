"""StyleGAN's generator (Karras et al. 2019, figure 1b): styles act by adaptive instance normalisation.

    AdaIN(x, w) = (1 + scale(w)) (x - mean(x)) / deviation(x) + shift(w)        for each map of each image (eq. 1)

follows each convolution, after its noise, bias and LeakyReLU; enlargement is by repetition and a binomial filter.
Deviation: it does not grow; the colours are made once, at the full size.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import instance_norm, interpolate

from lightning_modules.networks.equalised import EPSILON, EqualisedConv2d, EqualisedLinear, Leaky
from lightning_modules.networks.fir import FIR
from lightning_modules.networks.mapping import MappedGenerator, Mapping
from lightning_modules.networks.resolutions import SMALLEST, Widths, levels

GAIN = math.sqrt(2)
PUBLISHED = Widths(16384, 512)


class AdaIN(nn.Module):
    """Each map to mean 0 and deviation 1, then to those that the style says.

    Args:
        channels: maps.
        w_dim: length of w.
    """

    def __init__(self, channels: int, w_dim: int) -> None:
        super().__init__()
        self.affine = EqualisedLinear(w_dim, 2 * channels)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """``x`` [N, channels, H, W] under ``w`` [N, w_dim]."""
        scale, shift = self.affine(w).to(x.dtype)[:, :, None, None].chunk(2, 1)
        return torch.addcmul(shift, instance_norm(x, eps=EPSILON), 1 + scale)


class NormedLayer(nn.Module):
    """Convolution or none, noise of a strength for each map, bias, LeakyReLU, AdaIN.

    The noise is drawn anew in training; in evaluation it is the same for all images.

    Args:
        before: channels that it is given; 0 where there is no convolution.
        after: channels that it makes.
        side: of its maps in px.
        w_dim: length of w.
        up: filter after enlarging twofold; none keeps the size.
    """

    constant: Tensor

    def __init__(self, before: int, after: int, side: int, w_dim: int, up: FIR | None = None) -> None:
        super().__init__()
        self.register_buffer("constant", torch.randn(1, 1, side, side))
        self.up = up
        self.convolution = EqualisedConv2d(before, after, 3, bias=False, gain=GAIN) if before else None
        self.strength, self.bias = (nn.Parameter(torch.zeros(after, 1, 1)) for _ in range(2))
        self.activation, self.adain = Leaky(gain=1.0), AdaIN(after, w_dim)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """``x`` [N, before, h, w] under ``w`` [N, w_dim] to [N, after, side, side]."""
        if self.up is not None:
            x = interpolate(x, scale_factor=2)
        if self.convolution is not None:
            x = self.convolution(x)
        if self.up is not None:
            x = self.up.smooth(x, 1, 1)
        noise = torch.randn(x.shape[0], 1, *x.shape[2:], device=x.device) if self.training else self.constant
        x = x + (noise * self.strength + self.bias).to(x.dtype)
        return self.adain(self.activation(x), w)


class NormedSynthesis(nn.Module):
    """Styles to an image.

    Args:
        size: side of the image in px, a power of two from 4.
        channels: of the image.
        w_dim: length of w.
        widths: feature maps of each resolution.
        taps: of the filter, three.

    Raises:
        ValueError: another number of taps.
    """

    def __init__(self, size: int, channels: int, w_dim: int, widths: Widths, taps: tuple[float, ...]) -> None:
        super().__init__()
        if len(taps) != 3:
            raise ValueError(f"taps are {list(taps)}: behind an enlargement by repetition three keep the middle")
        sides, fir = levels(size), FIR(taps)
        maps = [widths.at(side) for side in sides]
        self.constant = nn.Parameter(torch.ones(1, maps[0], SMALLEST, SMALLEST))
        layers = [NormedLayer(before, maps[0], SMALLEST, w_dim) for before in (0, maps[0])]
        for (before, after), side in zip(pairwise(maps), sides[1:], strict=True):
            layers += [NormedLayer(before, after, side, w_dim, fir), NormedLayer(after, after, side, w_dim)]
        self.layers, self.styles = nn.ModuleList(layers), len(layers)
        self.colours = EqualisedConv2d(maps[-1], channels, 1)

    def forward(self, w: Tensor) -> Tensor:
        """``w`` [N, styles, w_dim] to an image [N, channels, size, size]."""
        x = self.constant.expand(w.shape[0], -1, -1, -1)
        for layer, style in zip(self.layers, w.unbind(1), strict=True):
            x = layer(x, style)
        return self.colours(x)


class StyleGANGenerator(MappedGenerator):
    """z, y -> x.

    Args:
        size: side of the image in px, a power of two from 4.
        channels: of the image.
        z_dim: length of z.
        w_dim: length of w.
        mapping_layers: of the mapping network; 8 in the paper.
        widths: feature maps of each resolution.
        num_classes: K; none unless given.
        taps: of the filter behind enlargements, three.
        truncation: how far from the mean w is in evaluation: 1 is all the way, 0 the mean itself.
    """

    def __init__(
        self,
        size: int = 1024,
        channels: int = 3,
        z_dim: int = 512,
        w_dim: int = 512,
        mapping_layers: int = 8,
        widths: Widths = PUBLISHED,
        num_classes: int | None = None,
        taps: tuple[float, ...] = (1.0, 2.0, 1.0),
        truncation: float = 1.0,
    ) -> None:
        mapping = Mapping(z_dim, w_dim, mapping_layers, num_classes)
        synthesis = NormedSynthesis(size, channels, w_dim, widths, taps)
        super().__init__(mapping, synthesis, synthesis.styles, (channels, size, size), truncation)

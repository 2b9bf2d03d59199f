"""StyleGAN2's generator (Karras et al. 2020, "Analyzing and improving the image quality of StyleGAN", figure 2; the
settings of Karras et al. 2020, "Training generative adversarial networks with limited data", appendix C).

Each modulated convolution is styled by a w of its own. Every resolution adds its colours to the image so far (output
skips), which is enlarged by a filter.
In half precision the mapping, all styles, filters and colours stay in float32. Deviations: so does nothing else, the
layer of 4 px neither; noise in evaluation is constant for scores, too.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from lightning_modules.networks.equalised import Leaky
from lightning_modules.networks.fir import FIR
from lightning_modules.networks.mapping import MappedGenerator, Mapping
from lightning_modules.networks.modulated import ModulatedConv2d
from lightning_modules.networks.resolutions import SMALLEST, Widths, levels


class StyledConv(nn.Module):
    """A modulated convolution, noise of a learned strength, bias and LeakyReLU.

    The noise is drawn anew in training; in evaluation it is the same for all images, so that an image is w's alone.

    Args:
        before: channels that it is given.
        after: channels that it makes.
        side: of its maps in px.
        w_dim: length of w.
        up: filter with which it enlarges twofold.
        clamp: see ``Leaky``.
    """

    constant: Tensor

    def __init__(
        self, before: int, after: int, side: int, w_dim: int, up: FIR | None = None, clamp: float | None = None
    ) -> None:
        super().__init__()
        self.register_buffer("constant", torch.randn(1, 1, side, side))
        self.convolution = ModulatedConv2d(before, after, 3, w_dim, up=up)
        self.strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(after, 1, 1))
        self.activation = Leaky(clamp=clamp)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """``x`` [N, before, h, w] under ``w`` [N, w_dim] to [N, after, side, side]."""
        x = self.convolution(x, w)
        noise = torch.randn(x.shape[0], 1, *x.shape[2:], device=x.device) if self.training else self.constant
        x = x + (noise * self.strength).to(x.dtype)
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
        self.first = StyledConv(widths.at(SMALLEST), widths.at(SMALLEST), SMALLEST, w_dim, clamp=clamp)
        steps = [(widths.at(before), widths.at(after), after) for before, after in pairwise(sides)]
        self.enlarging = nn.ModuleList(StyledConv(a, b, side, w_dim, self.fir, clamp) for a, b, side in steps)
        self.keeping = nn.ModuleList(StyledConv(b, b, side, w_dim, clamp=clamp) for _, b, side in steps)
        self.colours = nn.ModuleList(ToColours(widths.at(side), channels, w_dim, clamp) for side in sides)
        self.styles = 2 * len(sides)  # the colours of a resolution have the style of the next one's first layer

    def forward(self, w: Tensor) -> Tensor:
        """``w`` [N, styles, w_dim] to an image [N, channels, size, size]."""
        styles = w.unbind(1)
        x = self.first(self.constant.expand(w.shape[0], -1, -1, -1), styles[0])
        image = self.colours[0](x, styles[1])
        for i, (enlarge, keep) in enumerate(zip(self.enlarging, self.keeping, strict=True)):
            x = keep(enlarge(x, styles[2 * i + 1]), styles[2 * i + 2])
            image = self.fir.up(image) + self.colours[i + 1](x, styles[2 * i + 3])
        return image


class StyleGAN2Generator(MappedGenerator):
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
        mapping = Mapping(z_dim, w_dim, mapping_layers, num_classes)
        synthesis = Synthesis(size, channels, w_dim, widths, taps, clamp)
        super().__init__(mapping, synthesis, synthesis.styles, (channels, size, size), truncation)

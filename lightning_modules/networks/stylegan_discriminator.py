"""StyleGAN2's discriminators: residual (Karras et al. 2020, figure 7) and as in ProGAN, which CIFAR-10's settings keep.

Each resolution has a convolution that keeps the size and one that halves it behind a low-pass filter; then come the
deviation of the minibatch, a convolution and two fully connected layers. A class is mapped to a vector whose inner
product with the last features is the logit (Miyato and Koyama 2018). All from 4 px on is in float32.
"""

import math
from itertools import pairwise

from torch import Tensor, nn

from lightning_modules.networks.base import Discriminator
from lightning_modules.networks.equalised import EqualisedConv2d, EqualisedLinear, Leaky, MinibatchDeviation, in_full
from lightning_modules.networks.fir import FIR
from lightning_modules.networks.mapping import Mapping
from lightning_modules.networks.resolutions import SMALLEST, Widths, levels
from lightning_modules.networks.spectral import full_precision


class Halve(nn.Module):
    """A convolution to half the sides, behind a filter.

    Args:
        before: channels that it is given.
        after: channels that it makes.
        kernel: its odd side in px.
        fir: the filter.
        bias: whether it adds one.
    """

    def __init__(self, before: int, after: int, kernel: int, fir: FIR, bias: bool = True) -> None:
        super().__init__()
        self.fir, self.kernel = fir, kernel
        self.convolution = EqualisedConv2d(before, after, kernel, 1 if kernel == 1 else 2, 0, bias)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [N, before, H, W] to [N, after, H / 2, W / 2]."""
        if self.kernel == 1:
            return self.convolution(self.fir.down(x))
        taps, reach = len(self.fir.taps), self.kernel // 2
        return self.convolution(self.fir.smooth(x, reach + (taps - 1) // 2, reach + (taps - 2) // 2))


class Block(nn.Module):
    """Two convolutions, the second to half the sides; around them, if so, a shortcut.

    Args:
        before: channels that it is given.
        after: channels that it makes.
        fir: the filter.
        residual: whether there is the shortcut.
        clamp: see ``Leaky``.
    """

    def __init__(self, before: int, after: int, fir: FIR, residual: bool, clamp: float | None) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            EqualisedConv2d(before, before, 3), Leaky(clamp=clamp), Halve(before, after, 3, fir), Leaky(clamp=clamp)
        )
        self.shortcut = Halve(before, after, 1, fir, bias=False) if residual else None

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [N, before, H, W] to [N, after, H / 2, W / 2]."""
        made = self.layers(x)
        return made if self.shortcut is None else (made + self.shortcut(x)) * math.sqrt(0.5)


class StyleGAN2Discriminator(Discriminator):
    """Images [N, C, size, size] to logits [N].

    Args:
        size: side of the images in px, a power of two from 8.
        channels: of the images.
        widths: feature maps of each resolution.
        residual: shortcuts around the blocks; without them the discriminator is the one for CIFAR-10.
        group: images over which the deviation is taken; 4, and 32 for CIFAR-10.
        num_classes: K; none unless given.
        mapping_layers: of the network that maps classes.
        taps: of the filter that shrinks.
        clamp: largest magnitude of activations; 256 in half precision.
    """

    def __init__(
        self,
        size: int = 1024,
        channels: int = 3,
        widths: Widths = Widths(),  # noqa: B008  # a tuple cannot change
        residual: bool = True,
        group: int = 4,
        num_classes: int | None = None,
        mapping_layers: int = 8,
        taps: tuple[float, ...] = (1.0, 3.0, 3.0, 1.0),
        clamp: float | None = 256.0,
    ) -> None:
        super().__init__()
        sides = list(reversed(levels(size)))
        if len(sides) < 2:
            raise ValueError(f"size is {size}: this discriminator judges images of 8 px or more")
        self.image_shape, self.num_classes = (channels, size, size), num_classes
        fir, last = FIR(taps), widths.at(SMALLEST)
        self.blocks = nn.Sequential(
            nn.Sequential(EqualisedConv2d(channels, widths.at(size), 1), Leaky(clamp=clamp)),
            *(Block(widths.at(before), widths.at(after), fir, residual, clamp) for before, after in pairwise(sides)),
        )
        self.epilogue = nn.Sequential(
            MinibatchDeviation(group),
            EqualisedConv2d(last + 1, last, 3),
            Leaky(clamp=clamp),
            nn.Flatten(),
            EqualisedLinear(last * SMALLEST**2, last),
            Leaky(),
        )
        self.head = EqualisedLinear(last, 1 if num_classes is None else last)
        self.mapping = None if num_classes is None else Mapping(0, last, mapping_layers, num_classes, decay=None)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """``x`` [N, C, size, size] and classes ``y`` [N] to logits [N]."""
        return self.verdict(self.features(x, y), y)

    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """What the head judges: [N, maps]."""
        found = self.blocks(x)
        with full_precision(found.device):
            return self.epilogue(in_full(found))

    def verdict(self, features: Tensor, y: Tensor | None = None) -> Tensor:
        """The logits [N] of ``features``."""
        with full_precision(features.device):
            found: Tensor = self.head(features)
        if self.mapping is None:
            return found.flatten()
        return (found * self.mapping(None, y)).sum(1) / math.sqrt(found.shape[1])

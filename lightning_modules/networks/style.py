"""The networks of feed-forward style transfer: Johnson's transformer and AdaIN's decoder."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from lightning_modules.networks.base import Network
from lightning_modules.networks.init import He
from lightning_modules.networks.translator import Translator


class StyleTransformer(Translator):
    """A picture [N, 3, H, W] in [0, 1] to one in a style, in [0, 1]; sides are multiples of 4.

    Johnson et al. 2016, supplementary table 1: c9s1-32, d64, d128, five residual blocks, u64, u32, c9s1-3, with the
    instance norm of Ulyanov et al. (2017). Deviations: CycleGAN's form of it (first and last convolutions of 7 px, a
    sigmoid in the end for the scaled tanh).

    Args:
        blocks: residual blocks.
        width: feature maps of the first convolution.
    """

    def __init__(self, blocks: int = 5, width: int = 32) -> None:
        super().__init__(blocks, width=width)

    def forward(self, y: Tensor) -> Tensor:
        """``y`` [N, 3, H, W] to the same shape."""
        return (super().forward(2 * y - 1) + 1) / 2


class StyleDecoder(Network):
    """Feature maps back to the image they came from: AdaIN's decoder (Huang and Belongie 2017, section 6.1).

    3x3 convolutions with reflection padding, ReLUs between them, no norm, and nearest-neighbour enlargements where the
    encoder pooled. The defaults mirror VGG19 up to conv4_1.

    Args:
        channels: of the feature maps, then after each convolution; the last are the image's.
        enlarge: after which convolutions the maps are doubled in size, counted from 1.

    Raises:
        ValueError: fewer than two numbers of channels, or an enlargement after no convolution that a ReLU follows.
    """

    def __init__(
        self,
        channels: Sequence[int] = (512, 256, 256, 256, 256, 128, 128, 64, 64, 3),
        enlarge: Sequence[int] = (1, 5, 7),
    ) -> None:
        super().__init__()
        convolutions = len(channels) - 1
        if convolutions < 1 or not all(1 <= i < convolutions for i in enlarge):
            raise ValueError(
                f"StyleDecoder: {list(channels)} are {convolutions} convolutions, enlarged after {list(enlarge)}: give "
                "one or more, and enlarge after any but the last"
            )
        layers: list[nn.Module] = []
        for i, (before, after) in enumerate(pairwise(channels), 1):
            layers += [nn.ReflectionPad2d(1), nn.Conv2d(before, after, 3)]
            layers += [nn.ReLU(inplace=True)] if i < convolutions else []
            layers += [nn.Upsample(scale_factor=2)] if i in enlarge else []
        self.layers = nn.Sequential(*layers)
        self.apply(He())

    def forward(self, maps: Tensor) -> Tensor:
        """``maps`` [N, C, h, w] to an image [N, C', H, W], not clamped."""
        return self.layers(maps)

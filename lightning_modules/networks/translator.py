"""CycleGAN's generator (Zhu et al. 2017, section 4 and appendix 7.2), after Johnson et al. (2016).

    c7s1-64, d128, d256, R256 nine times (six for images of 128 px), u128, u64, c7s1-3, tanh

with reflection padding and instance norm without weights; 11.4 million parameters with nine blocks. Deviation: the way
up pads its transposed convolutions by a pixel, as the published code does.
"""

from itertools import pairwise

from torch import Tensor, nn

from lightning_modules.networks.base import Network
from lightning_modules.networks.init import DCGAN, Initialiser
from lightning_modules.networks.unet import Norm, norm_layer


class Block(nn.Module):
    """x + norm(conv(relu(norm(conv(x))))), [N, width, h, w]."""

    def __init__(self, width: int, norm: Norm) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *convolution(width, width, norm), nn.ReLU(inplace=True), *convolution(width, width, norm)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape."""
        return x + self.layers(x)


class Translator(Network):
    """An image [N, in_channels, H, W] to one [N, out_channels, H, W] in [-1, 1]; sides are multiples of 2^halvings.

    Args:
        blocks: residual blocks: nine for images of 256 px, six for 128.
        in_channels: of what it is given.
        out_channels: of the image.
        width: feature maps of the first convolution.
        halvings: strided convolutions, each of twice as many maps.
        norm: "batch", "instance" or "none".
        init: how to draw the weights; N(0, 0.02) unless given.

    Raises:
        ValueError: in ``forward``, sides that cannot be halved so often.
    """

    def __init__(
        self,
        blocks: int = 9,
        in_channels: int = 3,
        out_channels: int = 3,
        width: int = 64,
        halvings: int = 2,
        norm: Norm = "instance",
        init: Initialiser | None = None,
    ) -> None:
        super().__init__()
        self.multiple = 2**halvings
        maps = [width * 2**i for i in range(halvings + 1)]
        layers: list[nn.Module] = [*convolution(in_channels, width, norm, side=7), nn.ReLU(inplace=True)]
        bias = norm != "batch"
        for before, after in pairwise(maps):
            layers += [nn.Conv2d(before, after, 3, 2, 1, bias=bias), norm_layer(norm, after), nn.ReLU(inplace=True)]
        layers += [Block(maps[-1], norm) for _ in range(blocks)]
        for before, after in zip(maps[:0:-1], maps[-2::-1], strict=True):
            up = nn.ConvTranspose2d(before, after, 3, 2, padding=1, output_padding=1, bias=bias)
            layers += [up, norm_layer(norm, after), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(width, out_channels, 7), nn.Tanh())
        self.apply(init or DCGAN())

    def forward(self, y: Tensor) -> Tensor:
        """``y`` [N, in_channels, H, W] to [N, out_channels, H, W]."""
        if any(side % self.multiple for side in y.shape[2:]):
            raise ValueError(
                f"an image of {y.shape[2]}x{y.shape[3]} cannot be halved and come back: give sides that are multiples"
                f" of {self.multiple}"
            )
        return self.layers(y)


def convolution(before: int, after: int, norm: Norm, side: int = 3) -> list[nn.Module]:
    """A convolution that keeps the size by reflection, and its norm."""
    conv = nn.Conv2d(before, after, side, bias=norm != "batch")
    return [nn.ReflectionPad2d(side // 2), conv, norm_layer(norm, after)]

"""RRDBNet, ESRGAN's G (Wang et al. 2018, section 3.1 and figure 4): dense blocks within residual blocks, no batch norm.

What a dense block adds and what a group of three adds are both weighted by 0.2; the weights of dense blocks begin a
tenth as large as He's (section 3.1, "residual scaling" and "smaller initialization"). Enlargement is by nearest
neighbours, each time with a convolution behind it, as in the authors' code.
"""

import torch
from torch import Tensor, nn

from lightning_modules.networks.base import Upscaler
from lightning_modules.networks.edsr import factors_of

SLOPE = 0.2  # of every LeakyReLU


class DenseBlock(nn.Module):
    """Five convolutions, each of which sees the input and all answers before it; x + weight * the last answer.

    Args:
        width: channels of x.
        growth: channels of each answer but the last.
        weight: of what is added.
        shrink: factor of the weights that He's initialisation draws.
    """

    def __init__(self, width: int = 64, growth: int = 32, weight: float = 0.2, shrink: float = 0.1) -> None:
        super().__init__()
        self.weight = weight
        outputs = [growth] * 4 + [width]
        self.layers = nn.ModuleList(small(conv(width + i * growth, out), shrink) for i, out in enumerate(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [N, width, h, w] to the same shape."""
        seen = [x]
        for layer in self.layers[:-1]:
            seen.append(nn.functional.leaky_relu(layer(torch.cat(seen, 1)), SLOPE))
        return x + self.weight * self.layers[-1](torch.cat(seen, 1))


class RRDB(nn.Module):
    """Three dense blocks in a row; x + weight * their answer, which itself holds x.

    Args:
        width: channels of x.
        growth: of the dense blocks.
        weight: of what is added, here and there.
    """

    def __init__(self, width: int = 64, growth: int = 32, weight: float = 0.2) -> None:
        super().__init__()
        self.weight = weight
        self.blocks = nn.Sequential(*(DenseBlock(width, growth, weight) for _ in range(3)))

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [N, width, h, w] to the same shape."""
        return x + self.weight * self.blocks(x)


class RRDBNet(Upscaler):
    """y -> x for one scale.

    Args:
        scale: the one: 3 or a power of two.
        blocks: RRDBs.
        width: channels.
        growth: of the dense blocks.
        channels: of the images.

    Raises:
        ValueError: for another scale.
    """

    def __init__(self, scale: int = 4, blocks: int = 23, width: int = 64, growth: int = 32, channels: int = 3) -> None:
        super().__init__()
        self.scales = (scale,)
        self.first = conv(channels, width)
        self.body = nn.Sequential(*(RRDB(width, growth) for _ in range(blocks)), conv(width, width))
        layers: list[nn.Module] = []
        for factor in factors_of(scale):
            layers += [nn.Upsample(scale_factor=factor), conv(width, width), nn.LeakyReLU(SLOPE, inplace=True)]
        layers += [conv(width, width), nn.LeakyReLU(SLOPE, inplace=True), conv(width, channels)]
        self.last = nn.Sequential(*layers)

    def forward(self, y: Tensor, scale: int) -> Tensor:
        """``y`` [N, C, h, w] to [N, C, h scale, w scale]."""
        x = self.first(y)
        return self.last(x + self.body(x))


def conv(before: int, after: int) -> nn.Conv2d:
    """3x3."""
    return nn.Conv2d(before, after, 3, padding=1)


@torch.no_grad()
def small(layer: nn.Conv2d, shrink: float) -> nn.Conv2d:
    """``layer`` with weights that are ``shrink`` times He's, and no bias."""
    nn.init.kaiming_normal_(layer.weight).mul_(shrink)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer

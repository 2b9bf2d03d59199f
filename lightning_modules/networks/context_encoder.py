"""The context encoder (Pathak et al. 2016, section 3.1): from what is around a hole, through a bottleneck, to the hole.

Strided 4x4 convolutions with LeakyReLU and batch norm lead to maps of 4 x 4, a channel-wise fully connected layer
connects all places of each map, and a 1x1 convolution the maps; transposed convolutions make the image. The published
network for a hole in the middle makes the middle half alone, the one for holes anywhere the whole image (``middle``).
Deviations: the bottleneck is the paper's channel-wise layer, in whose place the published inpainting network has a
vector of 4,000; the image is in [0, 1].
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from lightning_modules.networks.base import Filler
from lightning_modules.networks.init import DCGAN, Initialiser

SLOPE, WIDEST, BOTTLENECK = 0.2, 8, 4  # px


class ChannelWise(nn.Module):
    """A fully connected layer within each map: m n^4 weights in place of m^2 n^4 (section 3.1).

    Args:
        channels: m.
        side: n, of a map in px.
    """

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        places = side * side
        self.weight = nn.Parameter(torch.randn(channels, places, places) / places**0.5)
        self.bias = nn.Parameter(torch.zeros(channels, places))

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [N, channels, side, side] to the same shape."""
        return (torch.einsum("ncp,cpq->ncq", x.flatten(2), self.weight) + self.bias).view_as(x)


class ContextEncoder(Filler):
    """An image of one size with a hole to a whole one in [0, 1].

    Args:
        size: side in px, 4 times a power of two, 16 or more.
        width: feature maps of the first convolution; doubled by each further one, up to eight times that.
        middle: make the middle half of each side alone, for holes that lie there; what is around it stays y.
        init: how to draw the convolutions' weights; N(0, 0.02) unless given.

    Raises:
        ValueError: another size; in ``forward``, an image of another size than that.
    """

    def __init__(self, size: int = 128, width: int = 64, middle: bool = True, init: Initialiser | None = None) -> None:
        super().__init__()
        depth = (size // BOTTLENECK).bit_length() - 1
        if depth < 2 or size != BOTTLENECK * 2**depth:
            raise ValueError(f"size is {size}: a context encoder is of 16, 32, 64, ... px")
        self.size: int = size
        self.middle = middle
        maps = [3, *(width * min(2**i, WIDEST) for i in range(depth))]
        encoder = [
            layer
            for i in range(depth)
            for layer in (
                nn.Conv2d(maps[i], maps[i + 1], 4, 2, 1, bias=i == 0),
                nn.BatchNorm2d(maps[i + 1]) if i else nn.Identity(),
                nn.LeakyReLU(SLOPE, inplace=True),
            )
        ]
        self.encoder = nn.Sequential(*encoder)
        self.bottleneck = nn.Sequential(
            ChannelWise(maps[-1], BOTTLENECK), nn.Conv2d(maps[-1], maps[-1], 1, bias=False), nn.BatchNorm2d(maps[-1])
        )
        steps = depth - 1 if middle else depth  # half the side is one doubling less
        levels = list(reversed(maps[-steps - 1 :]))
        levels[-1] = 3
        decoder = [
            layer
            for i in range(steps)
            for layer in (
                nn.ReLU(inplace=True),
                nn.ConvTranspose2d(levels[i], levels[i + 1], 4, 2, 1, bias=i == steps - 1),
                nn.BatchNorm2d(levels[i + 1]) if i < steps - 1 else nn.Sigmoid(),
            )
        ]
        self.decoder = nn.Sequential(*decoder)
        self.apply(init or DCGAN())

    def forward(self, y: Tensor, hole: Tensor) -> Tensor:
        """``y`` [N, 3, size, size], of any colour in the hole, to x of that shape; ``hole`` [N, 1, size, size]."""
        self.check(*y.shape[2:])
        made = self.decoder(self.bottleneck(self.encoder(y)))
        if not self.middle:
            return made
        border = self.size // 4
        inside = pad(torch.ones_like(made[:, :1]), [border] * 4)
        if not self.training and (hole & (inside == 0)).any():  # a training step waits for no answer
            raise ValueError("a hole lies outside of the middle half: set middle to false, or the holes to CentreBox")
        return pad(made, [border] * 4) + y * (1 - inside)

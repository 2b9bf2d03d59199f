"""EnlightenGAN's generator (Jiang et al. 2021, "EnlightenGAN: deep light enhancement without paired supervision",
section 3.3, with the layers of its released code): a U-Net that is told where it is dark.

    x = y + attention * residual,      attention = 1 - grey(y)

The attention map, by max pooling as small as each scale, weighs the innermost features and those that the skips hand
over, and at full size the residual: what is white already stays as it is. It stands beside y in the input, too.
A scale is two 3x3 convolutions, each with LeakyReLU 0.2 and batch norm; the way down pools, the way up is bilinear.
Deviations: values are in [0, 1], where the paper's code is in [-1, 1], the map is the same; the innermost map weighs
what both convolutions made, in that code what the first did; and a norm stands before the head, there none.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d

from datamodules.functional.colour import GREY_16
from datamodules.functional.constants import constant
from lightning_modules.networks.base import Network
from lightning_modules.networks.init import DCGAN, Initialiser
from lightning_modules.networks.unet import SLOPE, Norm, norm_layer


class EnlightenUNet(Network):
    """Images [N, 3, H, W] in [0, 1] to the same in better light, which nothing bounds; sides are multiples of 2^depth.

    Args:
        depth: how often the sides are halved.
        width: feature maps of the first scale; each further one has twice as many.
        norm: "batch", "instance" or "none".
        init: how to draw the weights; N(0, 0.02) unless given.

    Raises:
        ValueError: a depth below 1; in ``forward``, sides that cannot be halved so often.
    """

    def __init__(self, depth: int = 4, width: int = 32, norm: Norm = "batch", init: Initialiser | None = None) -> None:
        super().__init__()
        if depth < 1:
            raise ValueError(f"depth is {depth}: a U-Net halves its image once or more")
        self.depth, self.multiple = depth, 2**depth
        maps = [width * 2**i for i in range(depth + 1)]
        self.down = nn.ModuleList(scale(4 if i == 0 else maps[i - 1], maps[i], norm) for i in range(depth + 1))
        self.narrow = nn.ModuleList(nn.Conv2d(maps[i + 1], maps[i], 3, padding=1) for i in reversed(range(depth)))
        self.up = nn.ModuleList(scale(2 * maps[i], maps[i], norm) for i in reversed(range(depth)))
        self.head = nn.Conv2d(width, 3, 1)
        self.apply(init or DCGAN())

    def forward(self, y: Tensor) -> Tensor:
        """``y`` [N, 3, H, W], enhanced, in full precision."""
        image, residual, attention = self.explain(y)
        return image + attention * residual

    def explain(self, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``y`` [N, 3, H, W], the residual [N, 3, H, W] and the attention map [N, 1, H, W], in full precision."""
        if any(side % self.multiple for side in y.shape[2:]):
            raise ValueError(
                f"an image of {y.shape[2]}x{y.shape[3]} cannot be halved {self.depth} times: give sides that are "
                f"multiples of {self.multiple}, or a smaller depth"
            )
        y = y.float()
        attention = darkness(y)
        maps = [attention]
        for _ in range(self.depth):
            maps.append(max_pool2d(maps[-1], 2))
        return y, self.residual(torch.cat([y, attention], dim=1), maps).float(), attention

    def residual(self, x: Tensor, attention: list[Tensor]) -> Tensor:
        """What is to be added to the image: of ``x`` [N, 4, H, W] and the ``attention`` map at every scale."""
        found = []
        for i, layers in enumerate(self.down):
            x = layers(max_pool2d(x, 2) if i else x)
            found.append(x * attention[i])
        x = found.pop()
        for narrow, layers in zip(self.narrow, self.up, strict=True):
            x = narrow(interpolate(x, scale_factor=2, mode="bilinear"))
            x = layers(torch.cat([x, found.pop()], dim=1))
        return self.head(x)


def darkness(y: Tensor) -> Tensor:
    """1 - grey(``y``), [N, 1, H, W] of [N, 3, H, W] in [0, 1]: 0 where it is white, 1 where it is black."""
    # in 1 / 2^16, so that white is 1 to the last bit
    weights = constant(GREY_16, y.device, y.dtype)[:, None, None] / 2**16
    return 1 - (y * weights).sum(1, keepdim=True)


def scale(before: int, after: int, norm: Norm) -> nn.Sequential:
    """Two convolutions, each with its activation and norm."""
    layers: list[nn.Module] = []
    for inputs in (before, after):
        layers += [nn.Conv2d(inputs, after, 3, padding=1), nn.LeakyReLU(SLOPE, inplace=True), norm_layer(norm, after)]
    return nn.Sequential(*layers)

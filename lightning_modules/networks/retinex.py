"""RetinexNet's two networks (Wei et al. 2018, "Deep Retinex decomposition for low-light enhancement", section 3, with
the layers of its released code): an image S is seen as reflectance times illumination, S = R * L, and L is to be relit.

- ``Decomposition``: S and the largest of its channels through a 9x9 convolution without activation, five of 3x3 with
  ReLU, and one more to R [3] and L [1], both by a sigmoid.
- ``Relighting``: R and L down three strided convolutions and up again by the nearest pixel, each scale added to its
  like on the way down; all scales of the way up together, brought to full size, give the new L.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, relu

from lightning_modules.networks.base import Network
from lightning_modules.networks.init import Initialiser, Xavier


class Decomposition(Network):
    """Images [N, 3, H, W] in [0, 1] to R [N, 3, H, W] and L [N, 1, H, W] in [0, 1].

    Args:
        width: feature maps.
        layers: convolutions with ReLU.
        init: how to draw the weights; Xavier's uniform unless given.

    Raises:
        ValueError: layers below 1.
    """

    def __init__(self, width: int = 64, layers: int = 5, init: Initialiser | None = None) -> None:
        super().__init__()
        if layers < 1:
            raise ValueError(f"layers is {layers}: give 1 or more convolutions with ReLU")
        inner = [part for _ in range(layers) for part in (nn.Conv2d(width, width, 3, padding=1), nn.ReLU())]
        self.layers = nn.Sequential(
            nn.Conv2d(4, width, 9, padding=4), *inner, nn.Conv2d(width, 4, 3, padding=1), nn.Sigmoid()
        )
        self.apply(init or Xavier())

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """R and L of ``image`` [N, 3, H, W], in full precision: products of two bytes' worth of levels follow."""
        found = self.layers(torch.cat([image.amax(1, keepdim=True), image], dim=1)).float()
        return found[:, :3], found[:, 3:]


class Relighting(Network):
    """R [N, 3, H, W] and L [N, 1, H, W] to another L [N, 1, H, W], which nothing bounds.

    Args:
        width: feature maps.
        init: how to draw the weights; Xavier's uniform unless given.
    """

    def __init__(self, width: int = 64, init: Initialiser | None = None) -> None:
        super().__init__()
        self.stem = nn.Conv2d(4, width, 3, padding=1)
        self.down = nn.ModuleList(nn.Conv2d(width, width, 3, 2, 1) for _ in range(3))
        self.up = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(3))
        self.fusion = nn.Conv2d(3 * width, width, 1)
        self.head = nn.Conv2d(width, 1, 3, padding=1)
        self.apply(init or Xavier())

    def forward(self, R: Tensor, L: Tensor) -> Tensor:
        """The new L of ``R`` [N, 3, H, W] and ``L`` [N, 1, H, W]: sides of any length, in full precision."""
        maps = [self.stem(torch.cat([R, L], dim=1))]
        for layer in self.down:
            maps.append(relu(layer(maps[-1])))
        x, scales = maps.pop(), []
        for layer in self.up:
            like = maps.pop()
            x = relu(layer(resized(x, like))) + like
            scales.append(x)
        whole = torch.cat([resized(scale, R) for scale in scales], dim=1)
        found: Tensor = self.head(self.fusion(whole))
        return found.float()


def resized(x: Tensor, like: Tensor) -> Tensor:
    """``x`` [N, C, h, w] as large as ``like`` [..., H, W], each pixel the nearest one."""
    return interpolate(x, size=like.shape[2:], mode="nearest-exact")

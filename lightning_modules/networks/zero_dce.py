"""Zero-DCE's network (Guo et al. 2020, "Zero-reference deep curve estimation for low-light image enhancement", sections
3.1 and 3.2): seven 3x3 convolutions of 32 maps with skips between the first and the last ones give every pixel and
channel eight numbers A in [-1, 1], and the image is brightened eight times by the curve

    x <- x + A (x - x^2)

which maps [0, 1] onto itself, never falls, and leaves black and white where they are. 79,416 parameters.
Deviation: the released code has A with the other sign, which its last layer can learn as well.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from lightning_modules.networks.base import Network
from lightning_modules.networks.init import Initialiser, Normal


class ZeroDCE(Network):
    """Images [N, 3, H, W] in [0, 1] to the same in better light.

    Args:
        width: feature maps.
        iterations: how often the curve is applied.
        init: how to draw the weights; N(0, 0.02) unless given.
    """

    def __init__(self, width: int = 32, iterations: int = 8, init: Initialiser | None = None) -> None:
        super().__init__()
        if iterations < 1:
            raise ValueError(f"iterations is {iterations}: the curve is applied once or more")
        self.iterations = iterations
        self.encoder = nn.ModuleList(nn.Conv2d(width if i else 3, width, 3, padding=1) for i in range(4))
        self.decoder = nn.ModuleList(nn.Conv2d(2 * width, width, 3, padding=1) for _ in range(2))
        self.head = nn.Conv2d(2 * width, 3 * iterations, 3, padding=1)
        self.apply(init or Normal())

    def forward(self, y: Tensor) -> Tensor:
        """``y`` [N, 3, H, W], brightened."""
        return self.explain(y)[0]

    def explain(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """``y`` [N, 3, H, W], brightened, and the maps A [N, 3 iterations, H, W] that it was brightened by."""
        maps = self.maps(y)
        x = y.float()  # eight squares in half precision would round away dark levels
        for A in maps.float().chunk(self.iterations, dim=1):
            x = x + A * (x - x.square())
        return x, maps

    def maps(self, y: Tensor) -> Tensor:
        """A of ``y`` [N, 3, H, W]: [N, 3 iterations, H, W] in [-1, 1]."""
        found = [y]
        for layer in self.encoder:
            found.append(relu(layer(found[-1])))
        x = found.pop()
        for layer in self.decoder:
            x = relu(layer(torch.cat([found.pop(), x], dim=1)))
        return self.head(torch.cat([found.pop(), x], dim=1)).tanh()

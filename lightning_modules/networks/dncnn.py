"""DnCNN (Zhang et al. 2017, "Beyond a Gaussian denoiser", section III, fig. 1): convolutions that predict the noise.

Weights are orthogonal and batch norm's eps is 1e-4 as in the authors' code (github.com/cszn/DnCNN), whose MATLAB form
draws He's instead. ``still`` departs from it: the last convolution begins at 0 and the network as the identity, which
spares a short run the time to unlearn an image of random noise.
"""

from torch import Tensor, nn

from lightning_modules.networks.base import Network
from lightning_modules.networks.init import Initialiser, Orthogonal


class DnCNN(Network):
    """y -> y - R(y), R being the noise: conv-ReLU, then conv-BN-ReLU, then conv.

    Args:
        depth: convolutions: 17 for one level of noise (DnCNN-S), 20 for many (DnCNN-B, DnCNN-3).
        width: channels between them.
        channels: of the images.
        init: how to draw the weights; orthogonal unless given.
        still: begin as the identity.
    """

    def __init__(
        self,
        depth: int = 17,
        width: int = 64,
        channels: int = 1,
        init: Initialiser | None = None,
        still: bool = False,
    ) -> None:
        super().__init__()
        if depth < 2:
            raise ValueError(f"depth is {depth}: DnCNN has a first and a last convolution, give 2 or more")
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
        for _ in range(depth - 2):
            layers.append(nn.Conv2d(width, width, 3, padding=1, bias=False))  # batch norm has one
            layers += [nn.BatchNorm2d(width, eps=1e-4), nn.ReLU(inplace=True)]
        last = nn.Conv2d(width, channels, 3, padding=1)
        self.layers = nn.Sequential(*layers, last)
        self.apply(Orthogonal() if init is None else init)
        if still:
            nn.init.zeros_(last.weight)

    def forward(self, y: Tensor) -> Tensor:
        """``y`` [N, C, H, W] in [0, 1], and beyond where noise leads, to an image of the same shape."""
        return y - self.layers(y)

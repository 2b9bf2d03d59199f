"""FSRCNN (Dong et al. 2016, "Accelerating the super-resolution convolutional neural network", section 3).

The small image itself is read, its features are shrunk, mapped and expanded again, and a transposed convolution makes
the large image: the one layer that depends on the scale.
"""

from torch import Tensor, nn

from lightning_modules.networks.base import Upscaler
from lightning_modules.networks.init import He


class FSRCNN(Upscaler):
    """y -> x for one scale: FSRCNN(d, s, m) of the paper.

    Args:
        scale: the one.
        d: channels of the first features.
        s: channels that they are shrunk to.
        m: mapping layers.
        channels: of the images.
    """

    def __init__(self, scale: int = 3, d: int = 56, s: int = 12, m: int = 4, channels: int = 1) -> None:
        super().__init__()
        self.scales = (scale,)
        layers: list[nn.Module] = [nn.Conv2d(channels, d, 5, padding=2), nn.PReLU(d), nn.Conv2d(d, s, 1), nn.PReLU(s)]
        for _ in range(m):
            layers += [nn.Conv2d(s, s, 3, padding=1), nn.PReLU(s)]
        layers += [nn.Conv2d(s, d, 1), nn.PReLU(d)]
        self.layers = nn.Sequential(*layers)
        self.enlarge = nn.ConvTranspose2d(d, channels, 9, stride=scale, padding=4, output_padding=scale - 1)
        self.layers.apply(He(slope=0.25))  # PReLU begins there
        nn.init.normal_(self.enlarge.weight, 0.0, 0.001)
        nn.init.zeros_(self.enlarge.bias)  # type: ignore[arg-type]  # there is one

    def forward(self, y: Tensor, scale: int) -> Tensor:
        """``y`` [N, C, h, w] to [N, C, h scale, w scale]."""
        return self.enlarge(self.layers(y))

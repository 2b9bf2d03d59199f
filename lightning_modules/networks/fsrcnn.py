"""FSRCNN (Dong et al. 2016, "Accelerating the super-resolution convolutional neural network", section 3).

The small image itself is read, its features are shrunk, mapped and expanded again, and a transposed convolution makes
the large image: the one layer that depends on the scale.

In training nothing is padded, and the result lacks what its border would read; elsewhere the image's border is
repeated, and the size kept. No skip leads around the network, so that a border of zeros reaches into the result: with
zeros, and on smaller patches, x3 came to 32.3 dB on Set5.

Values are read and made as differences from mid-grey: the same functions of an image, but its mean is no steep
direction of all weights, and the rate may be several times larger.
"""

from torch import Tensor, nn

from lightning_modules.networks.base import MID_GREY, Upscaler
from lightning_modules.networks.init import He

KERNEL = 9  # of the transposed convolution


class FSRCNN(Upscaler):
    """y -> x for one scale: FSRCNN(d, s, m) of the paper.

    Args:
        scale: the one, 1 to 9.
        d: channels of the first features.
        s: channels that they are shrunk to.
        m: mapping layers.
        channels: of the images.
    """

    def __init__(self, scale: int = 3, d: int = 56, s: int = 12, m: int = 4, channels: int = 1) -> None:
        super().__init__()
        self.scales = (scale,)
        before = (KERNEL - scale + 1) // 2  # pixels of the kernel cut off in front: middles stay over middles
        edge = (before + scale - 1) // scale  # small pixels at each side that a large one reads
        self.reach = 2 + m + edge
        layers: list[nn.Module] = [nn.Conv2d(channels, d, 5), nn.PReLU(d), nn.Conv2d(d, s, 1), nn.PReLU(s)]
        for _ in range(m):
            layers += [nn.Conv2d(s, s, 3), nn.PReLU(s)]
        layers += [nn.Conv2d(s, d, 1), nn.PReLU(d)]
        self.layers = nn.Sequential(*layers)
        self.enlarge = nn.ConvTranspose2d(
            d,
            channels,
            KERNEL,
            stride=scale,
            padding=before + edge * scale,
            output_padding=2 * before + scale - KERNEL,
        )
        self.layers.apply(He(slope=0.25))  # PReLU begins there
        nn.init.normal_(self.enlarge.weight, 0.0, 0.001)
        nn.init.zeros_(self.enlarge.bias)  # type: ignore[arg-type]  # there is one

    def forward(self, y: Tensor, scale: int) -> Tensor:
        """``y`` [N, C, h, w] to [N, C, h scale, w scale]; in training ``reach`` small pixels less at each side."""
        return self.enlarge(self.layers(self.bordered(y) - MID_GREY)) + MID_GREY

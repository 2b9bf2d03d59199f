"""ESPCN (Shi et al. 2016, "Real-time single image and video super-resolution", sections 2, 3.1): sub-pixel convolution.

Three convolutions at the small size, the last with scale^2 channels for each of the image's, which are then rearranged
into the large image. In training they pad nothing; elsewhere the image's border is repeated, and the size kept. Values
are read and made as differences from mid-grey, as in FSRCNN.
"""

from torch import Tensor, nn

from lightning_modules.networks.base import MID_GREY, Upscaler
from lightning_modules.networks.init import Initialiser, Xavier


class ESPCN(Upscaler):
    """y -> x for one scale.

    Args:
        scale: the one.
        kernels: sides of the three convolutions, odd.
        widths: channels after the first and the second.
        channels: of the images.
        relu: after the first two in the place of tanh, which may stay in its linear part for long.
        init: of the weights.
    """

    def __init__(
        self,
        scale: int = 3,
        kernels: tuple[int, int, int] = (5, 3, 3),
        widths: tuple[int, int] = (64, 32),
        channels: int = 1,
        relu: bool = False,
        init: Initialiser | None = None,
    ) -> None:
        super().__init__()
        self.scales, self.reach = (scale,), sum(kernel // 2 for kernel in kernels)
        ends = (channels, *widths, channels * scale**2)
        first, second, third = (
            nn.Conv2d(before, after, kernel) for before, after, kernel in zip(ends, ends[1:], kernels, strict=False)
        )
        kind = nn.ReLU if relu else nn.Tanh
        self.layers = nn.Sequential(first, kind(), second, kind(), third, nn.PixelShuffle(scale))
        self.apply(init or Xavier())

    def forward(self, y: Tensor, scale: int) -> Tensor:
        """``y`` [N, C, h, w] to [N, C, h scale, w scale]; in training ``reach`` small pixels less at each side."""
        return self.layers(self.bordered(y) - MID_GREY) + MID_GREY

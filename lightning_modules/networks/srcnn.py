"""SRCNN (Dong et al. 2014, "Learning a deep convolutional network for image super-resolution", section 3).

Three convolutions of the image that bicubic interpolation has enlarged. In training they pad nothing, so that a patch
of 33 pixels gives 21; elsewhere the image's border is repeated, and the size kept.
Deviations: weights start from He's fan-in normal, not N(0, 0.001), and enlargement keeps floats.
"""

from torch import Tensor, nn

from datamodules.functional.resize import bicubic_floats
from lightning_modules.networks.base import Upscaler
from lightning_modules.networks.init import He


class SRCNN(Upscaler):
    """y -> x for one or more scales.

    Args:
        kernels: sides of the three convolutions, odd: 9-1-5 as in the paper's experiments.
        widths: channels after the first and the second.
        channels: of the images.
        scales: those that it is trained for.
    """

    def __init__(
        self,
        kernels: tuple[int, int, int] = (9, 1, 5),
        widths: tuple[int, int] = (64, 32),
        channels: int = 1,
        scales: tuple[int, ...] = (3,),
    ) -> None:
        super().__init__()
        even = [kernel for kernel in kernels if kernel % 2 == 0]
        if even:
            raise ValueError(f"SRCNN's kernels are odd, got {even[0]}")
        self.scales, self.reach = tuple(scales), sum(kernel // 2 for kernel in kernels)
        ends = (channels, *widths, channels)
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, kernel) for before, after, kernel in zip(ends, ends[1:], kernels, strict=False)
        )
        self.apply(He())

    def forward(self, y: Tensor, scale: int) -> Tensor:
        """``y`` [N, C, h, w] to [N, C, h scale, w scale]; in training ``reach`` pixels less at each side."""
        x = self.bordered(bicubic_floats(y, scale))
        first, second, third = self.layers
        return third(second(first(x).relu()).relu())

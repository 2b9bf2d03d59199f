"""The hourglass of deep image prior (Ulyanov et al. 2018, supplementary material): thin skips over each scale.

A scale halves the image by a strided convolution, convolves, hands it to the next scale, enlarges what comes back,
joins it with a 1x1 convolution of what it was given, and convolves that. Reflection padding, LeakyReLU 0.2, a sigmoid
at the end. Batch norm is by the statistics of the batch at all times: there is one image, and it is the training set.
Deviation: sides may be odd; what comes back a pixel too large loses its last row or column.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from lightning_modules.networks.base import Network

SLOPE = 0.2
Upsampling = Literal["bilinear", "nearest"]


class Skip(Network):
    """An image or noise [N, in_channels, H, W] to an image [N, out_channels, H, W] in [0, 1].

    Args:
        in_channels: of what it is given.
        out_channels: of the image.
        channels: feature maps of each scale, from the image's own on; one entry a scale.
        skips: feature maps that go around each scale's inside; 0 for none.
        down_kernel: side of the convolutions on the way down, odd.
        up_kernel: side of the convolution on the way up, odd.
        upsampling: how a scale enlarges what comes back.
        pointwise: whether a 1x1 convolution follows each on the way up.

    Raises:
        ValueError: settings that make no network; in ``forward``, an input of other channels or too small.
    """

    def __init__(
        self,
        in_channels: int = 32,
        out_channels: int = 3,
        channels: Sequence[int] = (128,) * 5,
        skips: Sequence[int] = (4,) * 5,
        down_kernel: int = 3,
        up_kernel: int = 3,
        upsampling: Upsampling = "bilinear",
        pointwise: bool = True,
    ) -> None:
        super().__init__()
        if not channels or len(skips) != len(channels):
            raise ValueError(
                f"Skip has one number of channels and one of skips a scale, got {len(channels)} and {len(skips)}:"
                " give lists of one length"
            )
        if down_kernel % 2 == 0 or up_kernel % 2 == 0:
            raise ValueError(f"Skip's kernels have odd sides, got {down_kernel} and {up_kernel}")
        self.in_channels = in_channels
        self.smallest = (
            max(down_kernel, up_kernel, 3) // 2 + 1
        )  # of the coarsest side: a reflection needs what it mirrors
        self.depth = len(channels)
        scale: Scale | None = None
        for i in reversed(range(self.depth)):
            given = channels[i - 1] if i else in_channels
            returned = channels[i + 1] if scale is not None else channels[i]
            down = nn.Sequential(
                *block(given, channels[i], down_kernel, stride=2), *block(channels[i], channels[i], down_kernel)
            )
            up: list[nn.Module] = [nn.BatchNorm2d(returned + skips[i], track_running_stats=False)]
            up += block(returned + skips[i], channels[i], up_kernel)
            up += block(channels[i], channels[i], 1) if pointwise else []
            around = nn.Sequential(*block(given, skips[i], 1)) if skips[i] else None
            scale = Scale(down, scale, nn.Upsample(scale_factor=2, mode=upsampling), around, nn.Sequential(*up))
        assert scale is not None
        self.scale = scale
        self.head = nn.Conv2d(channels[0], out_channels, 1)

    def forward(self, z: Tensor) -> Tensor:
        """``z`` [N, in_channels, H, W] to an image [N, out_channels, H, W] in [0, 1]."""
        C, H, W = z.shape[1:]
        if self.in_channels != C:
            raise ValueError(f"Skip expects {self.in_channels} channels and is given {C}: set in_channels to {C}")
        if -(-min(H, W) // 2**self.depth) < self.smallest:
            raise ValueError(
                f"an image of {W} x {H} px is too small for a Skip of {self.depth} scales: give fewer, or an image of"
                f" more than {(self.smallest - 1) * 2**self.depth} px a side"
            )
        return torch.sigmoid(self.head(self.scale(z)))


class Scale(nn.Module):
    """One scale and all below it.

    Args:
        down: halves the sides.
        below: the next scale, None at the coarsest.
        enlarge: doubles the sides.
        around: of what is given, to be joined with what comes back; None for nothing.
        up: what follows on that.
    """

    def __init__(
        self, down: nn.Module, below: nn.Module | None, enlarge: nn.Module, around: nn.Module | None, up: nn.Module
    ) -> None:
        super().__init__()
        self.down, self.below, self.enlarge, self.around, self.up = down, below, enlarge, around, up

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [N, C, H, W] to [N, C', H, W]."""
        inside = self.down(x)
        if self.below is not None:
            inside = self.below(inside)
        inside = self.enlarge(inside)[:, :, : x.shape[2], : x.shape[3]]
        return self.up(inside if self.around is None else torch.cat([self.around(x), inside], dim=1))


def block(given: int, made: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    """Convolution, batch norm, LeakyReLU."""
    return [
        nn.Conv2d(given, made, kernel, stride, kernel // 2, padding_mode="reflect"),
        nn.BatchNorm2d(made, track_running_stats=False),
        nn.LeakyReLU(SLOPE, inplace=True),
    ]

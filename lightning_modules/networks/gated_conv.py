"""Gated convolutions and the network of them (Yu et al. 2019, "Free-form image inpainting with gated convolution").

A layer makes twice its maps: of each pair one is a gate (eq. 5),

    x' = ELU(W_f x) sigmoid(W_g x)

so that the network learns where to look, instead of being told by a rule. The generator is the paper's coarse one: two
halvings, dilated layers in the middle, nearest enlargement; ``gated_refine`` has the second one that refines its image.
Deviations: colours are in [0, 1], so the last layer ends in a sigmoid where theirs clips to [-1, 1]; weights are drawn
so that a layer keeps the variance of what it is given, which else falls to a fifth or less in each of seventeen layers.
"""

from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn.functional import elu

from lightning_modules.networks.base import Filler
from lightning_modules.networks.hole_inputs import masked_beside

DILATIONS = (2, 4, 8, 16)
FEATURES = 6.18  # variance s at which ELU(N(0, s)) sigmoid(N(0, 1)) has a mean square of 1


class GatedConv2d(nn.Module):
    """A gated convolution with zeros around it.

    Args:
        before: channels that it is given.
        after: channels that it makes.
        kernel: its odd side in px.
        stride: between two places.
        dilation: between two weights.
    """

    def __init__(self, before: int, after: int, kernel: int = 3, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        padding = dilation * (kernel // 2)
        self.convolution = nn.Conv2d(before, 2 * after, kernel, stride, padding, dilation)
        std = 1 / sqrt(before * kernel**2)
        for part, variance in zip(self.convolution.weight.data.chunk(2), (FEATURES, 1.0), strict=True):
            nn.init.normal_(part, 0.0, sqrt(variance) * std)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [N, before, H, W] to [N, after, h, w]."""
        feature, gate = self.convolution(x).chunk(2, 1)
        return elu(feature) * gate.sigmoid()


class GatedNetwork(Filler):
    """An image with holes to a whole one in [0, 1]; sides are multiples of 4.

    Args:
        channels: of what it is given beside the mask; further ones than the image's three may be noise.
        width: feature maps of the first layer, four times as many in the middle; 48, and three quarters of it in the
            published network.
        dilations: of the layers in the middle.

    Raises:
        ValueError: in ``forward``, other channels, or sides that are no multiples of 4.
    """

    multiple = 4

    def __init__(self, channels: int = 3, width: int = 36, dilations: tuple[int, ...] = DILATIONS) -> None:
        super().__init__()
        self.channels, inner = channels, 4 * width
        self.layers = nn.Sequential(
            *halving(channels + 2, width),
            *(GatedConv2d(inner, inner, dilation=dilation) for dilation in dilations),
            GatedConv2d(inner, inner),
            GatedConv2d(inner, inner),
            *enlarging(width),
        )

    def forward(self, y: Tensor, hole: Tensor) -> Tensor:
        """``y`` [N, channels, H, W] and ``hole`` [N, 1, H, W], True where it is missing, to x [N, 3, H, W].

        The image's first three channels are hidden in the hole; a plane of ones tells a layer where the edge is.
        """
        self.check(*y.shape[2:])
        if y.shape[1] != self.channels:
            raise ValueError(
                f"this GatedNetwork is given {y.shape[1]} channels and takes {self.channels}: set its channels to the "
                "image's 3 and the maps of noise beside it"
            )
        given = torch.cat([masked_beside(y[:, :3], hole), y[:, 3:], torch.ones_like(y[:, :1])], 1)
        return self.layers(given)


def halving(before: int, width: int) -> list[nn.Module]:
    """From ``before`` maps to 4 ``width`` maps of a quarter of the side."""
    return [
        GatedConv2d(before, width, 5),
        GatedConv2d(width, 2 * width, stride=2),
        GatedConv2d(2 * width, 2 * width),
        GatedConv2d(2 * width, 4 * width, stride=2),
        GatedConv2d(4 * width, 4 * width),
        GatedConv2d(4 * width, 4 * width),
    ]


def enlarging(width: int) -> list[nn.Module]:
    """From 4 ``width`` maps to an image in [0, 1] of four times the side."""
    return [
        nn.Upsample(scale_factor=2),
        GatedConv2d(4 * width, 2 * width),
        GatedConv2d(2 * width, 2 * width),
        nn.Upsample(scale_factor=2),
        GatedConv2d(2 * width, width),
        GatedConv2d(width, width // 2),
        nn.Conv2d(width // 2, 3, 3, padding=1),
        nn.Sigmoid(),
    ]

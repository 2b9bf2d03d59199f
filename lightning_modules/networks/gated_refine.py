"""Free-form inpainting in two stages (Yu et al. 2019, section 3.4): a coarse network, and one that refines its image.

The second is given the image with the coarse one's pixels in the hole, and looks at it in two ways: dilated gated
convolutions make things up, contextual attention copies what is known elsewhere. A gated decoder merges both. The
losses look at both images, D at the refined one.
Deviations: the refining network sees the hole and a plane of ones beside the image, as the coarse one does, and both
its branches have the coarse one's widths. Noise beside the image is for the coarse network.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from lightning_modules.networks.base import TwoStageFiller
from lightning_modules.networks.contextual_attention import ContextualAttention
from lightning_modules.networks.gated_conv import DILATIONS, GatedConv2d, GatedNetwork, enlarging, halving


class RefinedGatedNetwork(TwoStageFiller):
    """An image with holes to a whole one in [0, 1]; sides are multiples of 4 times the attention's rate.

    Args:
        channels: of what it is given beside the mask; further ones than the image's three may be noise.
        width: feature maps of a stage's first layer, four times as many in the middle.
        dilations: of the layers in the middle of the coarse network and of the first branch.
        rate: of how many places along each side of the maps, a quarter of the image's, attention looks at one. 2 is the
            paper's for 256 px; small images have too few places left.

    Raises:
        ValueError: in ``forward``, other channels, or other sides.
    """

    def __init__(
        self, channels: int = 3, width: int = 36, dilations: tuple[int, ...] = DILATIONS, rate: int = 2
    ) -> None:
        super().__init__()
        inner = 4 * width
        self.coarse = GatedNetwork(channels, width, dilations)
        self.multiple = self.coarse.multiple * rate
        self.made = nn.Sequential(
            *halving(5, width), *(GatedConv2d(inner, inner, dilation=dilation) for dilation in dilations)
        )
        self.compared = nn.Sequential(*halving(5, width), nn.ReLU())
        self.attention = ContextualAttention(rate=rate)
        self.copied = nn.Sequential(GatedConv2d(inner, inner), GatedConv2d(inner, inner))
        self.merged = nn.Sequential(GatedConv2d(2 * inner, inner), GatedConv2d(inner, inner), *enlarging(width))

    def stages(self, y: Tensor, hole: Tensor) -> tuple[Tensor, Tensor]:
        """``y`` [N, channels, H, W] and ``hole`` [N, 1, H, W] to the coarse and the refined x, each [N, 3, H, W]."""
        self.check(*y.shape[2:])
        coarse = self.coarse(y, hole)
        whole = torch.where(hole, coarse, y[:, :3])
        given = torch.cat([whole, hole.to(whole.dtype), torch.ones_like(whole[:, :1])], 1)
        missing = max_pool2d(hole.to(whole.dtype), self.coarse.multiple) > 0
        copied = self.copied(self.attention(self.compared(given), missing))
        return coarse, self.merged(torch.cat([self.made(given), copied], 1))

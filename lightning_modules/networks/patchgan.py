"""PatchGAN (Isola et al. 2017, section 6.1.2): a convolutional D whose every logit judges one patch of the image.

C64-C128-C256-C512, 4x4 convolutions with LeakyReLU 0.2 and a norm in all but the first, of which the last has no
stride; then one map of logits. With 1, 3 or 5 strided layers a logit sees 16, 70 or 286 pixels across, with 0 one.
Deviation: "C64-C128" of the paper's 16x16 D and "C64-C128-C256-C512-C512-C512" of its 286x286 D leave open where the
strides are; here as in its published code.
"""

import torch
from torch import Tensor, nn

from lightning_modules.networks.base import Discriminator
from lightning_modules.networks.init import DCGAN, Initialiser
from lightning_modules.networks.spectral import initialise
from lightning_modules.networks.unet import SLOPE, WIDEST, Norm, norm_layer


class PatchGAN(Discriminator):
    """Images [N, channels, H, W], beside a condition where there is one, to logits [N, h, w].

    Args:
        channels: of the images.
        condition: channels of y, which D sees beside x; 0 where it is to see x alone.
        layers: strided convolutions: 1, 3 or 5 for patches of 16, 70 or 286 px, 0 for single pixels.
        width: feature maps of the first convolution; doubled by each further one, up to eight times that.
        norm: "batch", "instance" or "none".
        spectral_norm: normalise the weights' spectra, with norm "none".
        init: how to draw the weights; N(0, 0.02) unless given.

    Raises:
        ValueError: layers below 0.
    """

    def __init__(
        self,
        channels: int = 3,
        condition: int = 3,
        layers: int = 3,
        width: int = 64,
        norm: Norm = "batch",
        spectral_norm: bool = False,
        init: Initialiser | None = None,
    ) -> None:
        super().__init__()
        if layers < 0:
            raise ValueError(f"layers is {layers}: give 0 or more strided convolutions")
        self.condition, self.layers, self.blocks_take_images = condition, layers, not condition
        maps = [width * min(2**i, WIDEST) for i in range(max(layers, 1) + 1)]
        kernel, padding = (4, 1) if layers else (1, 0)
        strides = [2] * layers + [1] if layers else [1, 1]
        blocks = [
            nn.Sequential(
                nn.Conv2d(before, after, kernel, stride, padding, bias=norm != "batch" or i == 0),
                norm_layer(norm, after) if i else nn.Identity(),
                nn.LeakyReLU(SLOPE, inplace=True),
            )
            for i, (before, after, stride) in enumerate(
                zip([channels + condition, *maps[:-1]], maps, strides, strict=True)
            )
        ]
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Conv2d(maps[-1], 1, kernel, 1, padding)
        initialise(self, init or DCGAN(), spectral_norm)

    @property
    def receptive_field(self) -> int:
        """Side in px of the patch that one logit judges."""
        if not self.layers:
            return 1
        side = 7  # two convolutions of 4 px without stride
        for _ in range(self.layers):
            side = 2 * side + 2
        return side

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """``x`` [N, channels, H, W] and ``y`` [N, condition, H, W] to logits [N, h, w]."""
        return self.verdict(self.features(x, y), y)

    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """What the last convolution judges: [N, D, h, w]."""
        if self.condition:
            if y is None:
                raise ValueError("a conditional PatchGAN needs the image that each x is made of: call it with y")
            x = torch.cat([x, y], dim=1)
        return self.blocks(x)

    def verdict(self, features: Tensor, y: Tensor | None = None) -> Tensor:
        """The logits [N, h, w] of ``features``."""
        return self.head(features)[:, 0]

"""SN-PatchGAN (Yu et al. 2019, section 3.3): every value of D's last layer is a verdict of its own.

Six 5x5 convolutions of stride 2 and of 64, 128 and four times 256 maps, with spectral norm and LeakyReLU, see the image
beside its mask; a verdict sees the whole of an image of 256 px, and each map may look for something else. Made for the
hinge loss at every position.
"""

import torch
from torch import Tensor, nn

from lightning_modules.networks.base import Discriminator
from lightning_modules.networks.init import Initialiser
from lightning_modules.networks.spectral import initialise

SLOPE = 0.2


class SNPatchGAN(Discriminator):
    """Images [N, 3, H, W], beside their mask, to logits [N, maps * h, w].

    Args:
        condition: channels of y, which D sees beside x: 1 for the mask; 0 where it is to see x alone.
        layers: strided convolutions, the one that gives the verdicts among them.
        width: feature maps of the first; doubled twice.
        spectral_norm: normalise the weights' spectra.
        init: how to draw the weights; torch's own unless given.

    Raises:
        ValueError: fewer than two layers; in ``forward``, no y where there is a condition.
    """

    def __init__(
        self,
        condition: int = 1,
        layers: int = 6,
        width: int = 64,
        spectral_norm: bool = True,
        init: Initialiser | None = None,
    ) -> None:
        super().__init__()
        if layers < 2:
            raise ValueError(f"layers is {layers}: SN-PatchGAN has two or more strided convolutions")
        self.condition, self.blocks_take_images = condition, not condition
        maps = [3 + condition, *(width * min(2**i, 4) for i in range(layers))]
        self.blocks = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(maps[i], maps[i + 1], 5, 2, 2), nn.LeakyReLU(SLOPE, inplace=True))
                for i in range(layers - 1)
            )
        )
        self.head = nn.Conv2d(maps[-2], maps[-1], 5, 2, 2)
        initialise(self, init, spectral_norm)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """``x`` [N, 3, H, W] and ``y`` [N, condition, H, W] to logits [N, maps * h, w]."""
        return self.verdict(self.features(x, y), y)

    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """What the last convolution judges: [N, C, h, w]."""
        if self.condition:
            if y is None:
                raise ValueError("SNPatchGAN judges an image beside its mask: call it with y, or set condition to 0")
            x = torch.cat([x, y.to(x.dtype)], 1)
        return self.blocks(x)

    def verdict(self, features: Tensor, y: Tensor | None = None) -> Tensor:
        """The logits [N, maps * h, w] of ``features``."""
        return self.head(features).flatten(1, 2)

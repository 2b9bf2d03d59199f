"""A generator that makes a second image under what was said of the first, and a discriminator that says it by place.

After feedback adversarial learning (Huh et al. 2019): maps made of D's spatial scores and of the previous image
modulate G's features, place by place, in the next pass. The signal may as well be a code, one vector for all places.
Deviations: the networks are DCGAN's; two passes; the modulation follows each batch norm of G, h -> (1 + a) h + b, with
a and b from two convolutions of the signal, the last of which starts at 0, so that at first both images are equal.
Each pass has batch statistics of its own: running means over both would suit neither.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d
from torch.nn.modules.batchnorm import _BatchNorm  # what one over ranks is too

from lightning_modules.networks.base import Discriminator, FeedbackGenerator
from lightning_modules.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from lightning_modules.networks.init import He, Initialiser
from lightning_modules.networks.latents import Latent
from lightning_modules.networks.spectral import initialise


class Modulation(nn.Module):
    """(1 + a) h + b after batch norm, a and b being maps of the signal.

    Args:
        maps: of h.
        signal: channels of the signal.
        hidden: channels between the two convolutions.
        kernel: side of the convolutions; 1 suffices where the signal is one vector for all places.
    """

    def __init__(self, maps: int, signal: int, hidden: int, kernel: int) -> None:
        super().__init__()
        self.normalise = nn.BatchNorm2d(maps, affine=False)
        self.read = nn.Sequential(nn.Conv2d(signal, hidden, kernel, padding=kernel // 2), nn.LeakyReLU(0.2))
        self.gate = nn.Conv2d(hidden, 2 * maps, kernel, padding=kernel // 2)
        nn.init.zeros_(self.gate.weight)
        nn.init.zeros_(cast(Tensor, self.gate.bias))

    def forward(self, h: Tensor, signal: Tensor, affine: _BatchNorm) -> Tensor:
        """``h`` [N, maps, h, w], normalised with the scale and shift of ``affine``, modulated: the same shape."""
        a, b = self.gate(self.read(adaptive_avg_pool2d(signal, (h.shape[-2], h.shape[-1])))).chunk(2, dim=1)
        h = torch.addcmul(affine.bias[:, None, None], self.normalise(h), affine.weight[:, None, None])
        return torch.addcmul(b, h, 1 + a)


class FeedbackDCGANGenerator(DCGANGenerator, FeedbackGenerator):
    """DCGAN's generator, whose features the signal modulates in the second pass.

    Args:
        size: side of the image in px: 28, or 8, 16, 32, 64, 128.
        channels: of the image.
        z_dim: length of z.
        width: feature maps at half the image's resolution.
        signal: channels of the signal: ``channels`` + 1 of an image with D's scores, 2 ``z_dim`` of a code.
        hidden: channels that each modulation reads from it.
        kernel: side of the modulations' convolutions.
        spectral_norm: normalise the spectra of the weights of the first pass.
        init: how to draw them; as DCGAN does unless given.
        latent: where z comes from; N(0, I) unless given.
    """

    def __init__(
        self,
        size: int = 64,
        channels: int = 3,
        z_dim: int = 100,
        width: int = 64,
        signal: int = 4,
        hidden: int = 16,
        kernel: int = 3,
        spectral_norm: bool = False,
        init: Initialiser | None = None,
        latent: Latent | None = None,
    ) -> None:
        super().__init__(size, channels, z_dim, width, spectral_norm, init, latent)
        self.signal = signal
        norms = [layer for layer in self.layers if isinstance(layer, _BatchNorm)]
        self.modulations = nn.ModuleList(Modulation(norm.num_features, signal, hidden, kernel) for norm in norms)

    def again(self, z: Tensor, signal: Tensor, y: Tensor | None = None) -> Tensor:
        """The second images [N, channels, size, size] of ``z`` [N, z_dim] under ``signal`` [N, C, h, w]."""
        h, modulations = z[:, :, None, None], iter(self.modulations)
        for layer in self.layers:
            h = next(modulations)(h, signal, layer) if isinstance(layer, _BatchNorm) else layer(h)
        return h


class SpatialDiscriminator(Discriminator):
    """DCGAN's discriminator up to maps of ``scores`` x ``scores``, then one logit a place.

    Args:
        size: side of the image in px: 28, or 8, 16, 32, 64, 128.
        channels: of the image.
        width: feature maps after the first convolution.
        scores: side of the map of logits: 4 (or 7 where size is 28) times a power of two, below ``size``.
        batch_norm: normalise; a gradient penalty is then no longer of single samples.
        spectral_norm: normalise the weights' spectra.
        init: how to draw the weights; as DCGAN's discriminator does unless given.
    """

    def __init__(
        self,
        size: int = 64,
        channels: int = 3,
        width: int = 64,
        scores: int = 4,
        batch_norm: bool = False,
        spectral_norm: bool = False,
        init: Initialiser | None = None,
    ) -> None:
        super().__init__()
        judge = DCGANDiscriminator(size, channels, width, batch_norm, spectral_norm, init)
        sides = [size >> (i + 1) for i in range(len(judge.blocks))]
        if scores not in sides:
            raise ValueError(f"scores of a discriminator of {size} px must be one of {sides}, got {scores}")
        depth = sides.index(scores) + 1
        self.blocks = judge.blocks[:depth]
        self.head = nn.Conv2d(width * 2 ** (depth - 1), 1, 3, padding=1)
        initialise(self.head, init or He(slope=0.2), spectral_norm)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """``x`` [N, channels, size, size] to logits [N, scores, scores]; ``y`` is not used."""
        return self.verdict(self.features(x))

    def verdict(self, features: Tensor, y: Tensor | None = None) -> Tensor:
        """The logits [N, scores, scores] of ``features``."""
        return self.head(features)[:, 0]

"""Super-resolution of the middle one of three views, two neighbours being found in it by window attention.

No paper's network: the common ground of TOFlow (Xue et al. 2019), EDVR (Wang et al. 2019) and parallax attention (Wang
et al. 2019). One encoder for all views; each side view is aligned to the centre by attention over a window, whose
scores are a correlation; validity masks say where; all is fused, and a residual trunk and a pixel shuffle give what the
bicubic image lacks. Beside the aligned features the fusion is given the side views' own samples, laid down where they
were found on the large grid (shift and add), and so is the image: attention alone blends them, and a short training
does not learn from a blend how far between two pixels a view lies.
"""

import torch
from torch import Tensor, nn

from datamodules.functional.resize import bicubic_floats
from lightning_modules.networks.base import Alignment, MultiViewUpscaler
from lightning_modules.networks.matching import (
    THRESHOLD,
    check_temperature,
    comparable,
    received_windows,
    shift_windows,
    validity,
    warp_windows,
    window_attention,
)
from lightning_modules.networks.samples import Given, refined, scattered
from lightning_modules.networks.stereo import SLOPE, SMALL, ResidualBlock, conv

TEMPERATURE = 0.02  # tells pixels apart whose features have nearly one direction


class WindowMatching(nn.Module):
    """Which offsets within ``radius`` a view's pixels look at in another view.

    Args:
        width: feature maps.
        embedding: channels that are compared, by their cosine.
        radius: farthest offset along each axis, in pixels of the small images.
        temperature: what the cosines are divided by.
        threshold: received attention above which a pixel counts as seen in both views.
    """

    def __init__(
        self, width: int, embedding: int, radius: int, temperature: float = TEMPERATURE, threshold: float = THRESHOLD
    ) -> None:
        super().__init__()
        check_temperature(temperature)
        self.radius, self.temperature, self.threshold = radius, temperature, threshold
        self.embed = conv(width, embedding, side=1)

    def forward(self, centre: Tensor, side: Tensor) -> tuple[Tensor, Tensor]:
        """Features [N, width, h, w] to the attention [N, (2 radius + 1)^2, h, w] from centre to side, and back."""
        here, there = (comparable(self.embed(features), over=[2, 3]) for features in (centre, side))
        attention = window_attention(here / self.temperature, there, self.radius)
        with torch.no_grad():
            back = window_attention(there / self.temperature, here, self.radius)
        return attention, back

    def seen(self, back: Tensor) -> Tensor:
        """Where a view is seen in the other, [N, 1, h, w], whose attention to it is ``back``."""
        return validity(received_windows(back, self.radius), self.threshold)

    def explain(self, centre: Tensor, side: Tensor, attention: Tensor, valid: Tensor) -> Alignment:
        """The attention as an alignment of the images ``centre`` and ``side`` [N, C, h, w]."""
        warped = warp_windows(attention, side, self.radius)
        return Alignment(centre, warped, valid, attention, shift_windows(attention.detach(), self.radius))


class ThreeViewNetwork(MultiViewUpscaler):
    """(centre, previous, next) -> centre, ``scale`` times as large.

    Args:
        scale: the one that it knows.
        channels: of the images.
        width: feature maps.
        encoder_blocks: residual blocks that each view goes through.
        embedding: channels that are compared to match views.
        radius: farthest motion that can be followed, in pixels of the small images.
        blocks: residual blocks after the fusion.
        temperature: see ``WindowMatching``.
        threshold: see ``WindowMatching``.
    """

    views = 3

    def __init__(
        self,
        scale: int = 4,
        channels: int = 3,
        width: int = 64,
        encoder_blocks: int = 3,
        embedding: int = 16,
        radius: int = 3,
        blocks: int = 8,
        temperature: float = TEMPERATURE,
        threshold: float = THRESHOLD,
    ) -> None:
        super().__init__()
        self.scales = (scale,)
        self.features = nn.Sequential(
            conv(channels, width), nn.LeakyReLU(SLOPE), *(ResidualBlock(width) for _ in range(encoder_blocks))
        )
        self.matching = WindowMatching(width, embedding, radius, temperature, threshold)
        sides = self.views - 1
        self.fuse = conv(self.views * width + sides * (1 + (channels + 1) * scale**2), width, side=1)
        self.given = Given(sides, channels, scale)
        self.upscale = nn.Sequential(
            *(ResidualBlock(width) for _ in range(blocks)),
            last := conv(width, channels * scale**2),
            nn.PixelShuffle(scale),
        )
        nn.init.xavier_normal_(last.weight, SMALL)

    def explain(self, y: Tensor, scale: int) -> tuple[Tensor, list[Alignment]]:
        """The centre of ``y`` [N, 3, C, h, w] enlarged, and how it was found in the previous and the next view."""
        self.check(y, scale)
        centre, *sides = self.features(y.flatten(0, 1)).unflatten(0, y.shape[:2]).unbind(1)
        parts, laid, alignments = [centre], [], []
        for i, side in enumerate(sides, start=1):
            attention, back = self.matching(centre, side)
            valid = self.matching.seen(back)
            shift = refined(y[:, 0], y[:, i], shift_windows(back, self.matching.radius), in_rows=False)
            parts += [warp_windows(attention, side, self.matching.radius), valid]
            laid.append(scattered(y[:, 0], y[:, i], shift, self.matching.seen(attention), scale))
            alignments.append(self.matching.explain(y[:, 0], y[:, i], attention, valid))
        image = self.upscale(self.fuse(torch.cat(parts + laid, dim=1)))
        return image + bicubic_floats(y[:, 0], scale) + self.given(laid), alignments

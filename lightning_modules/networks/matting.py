"""Networks that find the alpha of a picture [N, 4, H, W], its trimap beside it as 0, 128 / 255 and 1.

``DeepImageMatting`` is Xu et al. 2017 ("Deep image matting", sections 4.1 and 4.2): VGG16's convolutions and one of
7 px lead down, with the places of the maxima the way leads up again by unpooling, and four convolutions refine what
comes of it. It is trained in three stages: without the refinement, the refinement alone, both.
``AlphaGANMatting`` is the G of Lutz et al. 2018 ("AlphaGAN", section 3.1): a ResNet whose last blocks are dilated,
pyramid pooling by dilated convolutions, and a way up with skips.
Deviations: group norm in both, which needs no large batches, where the one has none and the other batch norm; weights
begin at random, not ImageNet's.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_unpool2d, relu

from lightning_modules.networks.base import Network
from lightning_modules.networks.init import He, Initialiser

VGG16 = ((2, 1), (2, 2), (3, 4), (3, 8), (3, 8))  # convolutions of a stage, and how many times its width
RATES = (6, 12, 18)  # of the pyramid's dilated convolutions
REFINING = 64  # maps of the refinement


def norm(channels: int) -> nn.GroupNorm:
    """Group norm with 32 groups, fewer where a group had less than 4 maps."""
    return nn.GroupNorm(max(1, min(32, channels // 4)), channels)


def convolved(before: int, after: int, kernel: int, stride: int = 1, dilation: int = 1) -> list[nn.Module]:
    """A convolution that keeps the size but for its stride, norm and ReLU."""
    padding = dilation * (kernel // 2)
    conv = nn.Conv2d(before, after, kernel, stride, padding, dilation, bias=False)
    return [conv, norm(after), nn.ReLU(inplace=True)]


class DeepImageMatting(Network):
    """y -> alpha [N, 1, H, W], not limited to [0, 1]; sides are multiples of 32.

    Args:
        stage: of the training: 1 is without refinement; in 2 it alone learns, in 3 all.
        width: maps of the first convolution.
        bottleneck: maps of the innermost one.
        kernel: its side.
        init: of the convolutions' weights; He's unless given.
    """

    multiple = 32

    def __init__(
        self,
        stage: Literal[1, 2, 3] = 3,
        width: int = 64,
        bottleneck: int = 4096,
        kernel: int = 7,
        init: Initialiser | None = None,
    ) -> None:
        super().__init__()
        self.stage = stage
        maps = [4, *(width * times for _, times in VGG16)]
        self.down = nn.ModuleList(
            nn.Sequential(*(layer for i in range(count) for layer in convolved(after if i else before, after, 3)))
            for (count, _), before, after in zip(VGG16, maps, maps[1:], strict=False)
        )
        self.pool = nn.MaxPool2d(2, return_indices=True)
        self.middle = nn.Sequential(*convolved(maps[-1], bottleneck, kernel), *convolved(bottleneck, maps[-1], 1))
        ends = [*maps[:0:-1], width]
        self.up = nn.ModuleList(nn.Sequential(*convolved(before, after, 5)) for before, after in pairwise(ends))
        self.alpha = nn.Conv2d(width, 1, 5, 1, 2)
        self.refinement = Refinement() if stage > 1 else None
        self.apply(init or He())
        if self.refinement is not None:
            nn.init.normal_(self.refinement.last.weight, 0.0, 1e-3)  # it begins as hardly a change
        if stage == 2:
            for part in (self.down, self.middle, self.up, self.alpha):
                part.requires_grad_(False)

    def forward(self, y: Tensor) -> Tensor:
        """``y`` [N, 4, H, W] to alpha [N, 1, H, W]."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.stage != 2):
            alpha = self.found(y)
        return alpha if self.refinement is None else self.refinement(y[:, :3], alpha)

    def found(self, y: Tensor) -> Tensor:
        """What the way down and up finds, before it is refined."""
        x, places = y, []
        for stage in self.down:
            x, place = self.pool(stage(x))
            places.append(place)
        x = self.middle(x)
        for stage in self.up:
            x = stage(max_unpool2d(x, places.pop(), (2, 2)))
        return self.alpha(x)


class Refinement(nn.Module):
    """Four convolutions over picture and alpha, whose result is added to alpha (section 4.2)."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before in (4, REFINING, REFINING):
            layers += [nn.Conv2d(before, REFINING, 3, 1, 1), nn.ReLU(inplace=True)]
        self.layers, self.last = nn.Sequential(*layers), nn.Conv2d(REFINING, 1, 3, 1, 1)

    def forward(self, picture: Tensor, alpha: Tensor) -> Tensor:
        """``picture`` [N, 3, H, W] and ``alpha`` [N, 1, H, W] to alpha."""
        return alpha + self.last(self.layers(torch.cat([picture, alpha], dim=1)))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions beside a skip (He et al. 2016, figure 5).

    Args:
        before: maps that it is given.
        width: of the inner ones; it gives four times as many.
        stride: of the 3x3 convolution.
        dilation: of it.
    """

    def __init__(self, before: int, width: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        inner = [*convolved(before, width, 1), *convolved(width, width, 3, stride, dilation)]
        self.residual = nn.Sequential(*inner, nn.Conv2d(width, 4 * width, 1, bias=False), norm(4 * width))
        changed = stride > 1 or before != 4 * width
        self.skip = nn.Sequential(*convolved(before, 4 * width, 1, stride)[:2]) if changed else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [N, before, H, W] to [N, 4 width, H / stride, W / stride]."""
        return relu(self.residual(x) + self.skip(x))


class PyramidPooling(nn.Module):
    """Convolutions of several dilations and the mean of each map, side by side and mixed (Chen et al. 2017, 3.3).

    Args:
        before: maps that it is given.
        after: of each convolution, and of the mix.
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.near = nn.Sequential(*convolved(before, after, 1))
        self.far = nn.ModuleList(nn.Sequential(*convolved(before, after, 3, dilation=rate)) for rate in RATES)
        self.mean = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(before, after, 1), nn.ReLU(inplace=True))
        self.mix = nn.Sequential(*convolved((2 + len(RATES)) * after, after, 1))

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [N, before, H, W] to [N, after, H, W]."""
        found = [self.near(x), *(conv(x) for conv in self.far), self.mean(x).expand(-1, -1, *x.shape[2:])]
        return self.mix(torch.cat(found, dim=1))


class AlphaGANMatting(Network):
    """y -> alpha [N, 1, H, W] in [0, 1]; sides are multiples of 16.

    Args:
        width: maps of the first convolution.
        blocks: of each of the four stages; ResNet50's unless given.
        skipped: maps that each skip is reduced to.
        init: of the convolutions' weights; He's unless given.
    """

    multiple = 16

    def __init__(
        self,
        width: int = 64,
        blocks: Sequence[int] = (3, 4, 6, 3),
        skipped: int = 48,
        init: Initialiser | None = None,
    ) -> None:
        super().__init__()
        if len(blocks) != 4 or min(blocks) < 1:
            raise ValueError(f"blocks is {list(blocks)}: a ResNet has four stages of 1 block or more")
        self.stem = nn.Sequential(*convolved(4, width, 7, 2))
        self.pool = nn.MaxPool2d(2, return_indices=True)
        self.stages = nn.ModuleList()
        before = width
        for i, (count, stride, dilation) in enumerate(zip(blocks, (1, 2, 2, 1), (1, 1, 1, 2), strict=True)):
            inner = width * 2**i
            ends = [before] + [4 * inner] * (count - 1)
            steps = [stride] + [1] * (count - 1)
            self.stages.append(
                nn.Sequential(*(Bottleneck(c, inner, s, dilation) for c, s in zip(ends, steps, strict=True)))
            )
            before = 4 * inner
        wide = 4 * width
        self.pyramid = PyramidPooling(before, wide)
        self.skips = nn.ModuleList(nn.Sequential(*convolved(wide * 2**i, skipped, 1)) for i in (1, 0))
        self.up = nn.ModuleList(
            [
                nn.Sequential(*convolved(wide + skipped, wide, 3)),
                nn.Sequential(*convolved(wide + skipped, wide, 3), *convolved(wide, width, 3)),
                nn.Sequential(*convolved(2 * width, width, 3)),
            ]
        )
        self.last = nn.Sequential(*convolved(width + 3, width // 2, 3), nn.Conv2d(width // 2, 1, 3, 1, 1))
        self.apply(init or He())

    def forward(self, y: Tensor) -> Tensor:
        """``y`` [N, 4, H, W] to alpha [N, 1, H, W]."""
        stem = self.stem(y)
        pooled, places = self.pool(stem)
        quarter = self.stages[0](pooled)
        eighth = self.stages[1](quarter)
        x = self.pyramid(self.stages[3](self.stages[2](eighth)))
        for up, skip, of in zip(self.up, self.skips, (eighth, quarter), strict=False):
            x = up(torch.cat([doubled(x), skip(of)], dim=1))
        x = self.up[2](torch.cat([max_unpool2d(x, places, (2, 2)), stem], dim=1))
        return self.last(torch.cat([doubled(x), y[:, :3]], dim=1)).sigmoid()


def doubled(x: Tensor) -> Tensor:
    """``x`` [N, C, H, W] at twice the sides, bilinearly."""
    return interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


class TrimapMean(Network):
    """Alpha half-way wherever it is unknown: what the trimap itself says, the floor to stand on. No parameters."""

    def forward(self, y: Tensor) -> Tensor:
        """``y`` [N, 4, H, W] to alpha [N, 1, H, W]."""
        return y[:, 3:]

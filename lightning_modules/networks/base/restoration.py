"""Networks that make images of images: larger ones, of one view or of several, and such as have no holes."""

from abc import abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from lightning_modules.networks.base.network import Network

MID_GREY = 0.5  # what networks without a skip subtract, lest the mean of images be one steep direction of all weights


class Upscaler(Network):
    """y, scale -> x: a small image [N, C, h, w] in [0, 1] to one ``scale`` times as large.

    Attributes:
        scales: those that it knows; None is any.
        reach: how far around itself a pixel of the result reads, where the convolutions pad nothing.
    """

    scales: tuple[int, ...] | None = None
    reach: int = 0

    @abstractmethod
    def forward(self, y: Tensor, scale: int) -> Tensor:
        """Map ``y`` [N, C, h, w] to [N, C, h scale, w scale]."""

    def bordered(self, x: Tensor) -> Tensor:
        """``x`` [N, C, H, W] with its border repeated ``reach`` times, so that convolutions which pad nothing keep its
        size; in training as it is, so that a patch teaches nothing made up, and the result is smaller."""
        return x if self.training else pad(x, (self.reach,) * 4, mode="replicate")


class Alignment(NamedTuple):
    """How a network finds one view, at the small size, in another."""

    target: Tensor  # [N, C, h, w], the view from whose pixels it looks
    warped: Tensor  # [N, C, h, w], the other view as it is found there
    valid: Tensor  # [N, 1, h, w], 1 where the other view shows it too, else 0
    attention: Tensor  # sums to 1: along rows [N, h, w, w] over the last axis, in windows [N, K, h, w] over offsets
    shift: Tensor  # [N, 2, h, w], mean step to where it looks: rows, columns


class MultiViewUpscaler(Network):
    """y, scale -> x: small views of a scene, [N, V, C, h, w] in [0, 1], to the first of them ``scale`` times as large.

    Attributes:
        views: V, the reference first.
        scales: those that it knows; None is any.
    """

    views: int
    scales: tuple[int, ...] | None = None

    @abstractmethod
    def explain(self, y: Tensor, scale: int) -> tuple[Tensor, list[Alignment]]:
        """The image [N, C, h scale, w scale] of ``y`` [N, V, C, h, w], and where the side views were found."""

    def forward(self, y: Tensor, scale: int) -> Tensor:
        """Map ``y`` [N, V, C, h, w] to [N, C, h scale, w scale]."""
        return self.explain(y, scale)[0]

    def check(self, y: Tensor, scale: int) -> None:
        """Raise ValueError where ``y`` does not hold the views, or ``scale`` is another than the network's."""
        if y.ndim != 5 or y.shape[1] != self.views:
            raise ValueError(
                f"{type(self).__name__} takes {self.views} views [N, {self.views}, C, h, w], got {list(y.shape)}: "
                "choose a data module with as many"
            )
        if self.scales is not None and scale not in self.scales:
            raise ValueError(f"{type(self).__name__} knows the scale {self.scales[0]}, asked for {scale}")


class StereoUpscaler(MultiViewUpscaler):
    """Of two rectified views, matched along rows: it explains from left to right and from right to left, in turn."""

    views = 2


class Filler(Network):
    """y, hole -> x: an image [N, 3, H, W] in [0, 1] with pixels that are missing to a whole one of the same size.

    Attributes:
        size: side of its images in px, where it knows one alone.
    """

    size: int | None = None

    @abstractmethod
    def forward(self, y: Tensor, hole: Tensor) -> Tensor:
        """Map ``y`` [N, 3 or more, H, W], whose ``hole`` (bool [N, 1, H, W]) is True where it is missing, to x."""

    def check(self, H: int, W: int) -> None:
        """Raise ValueError where images of ``H`` x ``W`` px are none for this network."""
        if self.size is not None and (self.size, self.size) != (H, W):
            raise ValueError(
                f"this {type(self).__name__} fills images of {self.size} x {self.size} px, not of {H} x {W}: set the "
                "network's size, or data.init_args.patch and side"
            )
        if H % self.multiple or W % self.multiple:
            raise ValueError(
                f"{type(self).__name__} fills images whose sides are multiples of {self.multiple}, not of {H} x {W}: "
                "set data.init_args.patch and side, or a smaller depth of the network"
            )


class TwoStageFiller(Filler):
    """A filler whose first stage makes a coarse image and whose second refines it; losses look at both."""

    @abstractmethod
    def stages(self, y: Tensor, hole: Tensor) -> tuple[Tensor, Tensor]:
        """The coarse and the refined image, each as ``forward`` gives the refined one."""

    def forward(self, y: Tensor, hole: Tensor) -> Tensor:
        """Map ``y`` [N, 3 or more, H, W] and its ``hole`` [N, 1, H, W] to the refined x."""
        return self.stages(y, hole)[1]


def planes_beside(y: Tensor, z: Tensor) -> Tensor:
    """``y`` [N, C, H, W] with each number of ``z`` [N, d] beside it as a plane: [N, C + d, H, W].

    "Add to input" of BicycleGAN (Zhu et al. 2017, section 4).
    """
    return torch.cat([y, z.to(y.dtype)[:, :, None, None].expand(-1, -1, *y.shape[2:])], 1)

"""Augmentations of a whole batch on its device, every image with parameters of its own.

They draw from the global random stream of the batch's device, which the datamodule seeds for each batch.
Where an image leaves its frame, ``fill`` comes in: -1, black in the generative value range [-1, 1], unless
said otherwise. (torchvision's transforms.v2 draw one set of parameters for all images of a batch.)
"""

import math
from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Augmentation(nn.Module, ABC):
    """x float32 [N, C, H, W] to the same shape and type. Derive from it to add one."""

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Augment the batch ``x`` [N, C, H, W]."""


class HorizontalFlip(Augmentation):
    """Mirror each image left to right with probability ``p``."""

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"HorizontalFlip's p is {p}: give a probability from 0 to 1.")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Mirror some of ``x`` [N, C, H, W]."""
        chosen = torch.rand(len(x), 1, 1, 1, device=x.device) < self.p
        return torch.where(chosen, x.flip(-1), x)


class Shift(Augmentation):
    """Move each image by whole pixels, up to ``pixels`` along either axis: no pixel is interpolated."""

    def __init__(self, pixels: int = 2, fill: float = -1.0) -> None:
        super().__init__()
        if pixels < 0:
            raise ValueError(f"Shift's pixels is {pixels}: give 0 or more.")
        self.pixels = pixels
        self.fill = fill

    def forward(self, x: Tensor) -> Tensor:
        """Shift ``x`` [N, C, H, W]."""
        n, _, height, width = x.shape
        padded = F.pad(x, [self.pixels] * 4, value=self.fill)
        offsets = torch.randint(2 * self.pixels + 1, (2, n, 1), device=x.device)
        rows = offsets[0] + torch.arange(height, device=x.device)  # [N, H]
        columns = offsets[1] + torch.arange(width, device=x.device)  # [N, W]
        image = torch.arange(n, device=x.device).view(n, 1, 1)
        # indices either side of a slice put their own axes first: [N, H, W, C]
        return padded[image, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()


class Affine(Augmentation):
    """Turn, scale and move each image, bilinearly.

    Args:
        degrees: turns by an angle uniform in [-degrees, degrees].
        scale: enlarges by a factor uniform in this interval.
        translate: moves along each axis by a share of that side uniform in [-translate, translate].
        fill: the value outside the frame.
    """

    def __init__(
        self,
        degrees: float = 10.0,
        scale: tuple[float, float] = (0.9, 1.1),
        translate: float = 0.0,
        fill: float = -1.0,
    ) -> None:
        super().__init__()
        if not 0 < scale[0] <= scale[1]:
            raise ValueError(f"Affine's scale is {scale}: give two factors above 0, the smaller one first.")
        if degrees < 0 or translate < 0:
            raise ValueError(f"Affine's degrees and translate are {degrees} and {translate}: give 0 or more.")
        self.degrees = degrees
        self.scale = scale
        self.translate = translate
        self.fill = fill

    def forward(self, x: Tensor) -> Tensor:
        """Transform ``x`` [N, C, H, W]."""
        angle, size, right, down = torch.rand(4, len(x), device=x.device)
        low, high = self.scale
        return warp(
            x,
            angle=(2 * angle - 1) * math.radians(self.degrees),
            scale=low + (high - low) * size,
            shift=(2 * torch.stack([right, down], dim=1) - 1) * self.translate,
            fill=self.fill,
        )


def warp(x: Tensor, angle: Tensor, scale: Tensor, shift: Tensor, fill: float) -> Tensor:
    """Turn ``x`` [N, C, H, W] counter-clockwise about its centre, enlarge it, then move it; bilinear.

    Args:
        angle: radians, [N].
        scale: factors, [N].
        shift: shares of width and height to the right and down, [N, 2].
        fill: the value outside the frame.
    """
    height, width = x.shape[-2:]
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    # affine_grid wants the way back, from output to input, with each side spanning [-1, 1]
    turn = torch.stack([cos, -sin * height / width, sin * width / height, cos], dim=1).view(-1, 2, 2)
    move = -turn @ (2 * shift).unsqueeze(2)
    grid = F.affine_grid(torch.cat([turn, move], dim=2), list(x.shape), align_corners=False)
    return F.grid_sample(x - fill, grid, align_corners=False) + fill

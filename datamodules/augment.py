"""Augmentations of a whole batch on its device, every image with parameters of its own.

They draw from the global random stream of the batch's device, which the datamodule seeds for each batch.
Where an image leaves its frame, ``fill`` comes in: -1, black in the generative value range [-1, 1], unless
said otherwise. (torchvision's transforms.v2 draw one set of parameters for all images of a batch.)
"""

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Augmentation(nn.Module, ABC):
    """x float32 [N, C, H, W] to the same shape and type. Derive from it to add one."""

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Augment the batch ``x`` [N, C, H, W]."""


class _Flip(Augmentation):
    """Mirror each image along ``axis`` with probability ``p``."""

    axis: ClassVar[int]

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        require_probability(self, p)
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Mirror some of ``x`` [N, C, H, W]."""
        return torch.where(chosen(x, self.p), x.flip(self.axis), x)


class HorizontalFlip(_Flip):
    """Mirror each image left to right with probability ``p``."""

    axis = -1


class VerticalFlip(_Flip):
    """Mirror each image top to bottom with probability ``p``."""

    axis = -2


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
        return random_window(F.pad(x, [self.pixels] * 4, value=self.fill), self.pixels)


class RandomCrop(Augmentation):
    """Pad each image on every side, then cut its own size out of it at a random place: the CIFAR recipe.

    He et al. 2016 pad by 4 with zeros, after subtracting the mean image.

    Args:
        padding: pixels on every side.
        reflect: pad with the image mirrored at its border, the border itself not repeated, instead of ``fill``.
        fill: the value outside the frame.
    """

    def __init__(self, padding: int = 4, reflect: bool = False, fill: float = -1.0) -> None:
        super().__init__()
        if padding < 0:
            raise ValueError(f"RandomCrop's padding is {padding}: give 0 or more.")
        self.padding = padding
        self.reflect = reflect
        self.fill = fill

    def forward(self, x: Tensor) -> Tensor:
        """Crop from ``x`` [N, C, H, W] padded. Raises ValueError where there is too little to mirror."""
        if not self.reflect:
            return random_window(F.pad(x, [self.padding] * 4, value=self.fill), self.padding)
        if self.padding >= min(x.shape[-2:]):
            raise ValueError(
                f"RandomCrop's padding is {self.padding} and the image {x.shape[-1]} wide, {x.shape[-2]} high:"
                " to reflect, give a padding smaller than both."
            )
        return random_window(F.pad(x, [self.padding] * 4, mode="reflect"), self.padding)


def random_window(padded: Tensor, padding: int) -> Tensor:
    """Cut from ``padded`` [N, C, H + 2 padding, W + 2 padding] windows [N, C, H, W], each at a place of its own."""
    n, _, height, width = padded.shape
    device = padded.device
    offsets = torch.randint(2 * padding + 1, (2, n, 1), device=device)
    rows = offsets[0] + torch.arange(height - 2 * padding, device=device)  # [N, H]
    columns = offsets[1] + torch.arange(width - 2 * padding, device=device)  # [N, W]
    image = torch.arange(n, device=device).view(n, 1, 1)
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


class Rotation(Affine):
    """Turn each image bilinearly by an angle uniform in [-degrees, degrees]; ``fill`` outside the frame."""

    def __init__(self, degrees: float = 10.0, fill: float = -1.0) -> None:
        super().__init__(degrees, scale=(1.0, 1.0), fill=fill)


class Perspective(Augmentation):
    """See some of the images from aslant: their corners move inwards, each on its own; bilinear.

    torchvision's RandomPerspective, with corners at any place, not at whole pixels alone.

    Args:
        distortion: the corners move along either axis by a share of half the side uniform in [0, distortion].
            From 2/3 on an image could be folded over.
        p: the probability that an image is changed.
        fill: the value outside the frame.
    """

    def __init__(self, distortion: float = 0.5, p: float = 0.5, fill: float = -1.0) -> None:
        super().__init__()
        require_probability(self, p)
        if not 0 <= distortion < 2 / 3:
            raise ValueError(f"Perspective's distortion is {distortion}: give 0 or more, below 2/3.")
        self.distortion = distortion
        self.p = p
        self.fill = fill

    def forward(self, x: Tensor) -> Tensor:
        """Transform some of ``x`` [N, C, H, W]."""
        inwards = self.distortion * torch.rand(len(x), 4, 2, device=x.device)
        corners = frame_corners(x.device) * (1 - inwards)
        return torch.where(chosen(x, self.p), move_corners(x, corners, self.fill), x)


def frame_corners(device: torch.device) -> Tensor:
    """(x, y) of a frame's corners, each side spanning [-1, 1]: upper left, upper right, lower left, lower right."""
    ends = torch.arange(-1.0, 2.0, 2.0, device=device)
    return torch.cartesian_prod(ends, ends).flip(1)


def move_corners(x: Tensor, corners: Tensor, fill: float) -> Tensor:
    """Warp ``x`` [N, C, H, W] so that its corners come to lie at ``corners``; bilinear, ``fill`` outside.

    Args:
        corners: (x, y) in the order and the units of ``frame_corners``, [N, 4, 2].
    """
    n, _, height, width = x.shape
    way_back = _homography(corners, frame_corners(x.device).expand(n, 4, 2))
    u = (torch.arange(width, device=x.device) * 2 + 1) / width - 1  # the pixels' centres
    v = (torch.arange(height, device=x.device) * 2 + 1) / height - 1
    place = torch.stack([u.expand(height, width), v[:, None].expand(height, width), torch.ones_like(x[0, 0])], dim=-1)
    seen = place.view(1, -1, 3) @ way_back.transpose(1, 2)
    # outside the frame a division by nearly 0 may go to infinity: 3 is outside, too
    grid = (seen[..., :2] / seen[..., 2:]).clamp(-3, 3).view(n, height, width, 2)
    return _sample(x, grid, fill)


def _homography(start: Tensor, end: Tensor) -> Tensor:
    """The [N, 3, 3] that maps four points ``start`` to four points ``end``, [N, 4, 2] each, last entry 1."""
    one, zero = torch.ones_like(start[..., :1]), torch.zeros_like(start)
    u, v = end[..., :1], end[..., 1:]
    of_u = torch.cat([start, one, zero, zero[..., :1], -u * start], dim=2)
    of_v = torch.cat([zero, zero[..., :1], start, one, -v * start], dim=2)
    # unlike solve, solve_ex does not wait for the device
    solution = torch.linalg.solve_ex(torch.cat([of_u, of_v], dim=1), torch.cat([u, v], dim=1)).result.squeeze(2)
    return torch.cat([solution, torch.ones_like(solution[:, :1])], dim=1).view(-1, 3, 3)


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
    return _sample(x, grid, fill)


def chosen(x: Tensor, p: float) -> Tensor:
    """Which images of ``x`` [N, C, H, W] an augmentation of probability ``p`` changes: bool [N, 1, 1, 1]."""
    return torch.rand(len(x), 1, 1, 1, device=x.device) < p


def require_probability(augmentation: Augmentation, p: float) -> None:
    """Raise ValueError where ``p`` is no probability."""
    if not 0 <= p <= 1:
        raise ValueError(f"{type(augmentation).__name__}'s p is {p}: give a probability from 0 to 1.")


def _sample(x: Tensor, grid: Tensor, fill: float) -> Tensor:
    return F.grid_sample(x - fill, grid, align_corners=False) + fill

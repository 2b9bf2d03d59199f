"""Augmentations by a random box in each image: a crop shown at full size, a patch erased."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from datamodules.augment import Augmentation, chosen, require_probability

ATTEMPTS = 10  # torchvision's


class Boxes(NamedTuple):
    """A box in each image, in whole pixels: int64 [N] each."""

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor


class RandomResizedCrop(Augmentation):
    """Show a random part of each image at the image's own size, bilinearly (Szegedy et al. 2015).

    As torchvision's: the box of the first of ten draws that fits, else the largest one in the middle that keeps
    ``ratio``. Since no box is larger than the image, there is nothing to antialias.

    Args:
        scale: the box's share of the image's area, uniform in this interval.
        ratio: the box's width by its height, log-uniform in this interval.
    """

    def __init__(self, scale: tuple[float, float] = (0.08, 1.0), ratio: tuple[float, float] = (3 / 4, 4 / 3)) -> None:
        super().__init__()
        _require_intervals(self, scale, ratio)
        self.scale = scale
        self.ratio = ratio

    def forward(self, x: Tensor) -> Tensor:
        """Crop and enlarge ``x`` [N, C, H, W]."""
        boxes, fit = draw_boxes(x, self.scale, self.ratio)
        middle = _largest_in_the_middle(x, self.ratio)
        chosen_or_middle = (torch.where(fit, drawn, other) for drawn, other in zip(boxes, middle, strict=True))
        return show_boxes(x, Boxes(*chosen_or_middle))


class RandomErasing(Augmentation):
    """Overwrite a random box of some of the images (Zhong et al. 2020, "Random erasing data augmentation").

    As in torchvision the box's aspect is log-uniform, where the paper's is uniform, and an image in which none
    of ten drawn boxes fits stays whole, where the paper draws on.

    Args:
        p: the probability that an image is changed.
        scale: the box's share of the image's area, uniform in this interval.
        ratio: the box's width by its height, log-uniform in this interval.
        fill: every value of the box is uniform in this interval, noise that is the paper's best; give equal
            ends for one colour.
    """

    def __init__(
        self,
        p: float = 0.5,
        scale: tuple[float, float] = (0.02, 0.4),
        ratio: tuple[float, float] = (0.3, 1 / 0.3),
        fill: tuple[float, float] = (-1.0, 1.0),
    ) -> None:
        super().__init__()
        require_probability(self, p)
        _require_intervals(self, scale, ratio)
        if fill[0] > fill[1]:
            raise ValueError(f"RandomErasing's fill is {fill}: give two values, the smaller one first.")
        self.p = p
        self.scale = scale
        self.ratio = ratio
        self.fill = fill

    def forward(self, x: Tensor) -> Tensor:
        """Erase a box of some of ``x`` [N, C, H, W]."""
        boxes, fit = draw_boxes(x, self.scale, self.ratio)
        erased = inside(x, boxes) & fit.view(-1, 1, 1, 1) & chosen(x, self.p)
        low, high = self.fill
        return torch.where(erased, low + (high - low) * torch.rand_like(x), x)


def draw_boxes(x: Tensor, scale: tuple[float, float], ratio: tuple[float, float]) -> tuple[Boxes, Tensor]:
    """A random box in each image of ``x`` [N, C, H, W], and whether it fits into the image: bool [N]."""
    height, width = x.shape[-2:]
    area, aspect = torch.rand(2, ATTEMPTS, len(x), device=x.device)
    area = height * width * (scale[0] + (scale[1] - scale[0]) * area)
    aspect = torch.exp(math.log(ratio[0]) + math.log(ratio[1] / ratio[0]) * aspect)
    heights, widths = (area / aspect).sqrt().round().long(), (area * aspect).sqrt().round().long()
    fits = (heights > 0) & (heights <= height) & (widths > 0) & (widths <= width)
    first = fits.int().argmax(0, keepdim=True)
    h, w = heights.gather(0, first)[0], widths.gather(0, first)[0]
    down, right = torch.rand(2, len(x), device=x.device)
    # a product may round up to one place too far
    top = torch.minimum((down * (height - h + 1)).long(), height - h)
    left = torch.minimum((right * (width - w + 1)).long(), width - w)
    return Boxes(top, left, h, w), fits.any(0)


def inside(x: Tensor, boxes: Boxes) -> Tensor:
    """Which pixels of ``x`` [N, C, H, W] lie in their image's box: bool [N, 1, H, W]."""
    rows = torch.arange(x.shape[2], device=x.device)
    columns = torch.arange(x.shape[3], device=x.device)
    vertical = (rows >= boxes.top[:, None]) & (rows < (boxes.top + boxes.height)[:, None])
    horizontal = (columns >= boxes.left[:, None]) & (columns < (boxes.left + boxes.width)[:, None])
    return (vertical[:, :, None] & horizontal[:, None, :]).unsqueeze(1)


def show_boxes(x: Tensor, boxes: Boxes) -> Tensor:
    """Enlarge each image's box to the size of ``x`` [N, C, H, W], bilinearly, by nothing from outside the box."""
    rows = _places(boxes.top, boxes.height, x.shape[2])
    columns = _places(boxes.left, boxes.width, x.shape[3])
    grid = torch.stack(torch.broadcast_tensors(columns[:, None, :], rows[:, :, None]), dim=-1)
    return F.grid_sample(x, grid, align_corners=False)


def _places(start: Tensor, length: Tensor, side: int) -> Tensor:
    """Where ``side`` pixels along one axis come from, [N, side], in grid_sample's units."""
    first, length = start[:, None], length[:, None]
    pixel = first + (torch.arange(side, device=start.device) + 0.5) * length / side - 0.5
    return (2 * pixel.clamp(first, first + length - 1) + 1) / side - 1


def _largest_in_the_middle(x: Tensor, ratio: tuple[float, float]) -> tuple[int, int, int, int]:
    height, width = x.shape[-2:]
    aspect = min(max(width / height, ratio[0]), ratio[1])
    h, w = min(height, round(width / aspect)), min(width, round(height * aspect))
    return (height - h) // 2, (width - w) // 2, h, w


def _require_intervals(augmentation: Augmentation, scale: tuple[float, float], ratio: tuple[float, float]) -> None:
    name = type(augmentation).__name__
    if not 0 < scale[0] <= scale[1] <= 1:
        raise ValueError(f"{name}'s scale is {scale}: give two shares above 0, up to 1, the smaller one first.")
    if not 0 < ratio[0] <= ratio[1]:
        raise ValueError(f"{name}'s ratio is {ratio}: give two ratios above 0, the smaller one first.")

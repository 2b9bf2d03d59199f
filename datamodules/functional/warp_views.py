"""Views that are made of one image: a second camera beside the first, and the frames before and after.

Both are bicubic resamplings (Keys' kernel, a = -3/4) of the image in float64, rounded once to 8 bits. What would lie
beyond the image is never made up: all views of a scene, the reference too, are cropped to what all of them show, or are
told to show.

All draws come from the generator that is given, so that a seed says what the views are.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate


@dataclass(frozen=True)
class Disparities:
    """Smooth fields of disparity, as of a curved surface before two rectified cameras.

    Args:
        largest: farthest that a point may lie apart in the two views, in pixels.
        relief: difference between the nearest and the farthest disparity of one field, at most.
        spacing: pixels between two nodes of the field. The slope of a field stays below ``2 relief / spacing``, which
            must be below 1: a surface that is steeper hides a part of itself.

    Raises:
        ValueError: a relief that does not fit, or is too steep.
    """

    largest: float = 40.0
    relief: float = 16.0
    spacing: int = 64

    def __post_init__(self) -> None:
        if not 0 <= self.relief <= self.largest:
            raise ValueError(f"relief is {self.relief}: set it to 0 up to the largest disparity, {self.largest}.")
        if 2 * self.relief >= self.spacing:
            raise ValueError(f"spacing is {self.spacing}: set it above twice the relief, {2 * self.relief}.")

    def draw(self, H: int, W: int, stream: torch.Generator) -> Tensor:
        """One field in [0, largest]: float64 [H, W]."""
        nodes = (1, 1, math.ceil(H / self.spacing) + 1, math.ceil(W / self.spacing) + 1)
        relief, base = torch.rand(2, generator=stream, dtype=torch.float64)
        relief = relief * self.relief
        field = torch.rand(nodes, generator=stream, dtype=torch.float64) * relief
        smooth = interpolate(field, (H, W), mode="bicubic", align_corners=True)[0, 0].clamp(0, float(relief))
        return smooth + base * (self.largest - relief)


def stereo_pair(image: Tensor, disparity: Tensor) -> tuple[Tensor, Tensor]:
    """The left and right view of a scene whose left view is ``image``: right(i, j) = image(i, j + disparity(i, j)).

    Args:
        image: uint8 [1, C, H, W].
        disparity: float64 [H, w] in [0, W - w], of the right view: how much farther left it sees what the left sees.

    Returns:
        uint8 [1, C, H, w] each; columns of one that the other does not show lie at the left end of the left view, and
        at the right end of the right one.
    """
    H, w = disparity.shape
    row, column = torch.meshgrid(*(torch.arange(side, dtype=torch.float64) for side in (H, w)), indexing="ij")
    return image[:, :, :, :w].contiguous(), resample(image, row, column + disparity)


@dataclass(frozen=True)
class Motions:
    """Small motions of a camera between two frames.

    Args:
        shift: largest translation along each axis, in pixels.
        turn: largest rotation about the image's centre, in degrees.
        zoom: largest change of size, as a share.
    """

    shift: float = 3.0
    turn: float = 0.4
    zoom: float = 0.004

    def draw(self, stream: torch.Generator) -> Tensor:
        """One motion: float64 [2, 3], (row, column) about the centre to matrix @ (row, column) + last column."""
        down, right, turn, zoom = 2 * torch.rand(4, generator=stream, dtype=torch.float64) - 1
        angle, size = float(turn) * math.radians(self.turn), 1 + float(zoom) * self.zoom
        cos, sin = size * math.cos(angle), size * math.sin(angle)
        return torch.tensor([[cos, -sin, down * self.shift], [sin, cos, right * self.shift]], dtype=torch.float64)

    def margin(self, H: int, W: int) -> int:
        """Pixels at each side that some motion may need of an image of ``H`` x ``W``, and two for the kernel."""
        reach = math.hypot(H, W) / 2
        return math.ceil(self.shift + reach * (math.radians(self.turn) + self.zoom)) + 2


def moved(image: Tensor, motion: Tensor) -> Tensor:
    """``image`` uint8 [1, C, H, W] as the moved camera sees it: moved(p) = image(motion(p)), p about the centre."""
    H, W = image.shape[2:]
    middle = torch.tensor([(H - 1) / 2, (W - 1) / 2], dtype=torch.float64)
    row, column = torch.meshgrid(*(torch.arange(side, dtype=torch.float64) for side in (H, W)), indexing="ij")
    place = torch.stack([row, column], dim=-1) - middle
    seen = place @ motion[:, :2].T + motion[:, 2] + middle
    return resample(image, seen[..., 0], seen[..., 1])


def resample(image: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """``image`` uint8 [1, C, H, W] at the places (row, column), float64 [h, w] in pixels: uint8 [1, C, h, w].

    Beyond the border its nearest pixel is taken.
    """
    H, W = image.shape[2:]
    grid = torch.stack([(2 * column + 1) / W - 1, (2 * row + 1) / H - 1], dim=-1)[None]
    sampled = grid_sample(image.double(), grid, mode="bicubic", padding_mode="border", align_corners=False)
    return sampled.round_().clamp_(0, 255).to(torch.uint8)

"""Holes: which pixels of an image are missing, True where they are. Every draw is of the generator that is given.

Boxes, and free-form strokes as LaMa draws them (Suvorov et al. 2022, section 2.3 and its published settings for images
of 256 px): a stroke is a path of one to five straight segments, each with a turn, a length and a width of its own.
Lengths are given in px of such an image and follow the side of the hole.
Deviations: turns, lengths and widths are drawn from continuous distributions where LaMa's are integers, and a pixel is
missing if its middle is no further than half the width from the segment, ends round.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

SIDE = 256  # px of the image that lengths are given for
SEGMENTS = 5  # of a stroke, at most
TURN = 4.0  # radians, the greatest
SHORTEST, THINNEST = 10.0, 5.0  # px
TRIES = 1000
TINY = 1e-12  # a segment without length is a point

DrawHole = Callable[[int, int, Generator], Tensor]  # height, width, stream -> bool [1, 1, H, W]


@dataclass(frozen=True)
class Strokes:
    """Free-form strokes.

    Args:
        fewest: strokes of a hole.
        most: strokes of a hole.
        width: of a brush, in px at 256: 5 and up to this more.
        length: of a segment, in px at 256: 10 and up to this more.
    """

    fewest: int
    most: int
    width: float
    length: float

    def __call__(self, H: int, W: int, generator: Generator) -> Tensor:
        """A hole, bool [1, 1, ``H``, ``W``]."""
        count = draw_count(self.fewest, self.most, generator)
        scale, size = math.sqrt(H * W) / SIDE, torch.tensor([H, W])
        segments = torch.randint(1, SEGMENTS + 1, (count,), generator=generator)
        angle, length, width = torch.rand(3, count, SEGMENTS, generator=generator)
        angle = TURN * angle
        angle[::2] = -angle[::2]  # every other stroke turns the other way
        steps = (SHORTEST + self.length * length) * scale * torch.stack([angle.cos(), angle.sin()])  # [2, count, 5]
        points = [torch.rand(count, 2, generator=generator) * size]
        for i in range(SEGMENTS):  # a path that leaves the image goes on along its edge
            points.append((points[-1] + steps[:, :, i].T).clamp(torch.zeros(2), size))
        path, drawn = torch.stack(points, 1), torch.arange(SEGMENTS) < segments[:, None]
        return covered(path[:, :-1][drawn], path[:, 1:][drawn], ((THINNEST + self.width * width) * scale)[drawn], H, W)


@dataclass(frozen=True)
class Boxes:
    """Upright boxes.

    Args:
        fewest: boxes of a hole.
        most: boxes of a hole.
        shortest: side in px at 256.
        longest: side in px at 256.
    """

    fewest: int
    most: int
    shortest: float
    longest: float

    def __call__(self, H: int, W: int, generator: Generator) -> Tensor:
        """A hole, bool [1, 1, ``H``, ``W``]: every box lies within the image."""
        count, size = draw_count(self.fewest, self.most, generator), torch.tensor([H, W])
        share = (self.shortest + (self.longest - self.shortest) * torch.rand(count, 2, generator=generator)) / SIDE
        sides = (share * size).round().long().clamp(min=1)
        free = size - sides + 1
        corner = (torch.rand(count, 2, generator=generator) * free).long().minimum(free - 1)
        down, right = (
            (line >= corner[:, i, None]) & (line < (corner + sides)[:, i, None])
            for i, line in enumerate((torch.arange(H), torch.arange(W)))
        )
        return (down[:, :, None] & right[:, None]).any(0)[None, None]


@dataclass(frozen=True)
class Either:
    """A hole of one kind or of another.

    Args:
        first: how one kind is drawn.
        other: how the other is.
        share: of the other.
    """

    first: DrawHole
    other: DrawHole
    share: float

    def __call__(self, H: int, W: int, generator: Generator) -> Tensor:
        """A hole, bool [1, 1, ``H``, ``W``]."""
        other = torch.rand((), generator=generator) < self.share
        return (self.other if other else self.first)(H, W, generator)


OF_BOXES = 0.3 / 1.3  # LaMa's weights of its kinds are 1 and 0.3
THIN: DrawHole = Strokes(4, 50, 10, 40)
MEDIUM: DrawHole = Either(Strokes(4, 5, 50, 100), Boxes(1, 5, 10, 50), OF_BOXES)
THICK: DrawHole = Either(Strokes(1, 5, 100, 200), Boxes(1, 3, 30, 150), OF_BOXES)


def centre_box(H: int, W: int, share: float = 0.5) -> Tensor:
    """The middle ``share`` of each side: bool [1, 1, ``H``, ``W``]."""
    hole = torch.zeros(1, 1, H, W, dtype=torch.bool)
    h, w = round(H * share), round(W * share)
    hole[:, :, (H - h) // 2 : (H - h) // 2 + h, (W - w) // 2 : (W - w) // 2 + w] = True
    return hole


def covered(start: Tensor, end: Tensor, width: Tensor, H: int, W: int) -> Tensor:
    """Pixels whose middle is within half the width of a segment.

    Args:
        start: [n, 2] row and column, in px from the image's upper left corner.
        end: [n, 2].
        width: [n] px.
        H: height.
        W: width of the image.

    Returns:
        bool [1, 1, H, W].
    """
    size, reach, step = torch.tensor([H, W]), width[:, None] / 2, end - start
    low, high = start.minimum(end) - reach, start.maximum(end) + reach
    h, w = ((high - low).amax(0).ceil().long() + 1).minimum(size).tolist()  # a window that holds any one segment
    top, left = low.long().clamp(torch.zeros(2, dtype=torch.long), size - torch.tensor([h, w])).unbind(1)
    rows, columns = top[:, None] + torch.arange(h), left[:, None] + torch.arange(w)  # [n, h], [n, w]
    down, right = rows + 0.5 - start[:, :1], columns + 0.5 - start[:, 1:]
    along = (down * step[:, :1])[:, :, None] + (right * step[:, 1:])[:, None]
    along = (along / step.square().sum(1).clamp(min=TINY)[:, None, None]).clamp(0, 1)  # [n, h, w]: the nearest point
    near_row = down[:, :, None] - along * step[:, 0, None, None]
    near_column = right[:, None] - along * step[:, 1, None, None]
    inside = near_row.square() + near_column.square() <= reach.square()[:, :, None]
    hole = torch.zeros(H * W, dtype=torch.bool)
    hole[(rows[:, :, None] * W + columns[:, None])[inside]] = True
    return hole.view(1, 1, H, W)


def within(draw: DrawHole, H: int, W: int, generator: Generator, low: float, high: float) -> Tensor:
    """The first hole of ``draw`` that covers more than ``low`` and at most ``high`` of the image.

    Raises:
        ValueError: none of a thousand does.
    """
    for _ in range(TRIES):
        hole = draw(H, W, generator)
        if low < float(hole.float().mean()) <= high:
            return hole
    raise ValueError(
        f"none of {TRIES:,} holes in {H} x {W} px covers between {100 * low:g} and {100 * high:g} % of them: choose "
        "another range, or another kind of hole."
    )


def draw_count(fewest: int, most: int, generator: Generator) -> int:
    """A number from ``fewest`` to ``most``."""
    return int(torch.randint(fewest, most + 1, (), generator=generator))


def turned(masks: Tensor, turn: Tensor) -> Tensor:
    """``masks`` [N, 1, s, s], each turned by its ``turn`` [N] in 0 to 7: rows flipped, columns flipped, exchanged."""
    flip_rows, flip_columns, exchange = ((turn >> bit & 1).bool()[:, None, None, None] for bit in range(3))
    masks = torch.where(flip_rows, masks.flip(2), masks)
    masks = torch.where(flip_columns, masks.flip(3), masks)
    return torch.where(exchange, masks.mT, masks)

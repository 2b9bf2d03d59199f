"""A few curves over the steps as one picture, so that a run shows its course without a plotting library."""

import math
from collections.abc import Mapping, Sequence

import torch
from PIL import Image, ImageDraw
from torch import Tensor

WIDTH, HEIGHT = 640, 400  # px
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 44, 28  # margins, px
INK, GRID, MARK = (40, 40, 40), (225, 225, 225), (200, 0, 0)
COLOURS = ((200, 110, 20), (90, 140, 210), (20, 120, 60), (130, 60, 160))
LINES = 6  # at most, of the grid along one axis


def curves(title: str, x: Sequence[float], lines: Mapping[str, Sequence[float]], marks: Sequence[float] = ()) -> Tensor:
    """Draw ``lines`` over ``x``.

    Args:
        title: stands above the picture.
        x: where the values are, rising, two or more.
        lines: by what the legend calls them, each as long as ``x``; what is not finite is left out.
        marks: places along x where a vertical line stands.

    Returns:
        uint8 [3, 400, 640].
    """
    finite = [value for line in lines.values() for value in line if math.isfinite(value)]
    rows = ticks(min(finite, default=0.0), max(finite, default=1.0))
    columns = ticks(min(x), max(x))
    low, high = min(rows[0], *finite, rows[-1]), max(rows[-1], *finite, rows[0])
    across = Axis(min(x), max(x), LEFT, WIDTH - RIGHT)
    up = Axis(low, high, HEIGHT - BOTTOM, TOP)
    picture = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(picture)
    draw.text((LEFT, 4), title, fill=INK)
    for value in rows:
        draw.line([(LEFT, up(value)), (WIDTH - RIGHT, up(value))], fill=GRID)
        draw.text((4, up(value) - 6), f"{value:g}", fill=INK)
    for value in columns:
        draw.text((across(value) - 10, HEIGHT - BOTTOM + 8), f"{value:g}", fill=INK)
    for value in marks:
        draw.line([(across(value), TOP), (across(value), HEIGHT - BOTTOM)], fill=MARK)
    at = LEFT
    for (name, line), colour in zip(lines.items(), COLOURS, strict=False):
        points = [(across(a), up(b)) for a, b in zip(x, line, strict=True) if math.isfinite(b)]
        draw.line(points, fill=colour, width=2)
        draw.text((at, 22), name, fill=colour)
        at += int(draw.textlength(name)) + 20
    return torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8).view(HEIGHT, WIDTH, 3).permute(2, 0, 1)


class Axis:
    """Values from ``low`` to ``high`` to pixels from ``start`` to ``end``."""

    def __init__(self, low: float, high: float, start: int, end: int) -> None:
        self.low, self.start = low, start
        self.scale = (end - start) / (high - low or 1.0)

    def __call__(self, value: float) -> float:
        """The pixel of ``value``."""
        return self.start + (value - self.low) * self.scale


def ticks(low: float, high: float) -> list[float]:
    """Round values between ``low`` and ``high``, 1, 2 or 5 times a power of ten apart; one where there is no room."""
    if not high > low:
        return [low]
    rough = (high - low) / LINES
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * digit for digit in (1, 2, 5, 10) if power * digit >= rough)
    return [i * step for i in range(math.ceil(low / step), math.floor(high / step) + 1)]

"""An image through a network tile by tile: memory bounded by the tile, and the same result as in one piece.

A tile is a core, whose result is kept, and an overlap around it, cut off at the image's border, where the network pads
the tile as it would pad the image. Where the overlap is no less than the radius of the receptive field, nothing that
the core's result hangs on was cut off, and cores need only be put side by side: there is no seam to blend.

How far a network sees is measured, not declared: the pixels that answer to a change of some are within its reach.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

import torch
from torch import Tensor

Restoration = Callable[[Tensor], Tensor]  # [N, C, h, w] to [N, C', h scale, w scale]

STEPS = (1, 2, 4, 8, 16)  # grids, in pixels, that a network with strides may stand on
BLOCK = STEPS[-1]  # side of what is changed, so that every place on such a grid is
REACHES = (16, 48, 128)  # radii that are looked for, in this order: each costs more
PROBES = 2  # images: where a rectifier is shut in one of them, it is open in another
CHANGE = 1e4  # large beside the image's values, so that what is left of it far away is no rounding error
SAME = 1e-4  # of the output's standard deviation


class Span(NamedTuple):
    """Of one tile along one axis, in input pixels: the core [start, stop) within what the network is given."""

    start: int
    stop: int
    first: int
    last: int


@dataclass(frozen=True)
class Tiling:
    """How an image is cut.

    Args:
        tile: longest side of a core in input pixels; None leaves the image whole.
        overlap: pixels of the image around a core; at the least the receptive field's radius, for no seam.
        step: tiles begin at multiples of it: 1 unless the network has strides.
    """

    tile: int | None
    overlap: int
    step: int = 1

    def spans(self, length: int) -> list[Span]:
        """As few as it goes for an axis of ``length`` pixels, all about as long."""
        count = 1 if self.tile is None else ceil(length / self.tile)
        core, overlap = (ceil(side / self.step) * self.step for side in (ceil(length / count), self.overlap))
        return [
            Span(start, min(start + core, length), max(start - overlap, 0), min(start + core + overlap, length))
            for start in range(0, length, core)
        ]

    def count(self, height: int, width: int) -> int:
        """Tiles of an image."""
        return len(self.spans(height)) * len(self.spans(width))


def tiled(
    restoration: Restoration,
    image: Tensor,
    out: Tensor,
    tiling: Tiling,
    scale: int = 1,
    progress: Callable[[], None] = lambda: None,
) -> None:
    """Write ``restoration(image)`` into ``out``, a tile at a time.

    Args:
        restoration: what is done to a tile.
        image: [N, C, H, W] of any type.
        out: [N, C', H scale, W scale]; its type is what ``restoration`` gives, or takes that without loss.
        tiling: how the image is cut.
        scale: how many times as large the result is.
        progress: called after each tile.
    """
    for rows in tiling.spans(image.shape[2]):
        for columns in tiling.spans(image.shape[3]):
            part = restoration(image[:, :, rows.first : rows.last, columns.first : columns.last])
            out[:, :, _scaled(rows, scale), _scaled(columns, scale)] = part[
                :, :, _within(rows, scale), _within(columns, scale)
            ]
            progress()


def _scaled(span: Span, scale: int) -> slice:
    return slice(span.start * scale, span.stop * scale)


def _within(span: Span, scale: int) -> slice:
    return slice((span.start - span.first) * scale, (span.stop - span.first) * scale)


class Locality(NamedTuple):
    """What a result hangs on: input pixels no more than ``radius`` away, wherever a multiple of ``step`` is."""

    radius: int
    step: int


@torch.no_grad()
def locality(restoration: Restoration, channels: int, scale: int, device: torch.device) -> Locality | None:
    """How far ``restoration`` sees, in input pixels; None where it is further than tiles are worth, or everywhere.

    On a GPU it is measured by plain convolutions: cuDNN's fast ones, by Winograd or Fourier, spread rounding errors
    over pixels that see nothing. Where a processor's do so, too, the radius is larger than need be, never smaller.

    Args:
        restoration: a network in evaluation mode.
        channels: of its input.
        scale: how many times as large its output is.
        device: that it is on.
    """
    noise = torch.Generator().manual_seed(0)
    with torch.backends.cudnn.flags(enabled=False):
        for reach in REACHES:
            image = torch.rand(PROBES, channels, *(2 * reach + BLOCK,) * 2, generator=noise)
            whole = restoration(image.to(device)).cpu()
            changed = image.clone()
            block = slice(reach, reach + BLOCK)
            changed[:, :, block, block] = CHANGE * torch.randn(PROBES, channels, BLOCK, BLOCK, generator=noise)
            answers = (restoration(changed.to(device)).cpu() != whole).any(0).any(0)
            radius = max(_radius(answers.any(axis), reach, scale) for axis in (0, 1))
            if radius < reach:
                image = torch.rand(1, channels, *(2 * (reach + BLOCK),) * 2, generator=noise).to(device)
                step = _step(restoration, image, radius, scale)
                return None if step is None else Locality(radius, step)
    return None


def _radius(answers: Tensor, reach: int, scale: int) -> int:
    """How many input pixels beyond the block the ``answers`` [length scale] along one axis go."""
    places = answers.nonzero().flatten() // scale
    if not len(places):
        return 0
    return max(reach - int(places[0]), int(places[-1]) - (reach + BLOCK - 1), 0)


def _step(restoration: Restoration, image: Tensor, radius: int, scale: int) -> int | None:
    """The shortest way by which what ``restoration`` sees can move so that the result moves along; None where none is.

    All cuts of ``image`` that it is given are of one size, a multiple of every step.
    """
    side, edge = image.shape[2] - BLOCK, radius * scale
    still = restoration(image[:, :, :side, :side])
    for step in STEPS:
        moved = restoration(image[:, :, step : step + side, step : step + side])
        here, there = slice(edge + step * scale, side * scale - edge), slice(edge, (side - step) * scale - edge)
        if (still[:, :, here, here] - moved[:, :, there, there]).abs().mean() <= SAME * still.std():
            return step
    return None

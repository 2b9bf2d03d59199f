"""Kinds of holes that an experiment can name, and masks read from files."""

from abc import ABC, abstractmethod
from pathlib import Path

import torch
from torch import Generator, Tensor

from datamodules.functional import masks
from datamodules.functional.masks import DrawHole
from datamodules.pair_files import read_images


class Holes(ABC):
    """A kind of hole. Derive from it to add one.

    Attributes:
        name: short; it becomes part of a test set's name.
    """

    name: str

    @abstractmethod
    def draw(self, side: int, generator: Generator) -> Tensor:
        """A hole in an image of ``side`` x ``side`` px: bool [1, 1, side, side], True where pixels are missing."""


class CentreBox(Holes):
    """The middle of the image, as the context encoder has it (Pathak et al. 2016).

    Args:
        share: of each side.
    """

    name = "centre"

    def __init__(self, share: float = 0.5) -> None:
        if not 0 < share < 1:
            raise ValueError(f"CentreBox's share is {share}: give more than 0 and less than 1.")
        self.share = share

    def draw(self, side: int, generator: Generator) -> Tensor:
        """As in the class: nothing is drawn."""
        return masks.centre_box(side, side, self.share)


class Drawn(Holes):
    """Holes that are drawn.

    Args:
        least: share of the image that a hole covers more than.
        most: share that it covers at most; LaMa's tests have holes up to half the image.
    """

    drawn: DrawHole  # how one is drawn, of whatever area

    def __init__(self, least: float = 0.0, most: float = 0.5) -> None:
        if not 0 <= least < most <= 1:
            raise ValueError(f"A hole's area lies between {least} and {most}: give shares from 0 to 1, least first.")
        self.least, self.most = least, most
        self.name = f"{type(self).__name__.lower()}{100 * least:g}-{100 * most:g}"

    def draw(self, side: int, generator: Generator) -> Tensor:
        """The first one of the right area."""
        return masks.within(self.drawn, side, side, generator, self.least, self.most)


class RandomBox(Drawn):
    """One box anywhere, its sides 30 to 150 px at 256."""

    drawn: DrawHole = masks.Boxes(1, 1, 30, 150)


class Thin(Drawn):
    """LaMa's thin strokes."""

    drawn: DrawHole = masks.THIN


class Medium(Drawn):
    """LaMa's medium strokes, and small boxes."""

    drawn: DrawHole = masks.MEDIUM


class Thick(Drawn):
    """LaMa's thick strokes, and large boxes."""

    drawn: DrawHole = masks.THICK


class Free(Drawn):
    """Holes of all areas, thick strokes and thin ones equally likely: for training, and for tests by area."""

    drawn: DrawHole = masks.Either(masks.THICK, masks.THIN, 0.5)


def draw_holes(kind: Holes, count: int, side: int, seed: int) -> Tensor:
    """``count`` holes of one ``kind``, bool [count, 1, side, side], the same for the same ``seed``."""
    stream = torch.Generator().manual_seed(seed)
    return torch.cat([kind.draw(side, stream) for _ in range(count)])


def read_holes(root: Path, folder: str, side: int) -> Tensor:
    """The masks of a folder below ``root``, white where pixels are missing: bool [n, 1, side, side], by name.

    Raises:
        FileNotFoundError: no folder; ValueError: no masks, or one of another size, that is not black and white, or
            without a hole or anything else.
    """
    found = []
    for mask in read_images(root, [folder], "set data.init_args.masks to folders of masks, or leave it out."):
        H, W = mask.x.shape[2:]
        if (side, side) != (H, W):
            raise ValueError(
                f"{mask.name} is {W} x {H} and test images are cut to {side} x {side}: give masks of that size, or set "
                "data.init_args.side to theirs."
            )
        if not ((mask.x == 0) | (mask.x == 255)).all() or (mask.x != mask.x[:, :1]).any():
            raise ValueError(
                f"{mask.name} has other values than black and white: give a mask of 255 (missing) and 0 (known)."
            )
        hole = mask.x[:, :1] == 255
        if not hole.any() or hole.all():
            raise ValueError(f"{mask.name} has {'only' if hole.any() else 'no'} missing pixels, which are white.")
        found.append(hole)
    return torch.cat(found)

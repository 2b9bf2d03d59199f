"""Masks as ``atelier restore --mask`` reads them: white where pixels of the picture are missing, black elsewhere.

One mask for all pictures, or a folder of masks, each called like its picture but for the suffix.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from datamodules.open_image import BadImageError
from experiments.companions import Companions
from experiments.errors import UserError
from experiments.restore_pictures import Picture, Pictures, eight_bit, taken_by
from lightning_modules.tools.filling import HoleFiller
from lightning_modules.tools.restoration import Restorer
from lightning_modules.tools.tiles import Tiling

AnyRestorer = Restorer | HoleFiller

BLACK, WHITE = 0, 255
MASKS = Companions("mask", "give an image that is white where pixels are missing")


def with_masks(pictures: Pictures, place: str, out: Path) -> Pictures:
    """``pictures`` with the holes of the masks at ``place``: one for all, or a folder or archive of one for each.

    Raises:
        UserError: there is nothing, or a picture has no mask there, or two.
    """
    return MASKS.beside(pictures, place, out, holed)


def holed(picture: Picture, mask: Picture) -> Picture:
    """``picture`` with a hole where ``mask`` is white.

    Raises:
        ValueError: they do not go together, and why.
    """
    return replace(picture, hole=hole_of(mask, *picture.pixels.shape[2:]))


def hole_of(mask: Picture, H: int, W: int) -> Tensor:
    """Where ``mask`` is white: bool [1, 1, ``H``, ``W``].

    Raises:
        ValueError: it is of another size than that, or not black and white alone.
    """
    h, w = mask.pixels.shape[2:]
    if (h, w) != (H, W):
        raise ValueError(f"{w} x {h} px, and the image is {W} x {H}: give one of the image's size")
    if mask.alpha is not None and bool((mask.alpha != WHITE).any()):
        raise ValueError("transparent in parts: make it black, and white where pixels are missing")
    other = mask.pixels[(mask.pixels != BLACK) & (mask.pixels != WHITE)]
    if len(other):
        raise ValueError(f"holds {int(other[0])}: give 0 and 255 alone, 255 where pixels are missing")
    hole = mask.pixels[:, :1] == WHITE
    if not torch.equal(hole.expand_as(mask.pixels), mask.pixels == WHITE):
        raise ValueError("holds colours: give black and white alone, white where pixels are missing")
    return hole


def in_one_piece(tile: int | None, overlap: int | None) -> Tiling:
    """How pictures with holes are cut: not at all.

    Raises:
        UserError: tiles were asked for.
    """
    if tile or overlap is not None:
        raise UserError("a picture with holes is restored in one piece: leave out --tile and --overlap")
    return Tiling(None, 0)


def applied(picture: Picture, restorer: AnyRestorer, tiling: Tiling, progress: Callable[[], None]) -> Tensor:
    """The restored pixels of ``picture``.

    Raises:
        BadImageError: a picture that the network does not take, or holes that it cannot fill, and why.
    """
    if isinstance(restorer, Restorer):
        with taken_by(type(restorer.network).__name__, picture):
            return restorer.picture(picture.pixels, tiling, progress)
    assert picture.hole is not None
    try:
        with taken_by(type(restorer.module.net).__name__, picture, (RuntimeError,)):
            return restorer.picture(picture.pixels, picture.hole)
    except ValueError as error:
        raise BadImageError(str(error)) from error


def given(picture: Picture) -> Tensor:
    """The pixels of ``picture`` in 8 bits, white in its hole as in its mask."""
    pixels = eight_bit(picture.pixels)
    return pixels if picture.hole is None else pixels.masked_fill(picture.hole, WHITE)

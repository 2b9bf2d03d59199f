"""Masks as ``atelier restore --mask`` reads them: white where pixels of the picture are missing, black elsewhere.

One mask for all pictures, or a folder of masks, each called like its picture but for the suffix.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor

from datamodules.decode import BadImageError
from experiments.errors import UserError
from experiments.lightning_cli import users_mistakes
from experiments.restore_pictures import Picture, Pictures, eight_bit, find_pictures
from lightning_modules.tools.filling import HoleFiller
from lightning_modules.tools.restoration import Restorer
from lightning_modules.tools.tiles import Tiling

AnyRestorer = Restorer | HoleFiller

BLACK, WHITE = 0, 255


@dataclass(frozen=True)
class MaskedPictures(Pictures):
    """Pictures with a mask each.

    Args:
        masks: where they are.
        mask_of: the number in it of each picture's, by the picture's number.
    """

    masks: Pictures | None = None
    mask_of: Mapping[int, int] = field(default_factory=dict)

    def read(self, number: int) -> Picture:
        """The picture of a file, with its hole.

        Raises:
            BadImageError: picture or mask give none, or they do not go together, and why.
        """
        assert self.masks is not None
        picture, mask = super().read(number), self.mask_of[number]
        name = self.masks.name(mask)
        try:
            return replace(picture, hole=hole_of(self.masks.read(mask), *picture.pixels.shape[2:]))
        except BadImageError as error:
            raise BadImageError(f"its mask {name}: {error}") from error


def with_masks(pictures: Pictures, place: str, out: Path) -> MaskedPictures:
    """``pictures`` with the masks at ``place``: a file for all of them, or a folder or .zip archive of one for each.

    Raises:
        UserError: there is nothing, or a picture has no mask there, or two.
    """
    if not Path(place).exists():
        raise UserError(f"there is no mask at {place}: give an image that is white where pixels are missing")
    with users_mistakes():
        masks = find_pictures(place, out)
    if Path(place).is_file() and Path(place).suffix.lower() != ".zip":
        mask_of = dict.fromkeys(pictures.numbers, masks.numbers[0])
    else:
        by_stem = stems(masks, place)
        mask_of = {number: by_stem[stem(pictures.name(number))] for number in paired(pictures, by_stem, place)}
    return MaskedPictures(pictures.title, pictures.source, pictures.numbers, pictures.size, masks, mask_of)


def stem(name: str) -> str:
    """``name`` below its place, without its suffix."""
    return str(PurePosixPath(name).with_suffix(""))


def stems(masks: Pictures, place: str) -> dict[str, int]:
    """The numbers of ``masks`` by their stems.

    Raises:
        UserError: two have one stem.
    """
    found: dict[str, int] = {}
    for number in masks.numbers:
        other = found.setdefault(stem(masks.name(number)), number)
        if other != number:
            raise UserError(f"{masks.name(other)} and {masks.name(number)} in {place} mask one image: leave one")
    return found


def paired(pictures: Pictures, by_stem: Mapping[str, int], place: str) -> list[int]:
    """The numbers of ``pictures``, all of which have a mask.

    Raises:
        UserError: one has none.
    """
    without = [name for name in map(pictures.name, pictures.numbers) if stem(name) not in by_stem]
    if without:
        more = f", nor for {len(without) - 1:,} more" if len(without) > 1 else ""
        raise UserError(
            f"{place} holds no mask {stem(without[0])}.png for {without[0]}{more}: give one for each image, or a"
            " single mask for all"
        )
    return pictures.numbers


def hole_of(mask: Picture, H: int, W: int) -> Tensor:
    """Where ``mask`` is white: bool [1, 1, ``H``, ``W``].

    Raises:
        BadImageError: it is of another size than that, or not black and white alone.
    """
    h, w = mask.pixels.shape[2:]
    if (h, w) != (H, W):
        raise BadImageError(f"{w} x {h} px, and the image is {W} x {H}: give one of the image's size")
    if mask.alpha is not None and bool((mask.alpha != WHITE).any()):
        raise BadImageError("transparent in parts: make it black, and white where pixels are missing")
    other = mask.pixels[(mask.pixels != BLACK) & (mask.pixels != WHITE)]
    if len(other):
        raise BadImageError(f"holds {int(other[0])}: give 0 and 255 alone, 255 where pixels are missing")
    hole = mask.pixels[:, :1] == WHITE
    if not torch.equal(hole.expand_as(mask.pixels), mask.pixels == WHITE):
        raise BadImageError("holds colours: give black and white alone, white where pixels are missing")
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
        BadImageError: holes that the network cannot fill, and why.
    """
    if isinstance(restorer, Restorer):
        return restorer.picture(picture.pixels, tiling, progress)
    assert picture.hole is not None
    try:
        return restorer.picture(picture.pixels, picture.hole)
    except ValueError as error:
        raise BadImageError(str(error)) from error


def given(picture: Picture) -> Tensor:
    """The pixels of ``picture`` in 8 bits, white in its hole as in its mask."""
    pixels = eight_bit(picture.pixels)
    return pixels if picture.hole is None else pixels.masked_fill(picture.hole, WHITE)

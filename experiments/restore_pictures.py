"""Pictures as ``atelier restore`` reads and writes them: grey or colour, alpha kept, 16 bit where Pillow can.

A file's first frame, turned as its EXIF orientation says. 16-bit grey stays so (PNG, TIFF, PGM); of 16-bit colour
Pillow reads the high bytes alone. Alpha has 8 bits. What is written is PNG, with the colour profile of what was read.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from errno import EEXIST
from os import strerror
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from datamodules.collection import SUFFIXES
from datamodules.functional.files import replacing
from datamodules.functional.locks import taken
from datamodules.functional.pillow import cubic, resize_bytes
from datamodules.image_files import source_at
from datamodules.open_image import (
    MAX_PIXELS,
    BadImageError,
    has_low_bytes,
    is_16_bit_grey,
    most_bytes,
    opened,
    quiet_pillow,
)
from datamodules.sources import Entry, FolderSource, Source
from experiments.errors import UserError, memory_is_full, one_line, sentence_of

Errors = tuple[type[Exception], ...]
GREY = ("1", "L", "LA", "La")


@dataclass(frozen=True)
class Picture:
    """One picture.

    Args:
        pixels: uint8 [1, C, H, W] of one or three channels, or uint16 [1, 1, H, W]; stored channels last.
        alpha: uint8 [1, 1, H, W], where there is any.
        profile: of its colours, as files carry it.
        lost: what of the file it does not have.
        hole: bool [1, 1, H, W], True where pixels are missing, where a mask says so.
        guide: floats [1, 1, H, W], 1 where something is to be done, where a mask says so.
    """

    pixels: Tensor
    alpha: Tensor | None = None
    profile: bytes | None = None
    lost: tuple[str, ...] = ()
    hole: Tensor | None = None
    guide: Tensor | None = None


class OneFile(FolderSource):
    """A single file as a source."""

    def __init__(self, path: Path) -> None:
        Source.__init__(self, path.resolve().parent)
        about = path.stat()
        self.entries.append(Entry(path.name, about.st_size, about.st_mtime_ns))


@dataclass(frozen=True)
class Pictures:
    """Files that are called like pictures.

    Args:
        title: of their place.
        source: that reads them.
        numbers: theirs in it, in order of names.
        size: side in px to which each is resized by Pillow's bicubic; None leaves it as it is.
        deep: whether 16 bits of grey stay, where nothing is resized.
    """

    title: str
    source: Source
    numbers: list[int]
    size: int | None = None
    deep: bool = True

    def name(self, number: int) -> str:
        """The file's, below its place."""
        return self.source.entries[number].name

    def read(self, number: int) -> Picture:
        """The picture of a file.

        Raises:
            BadImageError: it gives none, and why.
        """
        with quiet_pillow():
            picture = decode(self.source.read(number, most_bytes(MAX_PIXELS)))
        picture = picture if self.deep else in_eight_bits(picture)
        return picture if self.size is None else resized(picture, self.size)


def resized(picture: Picture, size: int) -> Picture:
    """``picture`` with sides of ``size`` px, and 8 bits."""
    picture = in_eight_bits(picture)
    alpha = picture.alpha if picture.alpha is None else resize_bytes(picture.alpha, size, cubic)
    return replace(picture, pixels=resize_bytes(picture.pixels, size, cubic), alpha=alpha)


def in_eight_bits(picture: Picture) -> Picture:
    """``picture`` with 8 bits, which notes what it has lost."""
    if picture.pixels.dtype == torch.uint8:
        return picture
    return replace(picture, pixels=eight_bit(picture.pixels), lost=(*picture.lost, "16 bits"))


def find_pictures(place: str, out: Path) -> Pictures:
    """One picture, or all of a folder or .zip archive, in whatever folders below; those below ``out`` left out.

    Raises:
        FileNotFoundError: there is nothing; ValueError: there are no pictures, or it is no archive.
    """
    path = Path(place)
    if path.is_file() and path.suffix.lower() != ".zip":
        return Pictures(path.name, OneFile(path), [0])
    source = source_at([path], "give an image, or a folder of images")
    own = out.resolve()
    inside = own != source.path and own.is_relative_to(source.path)  # what lies there is of earlier calls
    numbers = [
        i
        for i, entry in enumerate(source.entries)
        if entry.name.lower().endswith(SUFFIXES) and not (inside and (source.path / entry.name).is_relative_to(own))
    ]
    if not numbers:
        raise ValueError(f"{place} holds no images: give an image, or a folder of images")
    return Pictures(path.resolve().name, source, numbers)


def read_image(file: str, what: str = "image") -> Picture:
    """The picture in the image file ``file``, which an option names as ``what``.

    Raises:
        UserError: there is none.
    """
    if not Path(file).is_file():
        raise UserError(f"there is no {what} at {file}")
    try:
        return Pictures(Path(file).name, OneFile(Path(file)), [0]).read(0)
    except BadImageError as error:
        raise UserError(f"{file} gives no {what} ({error})") from error


def decode(content: bytes) -> Picture:
    """The picture in the bytes of a file.

    Raises:
        BadImageError: there is none, and why.
    """
    with opened(content, MAX_PIXELS) as image:
        lost, profile = _lost(image), image.info.get("icc_profile")
        deep = is_16_bit_grey(image)
        image = ImageOps.exif_transpose(image)
        if deep:
            return Picture(_tensor(np.asarray(image).astype(np.uint16)), profile=profile, lost=lost)
        if image.mode in ("I", "F"):
            raise BadImageError("32 bits a pixel, whose range is not known")
        kind = "L" if image.mode in GREY else "RGB"
        if image.has_transparency_data:
            whole = np.asarray(image.convert("LA" if kind == "L" else "RGBA"))
            return Picture(_tensor(whole[:, :, :-1]), _tensor(whole[:, :, -1]), profile, lost)
        if image.mode == "CMYK":
            profile = None
        return Picture(_tensor(np.asarray(image.convert(kind))), profile=profile, lost=lost)


def _lost(image: Image.Image) -> tuple[str, ...]:
    lost = []
    if getattr(image, "is_animated", False):
        lost.append("all frames but the first")
    if is_16_bit_grey(image):
        if image.has_transparency_data:
            lost.append("the transparent level of 16-bit grey")
    elif has_low_bytes(image):
        lost.append("the low bytes of 16-bit colour or alpha, which Pillow does not read")
    if image.mode == "CMYK":
        lost.append("CMYK with its profile, which becomes RGB")
    return tuple(lost)


def _tensor(pixels: np.ndarray) -> Tensor:
    """[H, W] or [H, W, C] as a view [1, C, H, W] of a copy."""
    own = np.array(pixels, order="C")
    return torch.from_numpy(own.reshape(*own.shape[:2], -1)).permute(2, 0, 1)[None]


def save(picture: Picture, path: Path) -> None:
    """Write ``picture`` as PNG to ``path``, whole or not at all."""
    image = image_of(picture.pixels)
    if picture.alpha is not None:
        image.putalpha(image_of(picture.alpha))
    with replacing(path) as file:
        image.save(file, format="PNG", icc_profile=picture.profile)


def image_of(pixels: Tensor) -> Image.Image:
    """``pixels`` [1, C, H, W], of one channel or three, as Pillow has them."""
    array = pixels[0].permute(1, 2, 0).numpy()
    return Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)


def tensor_of(image: Image.Image) -> Tensor:
    """The pixels of ``image``, uint8 [1, C, H, W]."""
    return _tensor(np.asarray(image))


def eight_bit(pixels: Tensor) -> Tensor:
    """uint8 or uint16 ``pixels`` as uint8."""
    if pixels.dtype == torch.uint8:
        return pixels
    return (pixels.float() / 257).round().to(torch.uint8)


def side_by_side(left: Tensor, right: Tensor) -> Tensor:
    """Two pictures uint8 [1, C, H, W] in one."""
    _, C, H, W = left.shape
    both = torch.empty(1, H, 2 * W, C, dtype=torch.uint8).permute(0, 3, 1, 2)
    both[:, :, :, :W], both[:, :, :, W:] = left, right
    return both


@contextmanager
def reserved(*paths: Path) -> Iterator[None]:
    """Take the names ``paths`` for files that the block writes; none is left there if it fails.

    An empty file that nobody has locked is what a killed process has left of its own.

    Raises:
        FileExistsError: something is there already, or another process has taken the name.
    """
    with ExitStack() as locks, ExitStack() as stack:
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            if not _is_left_over(path, locks):
                path.open("xb").close()
                if _lock(path, locks) is False:  # by whom the empty file was taken for a left-over at once
                    raise FileExistsError(EEXIST, strerror(EEXIST), str(path))
            stack.callback(_discard, path)
        yield
        stack.pop_all()


@contextmanager
def taken_by(name: str, picture: Picture, errors: Errors = (ValueError, RuntimeError)) -> Iterator[None]:
    """Say of ``picture`` that the network ``name``, asked in the block, does not take it, and why.

    What it says to too small a picture is one of ``errors``: a ValueError, or a RuntimeError of torch.

    Raises:
        BadImageError: it does not.
    """
    try:
        yield
    except errors as error:
        if memory_is_full(error):
            raise
        H, W = picture.pixels.shape[2:]
        why = one_line(sentence_of(error)).rstrip(".")
        raise BadImageError(f"{name} takes no picture of {W} x {H} px: {why}") from error


def _is_left_over(path: Path, locks: ExitStack) -> bool:
    empty = path.is_file() and path.stat().st_size == 0
    return empty and _lock(path, locks) is True and path.stat().st_size == 0


def _lock(path: Path, locks: ExitStack) -> bool | None:
    try:
        return locks.enter_context(taken(path))
    except OSError:  # no locks here: then whatever is there may be somebody's
        return None


def _discard(path: Path) -> None:
    path.unlink(missing_ok=True)

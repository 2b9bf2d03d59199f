"""Finished images as one set, to be scored: a folder, a zip archive (or a folder in one), or an array in a file.

They are taken exactly as they are. What would have to be changed (another size, grey among colour, transparency) is
refused by name unless a setting says how, since each way to change an image changes the score.

A file is the picture that a viewer shows at first. Of several frames (GIF, WebP, APNG, TIFF) the first counts, and the
others are passed over, everywhere. A set's images are turned as their EXIF orientation says, and so are finished images
that are compared one by one (``evaluate``). Data modules of pairs read files as they lie, as test sets are published.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from datamodules.array_file import is_array, read_images
from datamodules.base import ImageSet
from datamodules.decode import Decoding, decode_whole
from datamodules.functional.cores import cores
from datamodules.image_files import source_at
from datamodules.inspection import channels_first, decode_all, inspect
from datamodules.open_image import FORMATS, SUFFIXES, BadImageError, has_low_bytes, most_bytes, opened, quiet_pillow
from datamodules.report import examples
from datamodules.sources import Fault, Source
from datamodules.stream import ItemSet
from datamodules.workers import FileSet

SPLIT = "all"
IN_MEMORY = 2**31  # bytes of a set that is decoded once; larger ones are decoded whenever they are asked for
MOST_THREADS = 8
SHOWN = 5  # faulty files that are named
LARGEST_SIZE = 2**14  # px
GREY = ("1", "L", "LA")  # Pillow's modes of 8 bits or fewer
COLOUR = ("P", "PA", "RGB", "RGBA")


@dataclass(frozen=True)
class Change:
    """What may be done to files that are not all alike. What is None is not done: it is refused where it would be.

    Args:
        size: side in pixels that all are resized to: the largest centred square, by Pillow's antialiased Lanczos.
        channels: 1 makes all grey, 3 all colour.
        background: grey level, 0 to 255, under transparent pixels.

    Raises:
        ValueError: settings that no image can follow.
    """

    size: int | None = None
    channels: int | None = None
    background: int | None = None

    def __post_init__(self) -> None:
        if self.size is not None and not 1 <= self.size <= LARGEST_SIZE:
            raise ValueError(f"The size is {self.size}: give 1 up to {LARGEST_SIZE} pixels.")
        if self.channels not in (None, 1, 3):
            raise ValueError(f"The channels are {self.channels}: give 1 for grey or 3 for colour.")
        if self.background is not None and not 0 <= self.background <= 255:
            raise ValueError(f"The background is {self.background}: give a grey level, 0 up to 255.")

    def __str__(self) -> str:
        parts = (
            None if self.size is None else f"{Decoding.crop} crop, {Decoding.resize} to {self.size} px",
            {1: "grey", 3: "colour"}.get(self.channels or 0),
            None if self.background is None else f"alpha on {self.background}",
        )
        return ", ".join(filter(None, parts)) or "as they are"


AS_THEY_ARE = Change()


@dataclass(frozen=True)
class Alike(Decoding):
    """A decoding to one size and colour that refuses every image which ``change`` would have to allow to be changed."""

    change: Change = AS_THEY_ARE

    def check(self, image: Image.Image) -> None:
        """See by its header that ``image`` may be decoded.

        Raises:
            BadImageError: it may not, and why.
        """
        super().check(image)
        width, height = image.size
        grey = image.mode in GREY
        if image.mode not in (*GREY, *COLOUR):
            raise BadImageError(f"{image.mode} pixels, neither 8-bit grey nor RGB")
        if has_low_bytes(image):
            raise BadImageError("16 bits a channel, of which 8 would be lost")
        if self.change.size is None and (width, height) != (self.size, self.size):
            raise BadImageError(f"{width} x {height} and not {self.size} x {self.size}")
        if self.change.background is None and image.has_transparency_data:
            raise BadImageError("with alpha")
        if self.change.channels is None and grey != (self.channels == 1):
            raise BadImageError("grey and not colour" if grey else "colour and not grey")


def image_set(path: str, change: Change = AS_THEY_ARE) -> ItemSet:
    """All images at ``path``, sorted by name, as one set of split "all"; turned by EXIF, of several frames the first.

    Args:
        path: a folder or .zip archive, or a folder in an archive (``faces.zip/test``); or an array as in
            ``array_file``.
        change: what may be done to images of folders and archives; arrays are never changed.

    Raises:
        FileNotFoundError: there is nothing.
        ValueError: there are no images, or some that do not fit; the first are named.
    """
    if is_array(path):
        images = read_images(Path(path))
        return ImageSet(title(path), SPLIT, images, torch.zeros(len(images), dtype=torch.int64))
    return _files(path, change)


def title(path: str) -> str:
    """What the images at ``path`` are called: the name of their folder or file, without the folders above it.

    A folder in an archive bears the archive's name too: ``faces/test``.
    """
    place = Path(path).resolve()
    for archive in place.parents:
        if archive.is_file():
            return f"{archive.stem}/{place.relative_to(archive).as_posix()}"
    return place.stem if place.is_file() else place.name


# --- files --------------------------------------------------------------------------------------------------


def _files(path: str, change: Change) -> ItemSet:
    source, below = _source(path)
    files = _images_below(source, below, path)
    decode = _decoding(source, files, change)
    threads = min(cores(), MOST_THREADS)
    if len(files) * decode.channels * decode.size**2 <= IN_MEMORY:
        images, found = decode_all(source, files, decode, threads, keep=True)
    else:
        images, found = None, inspect(source, files, decode, threads)
    faults = [Fault(source.entries[i].name, why) for i, why in sorted(found.faults.items())]
    if faults:
        options = _options(source, sorted(found.faults)[:SHOWN], decode)
        raise ValueError(
            f"{path}: {len(faults):,} of {len(files):,} files do not fit or give no image, such as"
            f" {examples(faults, SHOWN)}: mend or remove them"
            + (f", or give {' and '.join(options)} to change them." if options else ".")
        )
    labels = torch.zeros(len(files), dtype=torch.int64)
    if images is not None:
        return ImageSet(title(path), SPLIT, images, labels)
    return FileSet(title(path), SPLIT, source, files, labels, decode, threads)


def _options(source: Source, faulty: Sequence[int], decode: Alike) -> list[str]:
    """The options that are not given and without which some of the files ``faulty`` is refused; none of a file that
    no option mends."""
    given = asdict(decode.change)
    every = {"size": decode.size, "channels": decode.channels, "background": decode.background}
    needed: set[str] = set()
    most = decode.max_bytes
    for number in faulty:
        with suppress(BadImageError), quiet_pillow(), opened(source.read(number, most), decode.max_pixels) as image:
            replace(decode, change=Change(**every)).check(image)
            for name in every:
                try:
                    replace(decode, change=Change(**{**every, name: None})).check(image)
                except BadImageError:
                    needed.add(name)
    return [f"--{name}" for name in every if name in needed and given[name] is None]


def _images_below(source: Source, below: str, path: str) -> list[int]:
    """Numbers of the files that are called like images.

    Raises:
        ValueError: none; or some cannot be read at all, such as links that lead elsewhere.
    """
    refused = [fault for fault in source.refused if _is_image(fault.name, below)]
    if refused:
        raise ValueError(f"{path}: {len(refused):,} files cannot be used: {examples(refused)}; mend or remove them.")
    files = [i for i, entry in enumerate(source.entries) if _is_image(entry.name, below)]
    if not files:
        raise ValueError(f"{path} holds no images: give a folder, a .zip archive or an array of images.")
    return files


def _is_image(name: str, below: str) -> bool:
    return name.startswith(below) and name.lower().endswith(SUFFIXES)


def _source(path: str) -> tuple[Source, str]:
    """The folder or archive, and the beginning of the names that are meant."""
    whole = Path(path)
    if whole.is_file() and whole.name.lower().endswith(SUFFIXES):
        raise ValueError(f"{path} is one image: give the folder that it lies in.")
    for archive in whole.parents:
        if archive.is_file():
            return source_at([archive], ""), f"{whole.relative_to(archive).as_posix()}/"
    return source_at([whole], "give a folder, a .zip archive, or a .npy, .npz or .pt file of images."), ""


def _decoding(source: Source, files: Sequence[int], change: Change) -> Alike:
    """As ``change`` says; the rest as the first file that is an image has it."""
    side, channels = _form(source, files)
    ground = Decoding.background if change.background is None else change.background
    return Alike(change.size or side, change.channels or channels, background=ground, change=change)


def _form(source: Source, files: Sequence[int]) -> tuple[int, int]:
    """Side and channels of the first file with a header."""
    for number in files:
        try:
            with quiet_pillow(), Image.open(BytesIO(source.read(number, 2**32)), formats=FORMATS) as image:
                return min(image.size), 1 if image.mode in GREY else 3
        except (OSError, BadImageError, Image.DecompressionBombError):
            continue
    name = source.entries[files[0]].name
    raise ValueError(f"{source.path.name}: none of {len(files):,} files is an image, {name} the first.")


# --- images of any sizes, by name ---------------------------------------------------------------------------


class WholeImages:
    """Images as they are, of any sizes: ``images[name]`` is uint8 [1, C, H, W].

    Args:
        title: of their place.
        read: gives the image of a key.
        keys: by name; names are those of the files without their suffix, or numbers in an array.
    """

    def __init__(self, title: str, read: Callable[[int], Tensor], keys: dict[str, int]) -> None:
        self.title, self._read, self._keys = title, read, keys

    @property
    def names(self) -> list[str]:
        """All of them, sorted."""
        return sorted(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, name: str) -> bool:
        return name in self._keys

    def __getitem__(self, name: str) -> Tensor:
        return self._read(self._keys[name])


def whole_images(path: str, decode: Callable[[bytes, int], np.ndarray] = decode_whole) -> WholeImages:
    """All images at ``path``, a place as in ``image_set``, as ``decode`` gives them; of several frames the first.

    Unless told otherwise they are not turned by EXIF, as ``decode_upright`` does.

    Raises:
        FileNotFoundError: there is nothing; ValueError: no images, two of one name; when read, a file that gives none.
    """
    if is_array(path):
        images = read_images(Path(path))
        return WholeImages(title(path), lambda i: images[i : i + 1], {f"{i:06d}": i for i in range(len(images))})
    source, below = _source(path)
    keys: dict[str, int] = {}
    for i in _images_below(source, below, path):
        name = source.entries[i].name.removeprefix(below).rsplit(".", 1)[0]
        if name in keys:
            raise ValueError(f"{path} holds two images of the name {name}: leave one of them there.")
        keys[name] = i
    return WholeImages(title(path), lambda i: read_whole(source, i, decode), keys)


def read_whole(source: Source, index: int, decode: Callable[[bytes, int], np.ndarray] = decode_whole) -> Tensor:
    """File ``index`` of ``source`` as ``decode`` gives it, unless told otherwise as it is: uint8 [1, C, H, W].

    Raises:
        ValueError: it gives no image, and why.
    """
    max_pixels = 2**26
    try:
        with quiet_pillow():
            pixels = decode(source.read(index, most_bytes(max_pixels)), max_pixels)
    except BadImageError as error:
        name = source.path / source.entries[index].name
        raise ValueError(f"{name} gives no image ({error}): restore it, convert it or take it out.") from error
    return channels_first(pixels[None])

"""Finished images as one set, to be scored: a folder, a zip archive (or a folder in one), or an array in a file.

They are taken exactly as they are. What would have to be changed (another size, grey among colour, transparency) is
refused by name unless a setting says how, since each way to change an image changes the score.
"""

import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from datamodules.base import ImageSet
from datamodules.decode import (
    FORMATS,
    SUFFIXES,
    BadImageError,
    Crop,
    Decoding,
    Kernel,
    decode_whole,
    most_bytes,
    quiet_pillow,
)
from datamodules.functional.quantise import check_unit, to_uint8
from datamodules.image_files import source_at
from datamodules.inspection import channels_first, cores, decode_all, inspect
from datamodules.report import examples
from datamodules.sources import Fault, Source
from datamodules.stream import ItemSet
from datamodules.workers import FileSet

SPLIT = "all"
IN_MEMORY = 2**31  # bytes of a set that is decoded once; larger ones are decoded whenever they are asked for
ARRAYS = (".npy", ".npz", ".pt", ".pth")
MOST_THREADS = 8


@dataclass(frozen=True)
class Change:
    """What may be done to images that are not all alike. None changes nothing, and refuses what would need it.

    Args:
        size: side in pixels that all are resized to, by Pillow's antialiased ``resize``, after ``crop``.
        channels: 1 makes all grey, 3 all colour.
        background: grey level, 0 to 255, under transparent pixels.
        resize: Pillow's kernel.
        crop: as in ``Decoding``.
    """

    size: int | None = None
    channels: int | None = None
    background: int | None = None
    resize: Kernel = "lanczos"
    crop: Crop = "centre"

    @property
    def nothing(self) -> bool:
        """Whether files are taken as they are."""
        return self.size is None and self.channels is None and self.background is None


AS_THEY_ARE = Change()


def image_set(path: str, change: Change = AS_THEY_ARE) -> ItemSet:
    """All images at ``path``, sorted by name, as one set of split "all".

    Args:
        path: a folder or .zip archive, or a folder in an archive (``faces.zip/test``); or an array of shape
            [N, H, W], [N, H, W, C] or [N, C, H, W], uint8 or floats in [0, 1], in a .npy, .npz or .pt file.
        change: what may be done to images of folders and archives; arrays are never changed.

    Raises:
        FileNotFoundError: there is nothing.
        ValueError: there are no images, or some that do not fit; the first are named.
    """
    if Path(path).suffix in ARRAYS and Path(path).is_file():
        return ImageSet(Path(path).stem, SPLIT, images := _array(Path(path)), torch.zeros(len(images)).long())
    return _files(path, change)


# --- files --------------------------------------------------------------------------------------------------


def _files(path: str, change: Change) -> ItemSet:
    source, below = _source(path)
    name = Path(path).stem
    files = _images_below(source, below, path)
    decode = _decoding(source, files, change)
    threads = min(cores(), MOST_THREADS)
    if len(files) * decode.channels * decode.size**2 <= IN_MEMORY:
        images, found = decode_all(source, files, decode, threads, keep=True)
    else:
        images, found = None, inspect(source, files, decode, threads)
    faults = [Fault(source.entries[i].name, why) for i, why in sorted(found.faults.items())]
    if faults:
        raise ValueError(
            f"{path}: {len(faults):,} of {len(files):,} files do not fit or give no image, such as"
            f" {examples(faults)}: mend or remove them, or give --size, --channels or --background to change them."
        )
    labels = torch.zeros(len(files), dtype=torch.int64)
    if images is not None:
        return ImageSet(name, SPLIT, images, labels)
    return FileSet(name, SPLIT, source, files, labels, decode, threads)


def _images_below(source: Source, below: str, path: str) -> list[int]:
    names = [(i, entry.name) for i, entry in enumerate(source.entries) if entry.name.startswith(below)]
    files = [i for i, name in names if name.lower().endswith(SUFFIXES)]
    if not files:
        raise ValueError(f"{path} holds no images: give a folder, a .zip archive or an array of images.")
    return files


def _source(path: str) -> tuple[Source, str]:
    """The folder or archive, and the beginning of the names that are meant."""
    whole = Path(path)
    for archive in whole.parents:
        if archive.is_file():
            return source_at([archive], ""), f"{whole.relative_to(archive).as_posix()}/"
    return source_at([whole], "give a folder, a .zip archive, or a .npy, .npz or .pt file of images."), ""


def _decoding(source: Source, files: Sequence[int], change: Change) -> Decoding:
    """As ``change`` says; the rest as the first file that is an image has it."""
    side, channels = _form(source, files)
    if change.nothing:
        return Decoding(side, channels, crop="none", exact=True)
    return Decoding(
        change.size or side,
        change.channels or channels,
        change.resize,
        "none" if change.size is None else change.crop,
        255 if change.background is None else change.background,
    )


def _form(source: Source, files: Sequence[int]) -> tuple[int, int]:
    """Side and channels of the first file with a header."""
    for number in files:
        try:
            with Image.open(BytesIO(source.read(number, 2**32)), formats=FORMATS) as image:
                return min(image.size), 1 if image.mode in ("1", "L", "LA", "I", "I;16", "F") else 3
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

    def __contains__(self, name: str) -> bool:
        return name in self._keys

    def __getitem__(self, name: str) -> Tensor:
        return self._read(self._keys[name])


def whole_images(path: str) -> WholeImages:
    """All images at ``path``, a place as in ``image_set``.

    Raises:
        FileNotFoundError: there is nothing; ValueError: no images, two of one name; when read, a file that gives none.
    """
    if Path(path).suffix in ARRAYS and Path(path).is_file():
        images = _array(Path(path))
        return WholeImages(Path(path).stem, lambda i: images[i : i + 1], {f"{i:06d}": i for i in range(len(images))})
    source, below = _source(path)
    keys: dict[str, int] = {}
    for i in _images_below(source, below, path):
        name = source.entries[i].name.removeprefix(below).rsplit(".", 1)[0]
        if name in keys:
            raise ValueError(f"{path} holds two images of the name {name}: leave one of them there.")
        keys[name] = i
    return WholeImages(Path(path).stem, lambda i: read_whole(source, i), keys)


def read_whole(source: Source, index: int) -> Tensor:
    """File ``index`` of ``source`` as it is: uint8 [1, C, H, W].

    Raises:
        ValueError: it gives no image, and why.
    """
    max_pixels = 2**26
    try:
        with quiet_pillow():
            pixels = decode_whole(source.read(index, most_bytes(max_pixels)), max_pixels)
    except BadImageError as error:
        name = source.path / source.entries[index].name
        raise ValueError(f"{name} gives no image ({error}): restore it.") from error
    return channels_first(pixels[None])


# --- arrays -------------------------------------------------------------------------------------------------


def _array(path: Path) -> Tensor:
    array = _read(path)
    name = f"array of {path.name}"
    if array.ndim == 3:
        array = array[:, None]
    elif array.ndim == 4 and array.shape[1] not in (1, 3) and array.shape[3] in (1, 3):
        array = array.permute(0, 3, 1, 2)
    if array.ndim != 4 or array.shape[1] not in (1, 3) or not array.numel():
        raise ValueError(
            f"The {name} is of shape {list(array.shape)}: give [N, H, W], [N, H, W, C] or [N, C, H, W] with 1 or 3"
            " channels, without alpha."
        )
    if array.dtype != torch.uint8:
        check_unit(array, name)
        array = to_uint8(array, (0.0, 1.0))
    return array.contiguous()


def _read(path: Path) -> Tensor:
    try:
        if path.suffix in (".pt", ".pth"):
            content = torch.load(path, map_location="cpu", weights_only=True)
            if not isinstance(content, Tensor):
                raise ValueError(f"{path} holds a {type(content).__name__}: save one tensor of images.")
            return content
        content = np.load(path, allow_pickle=False)
        if isinstance(content, np.ndarray):
            return torch.from_numpy(content)
        with content:
            if len(content.files) != 1:
                raise ValueError(f"{path} holds {len(content.files)} arrays: save one array of images.")
            return torch.from_numpy(content[content.files[0]])
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError, TypeError) as error:
        raise ValueError(f"{path} cannot be read as an array ({error}): save it again.") from error

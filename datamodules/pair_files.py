"""Files that pairs are made of: images of folders, at several sizes, and what sets of them are called."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from datamodules.base import below
from datamodules.collection import read_whole
from datamodules.decode import decode_whole
from datamodules.functional.resize import bicubic_by
from datamodules.image_files import source_at
from datamodules.open_image import SUFFIXES
from datamodules.patches import Pair


def other_folders(setting: str) -> str:
    """What to do where a folder that data.init_args.``setting`` names is absent."""
    return f"set ATELIER_DATA or data.init_args.root to the folder above, or data.init_args.{setting} to others."


def read_images(
    root: Path,
    folders: Sequence[str],
    advice: str,
    decode: Callable[[bytes, int], np.ndarray] = decode_whole,
) -> list[Pair]:
    """The images of ``folders`` below ``root``, in order of their names, as pairs without a condition.

    Raises:
        FileNotFoundError: a folder is absent; ValueError: it holds no image, or one that cannot be read.
    """
    pairs: list[Pair] = []
    for folder in folders:
        source = source_at([below(root, folder)], advice)
        files = [i for i, entry in enumerate(source.entries) if entry.name.lower().endswith(SUFFIXES)]
        if not files:
            raise ValueError(f"{below(root, folder)} holds no images: put them there, or name other folders.")
        pairs += [Pair(source.entries[i].name, read_whole(source, i, decode), None) for i in files]
    return pairs


def shrunk(pairs: Sequence[Pair], factors: Sequence[float], least: int = 1) -> list[Pair]:
    """Every image at each of ``factors`` of its size, by MATLAB's bicubic: more scales to learn from.

    A size of less than ``least`` pixels is left out, but for an image's own.
    """
    return [
        pair if factor == 1 else pair._replace(x=bicubic_by(pair.x, factor))
        for pair in pairs
        for factor in factors
        if factor == 1 or min(pair.x.shape[2:]) * factor >= least
    ]


def checked_shares(shrink: Sequence[float]) -> tuple[float, ...]:
    """``shrink`` itself.

    Raises:
        ValueError: no size, or one that is no share.
    """
    wrong = [str(factor) for factor in shrink if not 0 < factor <= 1]
    if wrong or not shrink:
        shown = wrong[0] if wrong else "no size"
        raise ValueError(f"shrink has {shown}: set data.init_args.shrink to shares above 0 and up to 1.")
    return tuple(shrink)


def names_of(folders: Sequence[str], setting: str) -> list[str]:
    """The last part of each path, what its set is called; ``setting`` is where the paths stand.

    Raises:
        ValueError: there are none, or one twice.
    """
    names = [Path(folder).name for folder in folders]
    if not names or len(set(names)) < len(names):
        shown = ", ".join(names) or "none"
        raise ValueError(f"{setting} is {shown}: set data.init_args.{setting} to one or more, each another.")
    return names

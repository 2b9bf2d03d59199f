"""Every image file decoded once: into memory where the set fits there, else to know which files are whole.

Threads do it, since Pillow decodes and resizes outside Python's lock. For sets that stay on the disk the findings are
remembered in the cache folder under the names, sizes and times (in an archive, checksums) of all files, unless
something went wrong that lies not in them.
"""

import hashlib
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from datamodules.decode import Decoding
from datamodules.functional.files import cache_folder, replacing
from datamodules.open_image import BadImageError, PassingError, quiet_pillow
from datamodules.sources import Source

CHUNK = 32  # files a task of one thread
VERSION = 2  # of what is remembered: an earlier one is not read


@dataclass
class Findings:
    """What decoding found: numbers (in the source) of files that gave no image with the reason, and changes."""

    faults: dict[int, str] = field(default_factory=dict)
    changes: Counter[str] = field(default_factory=Counter)
    passing: bool = False  # whether one of the reasons may be gone the next time


def decode_into(pixels: np.ndarray | None, source: Source, files: Sequence[int], decode: Decoding) -> Findings:
    """Decode ``files`` in order; their pixels go to the rows of ``pixels`` (uint8 [n, H, W] or [n, H, W, 3])."""
    findings = Findings()
    for row, number in enumerate(files):
        try:
            image, changes = decode(source.read(number, decode.max_bytes))
        except BadImageError as error:
            findings.faults[number] = str(error)
            findings.passing |= isinstance(error, PassingError)
            continue
        findings.changes.update(changes)
        if pixels is not None:
            pixels[row] = image
    return findings


def decode_all(
    source: Source, files: Sequence[int], decode: Decoding, threads: int, keep: bool
) -> tuple[Tensor | None, Findings]:
    """Decode ``files`` with ``threads`` threads, saying now and then how far it is.

    Returns:
        The images that came out, uint8 [n, C, H, W] in the order of ``files``, or None unless ``keep``; the findings.
    """
    side, colours = (decode.size, decode.size), (decode.channels,) if decode.channels == 3 else ()
    pixels = np.empty((len(files), *side, *colours), dtype=np.uint8) if keep else None
    findings, progress = Findings(), Progress(source.path.name, len(files))

    def one(start: int) -> Findings:
        part = None if pixels is None else pixels[start : start + CHUNK]
        return decode_into(part, source, files[start : start + CHUNK], decode)

    with quiet_pillow(), ThreadPoolExecutor(max(1, threads)) as pool:
        for start, found in zip(range(0, len(files), CHUNK), pool.map(one, range(0, len(files), CHUNK)), strict=True):
            findings.faults.update(found.faults)
            findings.changes.update(found.changes)
            findings.passing |= found.passing
            progress.show(start + CHUNK)
    progress.end()
    if pixels is None:
        return None, findings
    if findings.faults:
        pixels = pixels[[row for row, number in enumerate(files) if number not in findings.faults]]
    return channels_first(pixels), findings


def channels_first(pixels: np.ndarray) -> Tensor:
    """uint8 [n, H, W] or [n, H, W, 3] to [n, C, H, W], contiguous."""
    images = torch.from_numpy(pixels)
    return images[:, None] if images.ndim == 3 else images.permute(0, 3, 1, 2).contiguous()


def inspect(source: Source, files: Sequence[int], decode: Decoding, threads: int) -> Findings:
    """Decode ``files`` without keeping pixels, or remember what doing so found."""

    def compute() -> tuple[dict[str, Any], bool]:
        _, found = decode_all(source, files, decode, threads, keep=False)
        faults = {str(number): why for number, why in found.faults.items()}
        return {"faults": faults, "changes": found.changes}, not found.passing

    found = remembered("inspection", source, files, decode, compute)
    return Findings({int(number): why for number, why in found["faults"].items()}, Counter(found["changes"]))


def remembered(
    what: str,
    source: Source,
    files: Sequence[int],
    decode: Decoding,
    compute: Callable[[], tuple[dict[str, Any], bool]],
) -> dict[str, Any]:
    """Plain values that ``files``, ``decode`` and Pillow's version define: from the cache folder, else computed.

    Args:
        compute: to the values, and whether they may be remembered.
    """
    digest = hashlib.sha256(json.dumps([what, VERSION, PIL.__version__, asdict(decode)]).encode())
    for number in files:
        digest.update(repr(source.entries[number]).encode())
    path = remembered_at() / f"{digest.hexdigest()}.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        values, lasting = compute()
    if not lasting:
        return values
    try:
        with replacing(path) as file:
            file.write(json.dumps(values).encode())
    except OSError as error:
        say(f"{source.path.name}: what was found could not be kept ({error}), set ATELIER_CACHE to a folder")
    return values


def remembered_at() -> Path:
    """The folder of what is remembered of image files. It need not exist."""
    return cache_folder() / "images"


def forget() -> int:
    """Delete what is remembered of image files, and say of how many sets it was."""
    found = [path for path in remembered_at().glob("*.json") if re.fullmatch("[0-9a-f]{64}", path.stem)]
    for path in found:
        path.unlink(missing_ok=True)
    return len(found)


class Progress:
    """Says how far a long work is, after two seconds and then now and then; on a terminal in one line.

    Args:
        name: of what is worked on.
        total: how many there are.
        done: what has been done to those that are behind.
    """

    def __init__(self, name: str, total: int, done: str = "files read") -> None:
        self.name, self.total, self.done = name, total, done
        self.interactive = sys.stdout.isatty()
        self._started = time.monotonic()
        self._next = self._started + 2
        self._shown = False

    def show(self, done: int) -> None:
        """Say that ``done`` are behind, if it is time."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next, self._shown = now + (0.5 if self.interactive else 15), True
        done = min(done, self.total)
        left = (now - self._started) * (self.total - done) / max(done, 1)
        text = f"{self.name}: {done:,} of {self.total:,} {self.done}, {left:.0f} s left"
        say(f"\r\x1b[2K{text}" if self.interactive else text, end="" if self.interactive else "\n")

    def end(self) -> None:
        """Leave the terminal's line."""
        if self._shown and self.interactive:
            say("\r\x1b[2K", end="")


@rank_zero_only
def say(text: str, end: str = "\n") -> None:
    """Print ``text`` once, not once a rank."""
    print(text, end=end, flush=True)

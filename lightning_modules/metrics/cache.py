"""Remembered statistics: in memory, and on disk in ``ATELIER_CACHE`` (else ``~/.cache/atelier``).

A file is named by the hash of what defines its content, written whole or not at all, and computed again when it is
damaged. Nothing depends on the cache but time.
"""

import hashlib
import json
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from datamodules.functional.files import cache_folder, replacing
from lightning_modules.metrics.protocol import Plain, digest
from lightning_modules.metrics.ranks import everywhere, rank_and_world

Tensors = dict[str, Tensor]
_MEMORY: dict[str, Tensors] = {}
_NAME = re.compile("[0-9a-f]{64}")  # as `digest` gives them


def forget() -> None:
    """Drop what is remembered in memory."""
    _MEMORY.clear()


def remembered(what: dict[str, Plain], compute: Callable[[], Tensors], device: torch.device) -> Tensors:
    """The tensors that ``what`` defines, on the CPU: from memory, disk, or ``compute``.

    All ranks must call it. They compute together unless every one of them remembers, since ``compute`` is collective.
    """
    name = digest(what)
    path = cache_folder() / f"{name}.safetensors"
    found = _MEMORY.get(name) or _read(path)
    if not everywhere(found is not None, device):
        found = {key: value.cpu().contiguous() for key, value in compute().items()}
        if rank_and_world()[0] == 0:
            _write(path, found, what)
    assert found is not None
    _MEMORY[name] = found
    return found


class Entry(NamedTuple):
    """One file of the cache."""

    path: Path
    size: int  # bytes
    what: dict[str, Plain]  # what defines its content; empty where the file is damaged


def entries() -> list[Entry]:
    """What the disk remembers, the largest first. Files of other names in the folder are none of ours."""
    ours = [path for path in cache_folder().glob("*.safetensors") if _NAME.fullmatch(path.stem)]
    found = [Entry(path, path.stat().st_size, _what(path)) for path in ours]
    return sorted(found, key=lambda entry: -entry.size)


def clear() -> int:
    """Delete the statistics on the disk, and say how many there were."""
    forget()
    found = entries()
    for entry in found:
        entry.path.unlink(missing_ok=True)
    return len(found)


def _what(path: Path) -> dict[str, Plain]:
    try:
        with safe_open(path, "pt") as file:
            return json.loads(file.metadata()["what"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return {}


def _read(path: Path) -> Tensors | None:
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return tensors if file.metadata()["sha256"] == _checksum(tensors) else None
    except (OSError, SafetensorError, KeyError, TypeError):
        return None


def _checksum(tensors: Tensors) -> str:
    hasher = hashlib.sha256()
    for name in sorted(tensors):
        hasher.update(name.encode())
        hasher.update(tensors[name].numpy().tobytes())
    return hasher.hexdigest()


def _write(path: Path, tensors: Tensors, what: dict[str, Plain]) -> None:
    metadata = {"what": json.dumps(what), "sha256": _checksum(tensors)}
    try:
        with replacing(path) as file:
            file.write(save(tensors, metadata))
    except OSError as error:
        warnings.warn(f"Statistics were not cached ({error}): set ATELIER_CACHE to a folder.", stacklevel=2)

"""Remembered statistics: in memory, and on disk in ``ATELIER_CACHE`` (else ``~/.cache/atelier``).

A file is named by the hash of what defines its content, written whole or not at all, and computed again when it is
damaged. Nothing depends on the cache but time.
"""

import hashlib
import json
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from datamodules.functional.files import cache_folder, replacing
from lightning_modules.metrics.protocol import Plain, digest
from lightning_modules.metrics.ranks import everywhere, rank_and_world

Tensors = dict[str, Tensor]
_MEMORY: dict[str, Tensors] = {}


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

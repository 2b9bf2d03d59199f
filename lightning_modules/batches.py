"""What both bases do with a batch: a NamedTuple, tuple or list of tensors with equal N."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def rebuild(batch: Any, parts: Sequence[Tensor]) -> Any:
    """``parts`` in the container of ``batch``: a NamedTuple, a tuple or a list."""
    return type(batch)(*parts) if isinstance(batch, tuple) and type(batch) is not tuple else type(batch)(parts)


def channels_last(batch: Sequence[Tensor]) -> Sequence[Tensor]:
    """``batch`` with its images [N, C, H, W] in channels-last memory format."""
    return rebuild(batch, [t.contiguous(memory_format=torch.channels_last) if t.ndim == 4 else t for t in batch])

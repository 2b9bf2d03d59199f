"""Tensors of plain numbers, made once on each device: one that is made anew halts the device's stream to be copied."""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor


@lru_cache(maxsize=128)
@torch.inference_mode(mode=False)
def constant(values: tuple[Any, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    """A tensor of ``values``; not to be changed."""
    return torch.tensor(values, device=device, dtype=dtype)

"""Tensors of plain numbers, made once on each device: one that is made anew halts the device's stream to be copied."""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, TypeVarTuple

import torch
from torch import Tensor

Asked = TypeVarTuple("Asked")


def made_once(make: Callable[[*Asked], Tensor]) -> Callable[[*Asked], Tensor]:
    """``make``, whose last 64 tensors are kept; they are not to be changed, and are none of inference mode.

    What ``make`` gives while ``torch.export`` traces is the trace's own and has no numbers: it is not kept.
    """
    kept = lru_cache(maxsize=64)(torch.inference_mode(mode=False)(make))

    @wraps(make)
    def tensor(*asked: *Asked) -> Tensor:
        found = kept(*asked)
        if type(found) is not Tensor:
            kept.cache_clear()
        return found

    return tensor


@made_once
def constant(values: tuple[Any, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    """A tensor of ``values``."""
    return torch.tensor(values, device=device, dtype=dtype)

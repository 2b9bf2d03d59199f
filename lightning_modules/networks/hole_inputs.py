"""What networks that fill holes are given, and how it is checked."""

import torch
from torch import Tensor


def check_halvings(y: Tensor, count: int) -> None:
    """Raise ValueError where the sides of ``y`` [N, C, H, W] cannot be halved ``count`` times."""
    H, W = y.shape[2:]
    if H % 2**count or W % 2**count:
        raise ValueError(
            f"an image of {H}x{W} cannot be halved {count} times: give sides that are multiples of {2**count}, or a "
            "smaller depth"
        )


def masked_beside(y: Tensor, hole: Tensor) -> Tensor:
    """``y`` [N, C, H, W], 0 in the hole, and ``hole`` [N, 1, H, W] as 1 and 0 beside it: [N, C + 1, H, W]."""
    return torch.cat([y.masked_fill(hole, 0), hole.to(y.dtype)], 1)

"""What networks that fill holes are given."""

import torch
from torch import Tensor


def masked_beside(y: Tensor, hole: Tensor) -> Tensor:
    """``y`` [N, C, H, W], 0 in the hole, and ``hole`` [N, 1, H, W] as 1 and 0 beside it: [N, C + 1, H, W]."""
    return torch.cat([y.masked_fill(hole, 0), hole.to(y.dtype)], 1)

"""What a step's numbers are where several ranks took it."""

from collections.abc import Mapping

import torch
import torch.distributed as dist
from torch import Tensor


def means_over_ranks(row: Mapping[str, Tensor], device: torch.device) -> dict[str, float]:
    """The numbers of ``row``, scalars: each its mean over the ranks, which have the same names and all call it.

    They may lie anywhere; ranks tell one another on ``device``.
    """
    if not row or not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return {name: float(value) for name, value in row.items()}
    names = sorted(row)  # ranks need not have met them in one order
    values = torch.stack([row[name].detach().float().to(device) for name in names])
    dist.all_reduce(values)
    means = dict(zip(names, (values / dist.get_world_size()).tolist(), strict=True))
    return {name: means[name] for name in row}

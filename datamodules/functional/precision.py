"""Full precision inside of a mixed one, for numbers that others are compared with."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """No autocast and no TF32 inside: rounded features and images shift every score."""
    cudnn = torch.backends.cudnn
    with torch.autocast(device.type, enabled=False):
        if device.type != "cuda":
            yield
            return
        products = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
        try:
            with cudnn.flags(enabled=True, deterministic=cudnn.deterministic, allow_tf32=False):
                yield
        finally:
            torch.set_float32_matmul_precision(products)

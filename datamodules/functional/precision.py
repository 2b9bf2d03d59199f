"""Full precision inside of a mixed one, for numbers that others are compared with."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """No autocast and no TF32 inside: rounded features and images shift every score."""
    with torch.autocast(device.type, enabled=False):
        if device.type != "cuda":
            yield
            return
        with _full() if _is_set_by_place() else _highest():
            yield


def _is_set_by_place() -> bool:
    """Whether ``fp32_precision`` of torch 2.9 was used, after which torch refuses to read its older settings."""
    try:
        torch.get_float32_matmul_precision()
        _ = torch.backends.cudnn.allow_tf32
    except RuntimeError:
        return True
    return False


@contextmanager
def _full() -> Iterator[None]:
    places = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)  # type: ignore[attr-defined]
    before = [place.fp32_precision for place in places]
    try:
        for place in places:
            place.fp32_precision = "ieee"
        yield
    finally:
        for place, precision in zip(places, before, strict=True):
            place.fp32_precision = precision


@contextmanager
def _highest() -> Iterator[None]:
    cudnn, products = torch.backends.cudnn, torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with cudnn.flags(enabled=True, deterministic=cudnn.deterministic, allow_tf32=False):
            yield
    finally:
        torch.set_float32_matmul_precision(products)

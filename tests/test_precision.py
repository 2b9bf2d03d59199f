"""Full precision on a GPU: whichever way the user switched TF32 on, it is off inside, and as it was afterwards."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext

import pytest
import torch

from datamodules.functional.precision import full_precision

GPU = torch.device("cuda")
PLACES = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)


def by_place() -> None:
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]


def of_cudnn_by_place() -> None:
    torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]


SETTINGS: list[Callable[[], None]] = [
    lambda: torch.set_float32_matmul_precision("highest"),
    lambda: torch.set_float32_matmul_precision("high"),
    by_place,
    of_cudnn_by_place,
]


def stated() -> list[str]:
    return [place.fp32_precision for place in PLACES]  # type: ignore[attr-defined]


@pytest.fixture
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # there may be no GPU
    before = stated()
    yield
    torch.set_float32_matmul_precision("highest")
    for place, precision in zip(PLACES, before, strict=True):
        place.fp32_precision = precision  # type: ignore[attr-defined]


@pytest.mark.usefixtures(as_before.__name__)
@pytest.mark.parametrize("switch", SETTINGS, ids=["full", "old", "new", "new, of cuDNN alone"])
def test_tf32_is_off_inside_and_as_it_was_afterwards(switch: Callable[[], None]) -> None:
    switch()
    before = stated()
    for _ in range(2):
        with full_precision(GPU), full_precision(GPU):
            assert not set(stated()) & {"tf32", "bf16"}
        assert stated() == before
    with pytest.raises(ValueError, match="inside"), full_precision(GPU):
        raise ValueError("inside")
    assert stated() == before

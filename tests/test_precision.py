"""Full precision: whichever way the user switched TF32 on, it is off inside, and scores ask networks in it."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from noise_sets import SHAPE, noise, protocol
from test_vae_nll import vae
from torch import Tensor
from toys import mlps

from datamodules.digits import Digits
from datamodules.functional.precision import full_precision
from lightning_modules.base import AtelierModule
from lightning_modules.callbacks.likelihood import LogLikelihood
from lightning_modules.callbacks.scores import MeasuredScores
from lightning_modules.gan import GAN
from lightning_modules.metrics.evaluate import fakes
from lightning_modules.vae import VAE

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


class Asked(MeasuredScores):
    def measure(self, module: AtelierModule) -> dict[str, float]:
        return {"mixed": torch.is_autocast_enabled("cpu")}


def test_scores_ask_networks_in_full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def drawn(n: int) -> Tensor:
        seen.append(torch.is_autocast_enabled("cpu"))
        return noise(n)

    def infer(*_: Any) -> None:
        seen.append(torch.is_autocast_enabled("cpu"))
        raise KeyError

    monkeypatch.setattr(VAE, "infer", infer)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert list(fakes(drawn, protocol(100), SHAPE))
        assert Asked().score(GAN(*mlps()), "val") == {"val/mixed": False}
        with pytest.raises(KeyError):
            LogLikelihood().measure(vae(), Digits(size=8).reference("test"), [1])
    assert seen == [False, False]

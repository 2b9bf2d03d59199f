"""A set of noise, the protocol of scoring it, and extractors: what the laws of the evaluation share."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from datamodules.base import ImageSet
from lightning_modules.metrics import cache
from lightning_modules.metrics.base import EvaluationMetric, Features
from lightning_modules.metrics.evaluate import protocol_for
from lightning_modules.metrics.extractors import Identity
from lightning_modules.metrics.protocol import Protocol

SHAPE = (1, 2, 3)


class Counting(Identity):
    """Counts the images it looks at."""

    seen = 0

    def extract(self, image: Tensor) -> Features:
        self.seen += len(image)
        return super().extract(image)


def noise(n: int) -> Tensor:
    return torch.randint(0, 200, (n, *SHAPE)).byte()


def pictures(n: int, split: str = "train", seed: int = 1) -> ImageSet:
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return ImageSet("noise", split, noise(n), torch.zeros(n, dtype=torch.int64))


def flat(image: Tensor) -> Tensor:
    return image.flatten(1).double()


def protocol(count: int = 337, **changes: Any) -> Protocol:
    return replace(protocol_for(pictures(101), Identity(SHAPE, 6), fakes=count), **changes)


def protocol_of(metrics: list[EvaluationMetric]) -> Protocol:
    return protocol_for(pictures(101), Identity(SHAPE, 6), fakes=337, metrics=metrics)


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("ATELIER_CACHE", str(tmp_path / "cache"))
    cache.forget()
    yield tmp_path / "cache"
    cache.forget()

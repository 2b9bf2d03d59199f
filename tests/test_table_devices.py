"""Cells that run side by side on a machine of several GPUs have one each."""

from pathlib import Path
from typing import Any

import pytest
import torch

from experiments import table_executors
from experiments.table_executors import LocalExecutor
from experiments.table_jobs import Going, Place


class Process:
    ended: int | None = None

    def poll(self) -> int | None:
        return self.ended


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """The GPU that each process began with."""
    found: list[str | None] = []

    def begin(cell: Any, place: Place, environment: dict[str, str]) -> Going:
        found.append(environment.get("CUDA_VISIBLE_DEVICES"))
        return Going(cell, place, 0, Process())  # type: ignore[arg-type]

    monkeypatch.setattr(table_executors, "begin", begin)
    return found


def executor(jobs: int) -> LocalExecutor:
    return LocalExecutor(Place(Path("results"), Path("runs")), jobs)


def test_each_has_the_gpu_with_the_fewest_cells(given: list[str | None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-5")
    on = executor(3)
    going = [on.submit(None) for _ in range(3)]  # type: ignore[arg-type]
    assert given == ["3", "GPU-5", "3"]
    going[1].process.ended = 0  # type: ignore[union-attr]
    on.submit(None)  # type: ignore[arg-type]
    assert given[3] == "GPU-5"


@pytest.mark.parametrize(("jobs", "gpus", "wanted"), [(2, 4, ["0", "1"]), (1, 4, [None] * 2), (2, 1, [None] * 2)])
def test_they_are_counted(
    jobs: int, gpus: int, wanted: list[str | None], given: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    on = executor(jobs)
    for _ in wanted:
        on.submit(None)  # type: ignore[arg-type]
    assert given == wanted

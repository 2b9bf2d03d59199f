"""The law of `atelier table --run`: kills lose no finished cell, count none twice and cost no more than a checkpoint.

Its trainings are real ones; slurm's place is taken by submitit's own local executor.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from command_line import TINY, place

from experiments import table_run
from experiments.cli import main
from experiments.runs import goes_on
from experiments.table_executors import SubmititExecutor
from experiments.table_jobs import Place, tail

STEPS, EVERY, SEEDS = 240, 30, (0, 1)
TABLE = f"""
title: Kills
seeds: {list(SEEDS)}
columns: [{{score: fid@digits-cnn, title: FID, better: lower, digits: 4}}]
rows:
  - experiment: scored.yaml
    overrides: {{clock.g_steps: {STEPS}, clock.validations: 3, checkpoint.every_steps: {EVERY}}}
"""
EVALUATION = "evaluation: {extractor: digits-cnn, fakes: 100}\nsamples: null"
SCORED = TINY.replace("size: 8,", "size: 32,").replace("evaluation: null", EVALUATION)
COMMAND = ["table", "kills.yaml", "--run", "--jobs", "2"]
LONGEST = 600  # seconds that a cell may take on a busy machine


@pytest.fixture(autouse=True)
def here(request, monkeypatch):
    """A table of two short trainings, in a directory of its own."""
    request.getfixturevalue(place.__name__)
    monkeypatch.setenv("ATELIER_CACHE", "cache")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    Path("scored.yaml").write_text(SCORED)
    Path("kills.yaml").write_text(TABLE)


def rows(run: Path) -> list[int]:
    """Steps as they were logged, those of earlier segments too."""
    lines = (run / "metrics.jsonl").read_text().splitlines() if (run / "metrics.jsonl").exists() else []
    found = []
    for line in lines:
        try:
            found.append(json.loads(line))
        except ValueError:  # cut by a kill
            continue
    return [row["step"] for row in found if any(name.startswith("train/") or "/" not in name for name in row)]


def saved(run: Path) -> int:
    last = run / "checkpoints" / "last.ckpt"
    return torch.load(last, weights_only=True)["global_step"] if last.exists() else 0


def directories() -> list[Path]:
    return sorted(file.parent for file in Path("runs").rglob("command.txt"))


def finished() -> dict[Path, bytes]:
    """The cells that are done, by run directory."""
    records = {run: (run / "record.json").read_bytes() for run in directories() if (run / "record.json").exists()}
    return {run: text for run, text in records.items() if json.loads(text)["status"] == "finished"}


def killed_after(seconds: float, steps: int) -> None:
    """The command, with a kill of all its processes ``seconds`` after ``steps`` more were logged."""
    process = subprocess.Popen([sys.executable, "-m", "experiments", *COMMAND], start_new_session=True)
    wanted = sum(len(rows(run)) for run in directories()) + steps
    limit = time.monotonic() + LONGEST
    while sum(len(rows(run)) for run in directories()) < wanted and process.poll() is None:
        assert time.monotonic() < limit
        time.sleep(0.01)
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    while any(map(goes_on, directories())):  # its children end when the system has come to them
        assert time.monotonic() < limit
        time.sleep(0.01)


@pytest.mark.parametrize("kills", [3, pytest.param(10, marks=pytest.mark.slow)])
def test_kills_lose_no_cell_and_count_none_twice(capfd, kills):
    moment = random.Random(kills)
    done: dict[Path, bytes] = {}
    steps = {}
    cut: set[Path] = set()
    for i in range(kills):  # every third at any moment of the start, the others while there is training
        killed_after(moment.uniform(0, 6), 0) if i % 3 == 1 else killed_after(moment.uniform(0, 0.3), EVERY + 10)
        now = finished()
        assert now.items() >= done.items(), "a finished cell is gone, or was written again"
        done = now
        for run in directories():
            assert saved(run) >= steps.get(run, 0)
            steps[run] = saved(run)
            assert max(rows(run), default=0) - saved(run) <= EVERY
        cut |= {run for run in directories() if saved(run) and run not in now}
    assert main(COMMAND) == 0
    said = capfd.readouterr()
    assert "duplicate" not in said.out
    assert " | 2 |" in said.out.splitlines()[-3]
    assert finished().items() >= done.items()
    assert sorted(json.loads(text)["seed"] for text in finished().values()) == list(SEEDS)
    assert all("--resume" in (run / "command.txt").read_text() for run in cut)
    for run in directories():
        went_back = [before - after for before, after in zip(rows(run), rows(run)[1:], strict=False)]
        assert max(went_back, default=0) <= EVERY, "more was lost than the steps since a checkpoint"
        assert (saved(run) == STEPS) == (run in finished())
        assert run in finished() or not saved(run), "a run that was saved was left for another"


def test_jobs_of_submitit_run_the_cells(capfd, monkeypatch):
    pytest.importorskip("submitit")
    Path("kills.yaml").write_text(TABLE.replace(f"g_steps: {STEPS}", "g_steps: 6").replace("[0, 1]", "[1]"))

    def local(request: object, where: Place) -> SubmititExecutor:
        return SubmititExecutor(where, gpus=0, hours=1, cluster="local")

    monkeypatch.setattr(table_run, "EXECUTORS", {"slurm": local})
    assert main([*COMMAND[:3], "--executor", "slurm"]) == 0
    assert "1 cell: 1 done now" in capfd.readouterr().err
    assert len(finished()) == 1
    assert main([*COMMAND[:3], "--executor", "slurm"]) == 0
    assert "1 cell: 1 done before" in capfd.readouterr().err
    assert all("run directory" in tail(log)[-1] for log in Path("runs/.table").glob("*.log"))

"""Laws of the run's record: its schema, what it must not tell, how a run ended."""

import json
import platform
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
from toys import Given, fit, mlps, trainer

from datamodules.digits import Digits
from experiments.table_results import result_of
from lightning_modules.callbacks import record as of_runs
from lightning_modules.callbacks import surroundings
from lightning_modules.callbacks.checkpoints import Checkpoints
from lightning_modules.callbacks.clock import Clock
from lightning_modules.callbacks.record import RunRecord
from lightning_modules.callbacks.samples import ImageGrid
from lightning_modules.ema import EMASettings
from lightning_modules.gan import GAN

KEYS = {
    "schema": {},
    "experiment": {},
    "key": {},
    "seed": {},
    "status": {},
    "started": {},
    "wall_seconds": {},
    "clock": {"d_step", "g_step", "kimg", "total_d_steps", "length"},
    "scores": {},
    "cost": {
        *("parameters", "sample_shape", "flops_per_sample", "images_per_second", "sampling_images_per_second"),
        *("peak_memory_mb", "checkpoint_mb"),
    },
    "code": {"commit", "dirty"},
    "versions": {"torch", "torchvision", "lightning", "torchmetrics", "lightning-atelier", "python"},
    "hardware": {"accelerator", "devices", "gpu", "cpu", "threads", "precision"},
}


def record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "record.json").read_text())


def strings(value: Any) -> Iterator[str]:
    """Every string in a nest, keys too."""
    if isinstance(value, dict):
        yield from (s for pair in value.items() for part in pair for s in strings(part))
    elif isinstance(value, list):
        yield from (s for part in value for s in strings(part))
    elif isinstance(value, str):
        yield value


def test_the_record_has_its_schema_and_tells_no_secrets(tmp_path: Path) -> None:
    scores, keeper = Given(3.0, 1.0, 2.0), Checkpoints(None, "val/score")
    module = GAN(*mlps(), n_critic=2, seed=5, ema=EMASettings(decay=0.5))
    fit(tmp_path, Clock(g_steps=3, validations=3), scores, ImageGrid(), keeper, RunRecord("gan/toy"), module=module)
    found = record(tmp_path)
    assert found.keys() == KEYS.keys()
    assert all(found[name].keys() == keys for name, keys in KEYS.items() if keys)
    assert [found[name] for name in ("schema", "experiment", "seed", "status")] == [1, "gan/toy", 5, "finished"]
    assert found["clock"] == {"d_step": 6, "g_step": 3, "kimg": 0.048, "total_d_steps": 6, "length": {"g_steps": 3}}
    (block,) = found["scores"]
    assert [row["metrics"]["score"] for row in block["history"]] == [3.0, 1.0, 2.0]
    assert [block[name]["d_step"] for name in ("first", "last", "best")] == [2, 6, 4]
    assert block["best"]["by"] == "score"
    assert found["cost"]["parameters"] == {  # the average is no network of its own
        "G": sum(p.numel() for p in module.G.parameters()),
        "D": sum(p.numel() for p in module.D.parameters()),
    }
    assert found["cost"]["checkpoint_mb"] > 0
    assert len(found["started"]) == 1
    home, host, user = str(Path.home()), platform.node(), Path.home().name
    for string in strings(found):
        assert not string.startswith(("/", "~")), string
        assert all(secret not in string for secret in (str(tmp_path), str(Path.cwd()), home + "/")), string
        assert string not in (host, user)


def test_the_record_says_how_a_run_ended(tmp_path: Path) -> None:
    class Look(L.Callback):
        def on_train_batch_start(self, trainer: L.Trainer, *args: Any) -> None:
            statuses.append(record(tmp_path)["status"])
            if trainer.global_step == 2 and len(statuses) == 3:
                raise RuntimeError("upset")

    statuses: list[str] = []
    run = (Clock(g_steps=4, validations=0), Checkpoints(every_steps=1), Look())
    with pytest.raises(RuntimeError, match="upset"):
        fit(tmp_path, RunRecord(), *run)
    first = record(tmp_path)
    assert first["status"] == "failed: RuntimeError"
    fit(tmp_path, RunRecord(), *run)
    second = record(tmp_path)
    assert statuses == ["running"] * 5
    assert second["status"] == "finished"
    assert len(second["started"]) == 2
    assert second["started"][0] == first["started"][0]
    assert second["clock"]["kimg"] == 0.032


def test_a_resumed_run_tells_what_ran_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for length, commit in ((2, "a"), (4, "b"), (6, "c")):
        monkeypatch.setattr(of_runs, "source_state", lambda commit=commit: {"commit": commit, "dirty": commit == "a"})
        writer = RunRecord()
        writer.key = commit.upper()
        fit(tmp_path, Clock(g_steps=length, validations=0), Checkpoints(), writer)
        found = record(tmp_path)
        assert (found["code"]["commit"], found["key"]) == (commit, commit.upper())
    assert [(one["key"], one["code"]["commit"]) for one in found["segments"]] == [("A", "a"), ("B", "b")]
    read = result_of(found, "", committed=False)
    assert (read.dirty, read.changed, read.device) == (True, True, read.device.split(" and ")[0])


def test_a_resumed_run_counts_all_its_time_and_its_speed_by_its_own_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Second(L.Callback):
        """A step takes one second, of a clock that nothing else moves."""

        def on_train_batch_start(self, *args: Any) -> None:
            clock.append(clock[-1] + 1.0)

    clock = [0.0]
    monkeypatch.setattr(of_runs, "time", SimpleNamespace(monotonic=lambda: clock[-1]))
    for length in (3, 5):
        fit(tmp_path, Clock(g_steps=length, validations=0), Checkpoints(), RunRecord(), Second())
        found = record(tmp_path)
        assert found["wall_seconds"] == length
        assert found["cost"]["images_per_second"] == 8.0  # a batch a step


def test_a_validation_by_itself_leaves_the_record_as_it_was(tmp_path: Path) -> None:
    module = fit(tmp_path, Clock(g_steps=2, validations=0), RunRecord("gan/toy"))
    before = (tmp_path / "record.json").read_bytes()
    trainer(tmp_path, RunRecord()).validate(module, datamodule=Digits(size=8, batch_size=8), verbose=False)
    assert (tmp_path / "record.json").read_bytes() == before


def test_the_commit_is_that_of_the_repository_that_tracks_the_code(tmp_path: Path) -> None:
    def git(*words: str) -> str:
        identity = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        return subprocess.run(
            ["git", "-C", tmp_path, *identity, *words], check=True, capture_output=True, text=True
        ).stdout.strip()

    inside = tmp_path / ".venv"
    inside.mkdir()
    code = inside / "surroundings.py"
    shutil.copy(surroundings.__file__, code)
    (tmp_path / ".gitignore").write_text(".venv\n")
    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "-m", "somebody else's")
    state = run_path(str(code))["source_state"]
    assert state() == {"commit": None, "dirty": None}
    git("add", "--force", str(code))
    git("commit", "--quiet", "-m", "ours")
    assert state() == {"commit": git("rev-parse", "HEAD"), "dirty": False}

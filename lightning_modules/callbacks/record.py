"""The run's record: what was run, on what, for how long, and what came out, as one JSON file."""

import json
import math
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import SIGTERMException

from datamodules.functional.files import replacing
from lightning_modules.base import AtelierModule
from lightning_modules.callbacks.checkpoints import Checkpoints
from lightning_modules.callbacks.clock import Clock
from lightning_modules.callbacks.cost import SampleMeter, cost
from lightning_modules.callbacks.loggers import RunLogger
from lightning_modules.callbacks.samples import ImageGrid
from lightning_modules.callbacks.scores import Scores
from lightning_modules.callbacks.surroundings import hardware, source_state, versions
from lightning_modules.contract import StatesItsFindings

SCHEMA = 1


class RunRecord(Callback):
    """Writes ``record.json`` when the run starts, at each validation and when it ends, however it ends.

    It holds no absolute path, host or user, so that it can be committed as a result.

    Args:
        experiment: name of the experiment, such as ``gan/dcgan_digits``.

    Attributes:
        key: hash of the settings that the scores hang on; None where nobody has said it.
    """

    def __init__(self, experiment: str = "") -> None:
        self.experiment = experiment
        self.key: str | None = None
        self.status = "running"
        self._earlier_seconds = 0.0  # of the segments before a resume
        self._earlier_starts: list[str] = []
        self._earlier_segments: list[dict[str, Any]] = []  # what ran them, and where
        self._segment: dict[str, Any] = {}
        self._start = 0.0
        self._started = ""
        self._images_at_start = 0
        self._summary: list[str] = []
        self._meter = SampleMeter()

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the stopwatch and write down what is known already."""
        self.begin(pl_module)
        self.write(trainer, pl_module)

    def begin(self, pl_module: L.LightningModule) -> None:
        """Start the stopwatch, and look at the code before anybody changes it."""
        self._start, self._started = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
        self._segment = {
            "key": self.key,
            "code": source_state(),
            "versions": versions(),
            "hardware": hardware(pl_module.trainer),
        }
        assert isinstance(pl_module, AtelierModule)
        self._images_at_start = pl_module.images_seen

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, *args: Any) -> None:
        """See what is trained on."""
        self._meter.see_training(batch)

    def on_validation_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, *args: Any
    ) -> None:
        """See what is looked at."""
        self._meter.see_validation(batch)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the scores so far, with what a sample costs."""
        if self._started and not trainer.sanity_checking:
            self.measure(trainer, pl_module)
            self.write(trainer, pl_module)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write how it ended."""
        self.status = "finished" if trainer.global_step >= trainer.max_steps else "stopped"
        self.measure(trainer, pl_module)
        self.write(trainer, pl_module)
        self._summary = summarise(trainer)

    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the stopwatch."""
        self.begin(pl_module)

    def on_test_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, *args: Any) -> None:
        """See what is looked at."""
        self._meter.see_validation(batch)

    def on_test_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the scores of a test that stands for itself."""
        self.status = "finished"
        self.measure(trainer, pl_module)
        self.write(trainer, pl_module)

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Write what ended it."""
        if self._started:
            stopped = isinstance(exception, KeyboardInterrupt | SIGTERMException)
            self.status = "stopped" if stopped else f"failed: {type(exception).__name__}"
            self.write(trainer, pl_module)

    @rank_zero_only
    def close(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write that a resumed run is finished: its last step was saved, and a kill came before the record said so."""
        assert isinstance(pl_module, AtelierModule)
        file = Path(trainer.default_root_dir) / "record.json"
        if not file.is_file():
            return
        stored: dict[str, Any] = json.loads(file.read_bytes())
        if stored["status"] == "finished" or trainer.global_step != stored["clock"]["total_d_steps"]:
            return
        blocks = [score_block(callback, best_of(trainer)) for callback in score_callbacks(trainer)]
        for block, found in zip(stored["scores"], blocks, strict=False):
            block |= {name: finite(value) for name, value in found.items() if name not in ("protocol", "floor")}
        stored |= {"status": "finished", "wall_seconds": max(stored["wall_seconds"], round(self._earlier_seconds, 1))}
        stored["clock"] |= pl_module.counters()
        write_json(stored, file)

    @rank_zero_only
    def measure(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """See once what a sample costs: no rank but the one that writes."""
        assert isinstance(pl_module, AtelierModule)
        self._meter.measure(pl_module)

    @rank_zero_only
    def write(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write ``record.json``, whole or not at all."""
        assert isinstance(pl_module, AtelierModule)
        content = finite(self.record(trainer, pl_module))
        write_json(content, Path(trainer.default_root_dir) / "record.json")
        for logger in trainer.loggers:
            if isinstance(logger, RunLogger):
                logger.keep(content)

    def record(self, trainer: L.Trainer, module: AtelierModule) -> dict[str, Any]:
        """The record of this moment, plain values only."""
        seconds = time.monotonic() - self._start
        images = module.images_seen - self._images_at_start  # none in a test
        speed = images / max(seconds, 1e-9) if images else None
        return {
            "schema": SCHEMA,
            "experiment": self.experiment,
            "key": self.key,
            "seed": module.seed,
            **names(Path(trainer.default_root_dir)),
            "status": self.status,
            "started": [*self._earlier_starts, self._started],
            "wall_seconds": round(self._earlier_seconds + seconds, 1),
            "clock": {**module.counters(), "total_d_steps": max(trainer.max_steps, 0), "length": length(trainer)},
            **findings(trainer),
            "scores": [score_block(callback, best_of(trainer)) for callback in score_callbacks(trainer)],
            "cost": cost(trainer, module, speed, self._meter.found),
            **{name: self._segment[name] for name in ("code", "versions", "hardware")},
            **({"segments": self._earlier_segments} if self._earlier_segments else {}),
        }

    def summary(self) -> list[str]:
        """What came out, for the end of a run: scores, where they started, and the least that real images reach."""
        return self._summary

    def state_dict(self) -> dict[str, Any]:
        """The time spent so far, and what ran when."""
        seconds = time.monotonic() - self._start if self._started else 0.0
        return {
            "seconds": self._earlier_seconds + seconds,
            "started": [*self._earlier_starts, self._started],
            "segments": [*self._earlier_segments, self._segment],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Count on from there."""
        self._earlier_seconds, self._earlier_starts = state_dict["seconds"], state_dict["started"]
        self._earlier_segments = state_dict.get("segments", [])  # of checkpoints that are older than it


def write_json(content: dict[str, Any], file: Path) -> None:
    """Write a record, whole or not at all."""
    with replacing(file) as target:
        target.write(json.dumps(content, indent=2, allow_nan=False).encode() + b"\n")


def names(folder: Path) -> dict[str, Any]:
    """What the run is called: its directory's name, and W&B's id of each of its segments; nothing of a mere test."""
    if not (folder / "config.yaml").is_file():
        return {}
    segments = sorted(folder.glob("wandb/*run-*-*"))
    return {"run": folder.name, "wandb": list(dict.fromkeys(path.name.rpartition("-")[2] for path in segments))}


def score_callbacks(trainer: L.Trainer) -> list[Scores]:
    """Those that measure."""
    return [callback for callback in trainer.callbacks if isinstance(callback, Scores)]  # type: ignore[attr-defined]


def finite(value: Any) -> Any:
    """Plain ``value`` with null for each number in it that is not finite, as PSNR of a perfect image: JSON has none."""
    if isinstance(value, dict):
        return {name: finite(part) for name, part in value.items()}
    if isinstance(value, list):
        return [finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def findings(trainer: L.Trainer) -> dict[str, Any]:
    """What the data module has to say of its files, as ``data``; nothing where it has none."""
    data = trainer.datamodule  # type: ignore[attr-defined]
    return {"data": data.findings} if isinstance(data, StatesItsFindings) else {}


def length(trainer: L.Trainer) -> dict[str, float]:
    """The length that was asked for, in its unit; nothing where there is no clock."""
    asked = {}
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, Clock):
            given = {"g_steps": callback.g_steps, "kimg": callback.kimg, "epochs": callback.epochs}
            asked = {unit: value for unit, value in given.items() if value is not None}
    return asked


def best_of(trainer: L.Trainer) -> tuple[str, int] | None:
    """The monitored score's name and the step of its best value."""
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, Checkpoints) and callback.monitor and callback.best is not None:
            return callback.monitor.removeprefix("val/"), callback.best_step
    return None


def summarise(trainer: L.Trainer) -> list[str]:
    """One line a score: its last value, the one before training, the floor; then the last picture."""
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    lines = []
    for callback in callbacks:
        if isinstance(callback, Scores) and callback.history:
            first, last = callback.history[0], callback.history[-1]
            for name, value in last["metrics"].items():
                begun = first["metrics"].get(name) if first["d_step"] == 0 else None
                before = "" if begun is None else f", {begun:.4g} before training"
                floor = f", floor {callback.floor_value[name]:.4g}" if callback.floor_value else ""
                lines.append(f"{name}: {value:.4g}{before}{floor}")
    pictures = [callback.last for callback in callbacks if isinstance(callback, ImageGrid) and callback.last]
    return lines + [f"pictures: {os.path.relpath(path)}" for path in pictures]


def score_block(callback: Scores, best: tuple[str, int] | None) -> dict[str, Any]:
    """First, last and best row of one callback's history, with all of it and how it was measured.

    What was measured otherwise before the run went on stands under ``earlier``.
    """
    block: dict[str, Any] = {"protocol": callback.described, "floor": callback.floor_value}
    if callback.history:
        block["first"], block["last"] = callback.history[0], callback.history[-1]
    if best is not None:
        chosen = [row for row in callback.history if row["d_step"] == best[1] and best[0] in row["metrics"]]
        block["best"] = {"by": best[0], **chosen[0]} if chosen else None
    earlier = {"earlier": callback.earlier} if callback.earlier else {}
    return {**block, "history": callback.history, **earlier}

"""Where a run's numbers go: an append-only metrics.jsonl, and Weights & Biases online only where a key is configured.

A logger of this file is told its run after all set-up has succeeded (``open``), so that a run which cannot start leaves
nothing behind, here or on a server. Lightning's CSVLogger deletes earlier rows on resume; these append.
"""

import importlib.util
import json
import math
import os
import time
from abc import ABC, abstractmethod
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any, Literal, TextIO

import numpy as np
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from lightning.pytorch.loggers.logger import DummyExperiment, rank_zero_experiment
from lightning.pytorch.utilities import rank_zero_only
from PIL import Image

from lightning_modules.callbacks.wandb_identity import remembered_id, wandb_key_configured
from lightning_modules.metrics.directions import better


@dataclass(frozen=True)
class Run:
    """What a logger is told of its run.

    Args:
        directory: the run's own.
        experiment: its experiment's name, such as "gan/dcgan_digits".
        config: the whole resolved configuration.
    """

    directory: Path
    experiment: str
    config: dict[str, Any]


class RunLogger(ABC):
    """A logger that writes into the run's directory."""

    @abstractmethod
    def open(self, run: Run) -> None:
        """Begin, or go on, to write into ``run``'s directory; called once, by rank 0."""

    def keep(self, record: Mapping[str, Any]) -> None:  # noqa: B027  # most have the file
        """Take the run's record as it stands; called by rank 0 whenever that is written."""

    def show(self, name: str, picture: Image.Image, kimg: float, step: int) -> None:  # noqa: B027  # most have the file
        """Take the ``picture`` of a panel as it is after ``kimg`` thousand images, at the trainer's ``step``."""

    def summary(self) -> list[str]:
        """What is to be said of it at the end of a run."""
        return []


class JsonlLogger(RunLogger, Logger):
    """One JSON object a row in metrics.jsonl: step, the metrics (kimg among them), time in seconds since 1970.

    A value that is not finite becomes null. Rows are only ever added: after a resume from an earlier step some steps
    stand twice, and the later row holds.
    """

    def __init__(self) -> None:
        super().__init__()
        self._file: TextIO | None = None

    @property
    def name(self) -> str:
        """The file's name."""
        return "metrics.jsonl"

    @property
    def version(self) -> int:
        """There is one."""
        return 0

    @rank_zero_only
    def open(self, run: Run) -> None:
        """Open the file for appending, past a row that a kill left half-written."""
        path = run.directory / self.name
        torn = path.exists() and path.stat().st_size > 0 and path.read_bytes()[-1:] != b"\n"
        self._file = path.open("a", encoding="utf-8")
        if torn:
            self._file.write("\n")

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Add one row."""
        if self._file is None:
            return
        row = {"step": step, **metrics, "time": round(time.time(), 3)}
        json.dump({name: _finite(value) for name, value in row.items()}, self._file)
        self._file.write("\n")
        self._file.flush()

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace) -> None:
        """Nothing: config.yaml holds them."""

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


class AtelierWandbLogger(RunLogger, WandbLogger):
    """Weights & Biases, with kimg as the x-axis and everything it stages inside the run's directory.

    Args:
        mode: "auto" is online where a key is configured and offline elsewhere; WANDB_MODE has the say over "auto".
        project: the W&B project.
        entity: the W&B team or user; None is the key's own.
        artifacts: give W&B the last and the best checkpoint, too.

    Raises:
        ValueError: wandb is not installed.
    """

    def __init__(
        self,
        mode: Literal["auto", "online", "offline"] = "auto",
        project: str = "atelier",
        entity: str | None = None,
        artifacts: bool = False,
    ) -> None:
        if importlib.util.find_spec("wandb") is None:
            raise ValueError("wandb is not installed: pip install wandb, or give --trainer.logger false")
        super().__init__(project=project, entity=entity, log_model=False)
        del self._wandb_init["anonymous"]  # W&B warns of the mere word
        self.mode, self.artifacts = mode, artifacts
        self._run: Run | None = None
        self._staged: Path | None = None  # where an offline run lies
        self._defined: set[str] = set()
        self._record: Mapping[str, Any] = {}

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """W&B's run; a mute one until ``open``, because Lightning asks for it before all set-up is done."""
        return DummyExperiment() if self._run is None else super().experiment

    @rank_zero_only
    def open(self, run: Run) -> None:
        """Start W&B's run: grouped by the experiment, tagged with its stem, named as the directory.

        Raises:
            ConnectionError: the server does not answer, or not to this key.
        """
        import wandb

        self._run = run
        self._save_dir = str(run.directory)
        os.environ.update({f"WANDB_{name}DIR": str(run.directory) for name in ("", "DATA_", "CACHE_")})
        online = self.chosen_mode() == "online"
        self._wandb_init |= {
            "mode": self.chosen_mode(),
            "dir": str(run.directory),
            "name": run.directory.name,
            "group": run.experiment,
            "job_type": "fit",
            "tags": [run.experiment.split("/")[0]],
            "config": run.config,
            "id": remembered_id(run.directory) if online else None,
            "resume": "allow" if online else None,
            "settings": wandb.Settings(silent=True, console="off", disable_git=True, disable_code=True),
        }
        try:
            self.experiment.define_metric("kimg")
        except wandb.errors.Error as error:
            raise ConnectionError(f"Weights & Biases does not answer ({error}): set WANDB_MODE=offline") from error
        self.experiment.define_metric("*", step_metric="kimg", step_sync=True)
        self._staged = Path(self.experiment.dir).parent if self.chosen_mode() == "offline" else None

    def chosen_mode(self) -> str:
        """ "online" or "offline" (or what WANDB_MODE says)."""
        if self.mode != "auto":
            return self.mode
        return os.environ.get("WANDB_MODE") or ("online" if wandb_key_configured() else "offline")

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace) -> None:
        """Nothing: the whole configuration went with ``open``."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """As the base does; W&B's summary has the best value of a score too, where it is known which side that is."""
        for name in metrics.keys() - self._defined:
            self._defined.add(name)
            side = better(name) if name.startswith("val/") else None
            if side is not None:
                best = {"lower": "min", "higher": "max"}[side]
                self.experiment.define_metric(name, step_metric="kimg", step_sync=True, summary=f"{best},last")
        super().log_metrics(metrics, step)

    @rank_zero_only
    def show(self, name: str, picture: Image.Image, kimg: float, step: int) -> None:
        """Log it at its own kimg: without one W&B gives it that of the last row."""
        import wandb

        if self._run is not None:
            self.experiment.log({name: [wandb.Image(picture)], "kimg": kimg, "trainer/global_step": step})

    @rank_zero_only
    def keep(self, record: Mapping[str, Any]) -> None:
        """Put it into W&B's summary, without the scores' history, which W&B has itself."""
        if self._run is not None:
            blocks = [{key: part for key, part in block.items() if key != "history"} for block in record["scores"]]
            self._record = {**record, "scores": blocks}
            self.experiment.summary["record"] = self._record

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Add the table of scores and the checkpoints, and end W&B's run: the next one of this process is another."""
        if self._run is not None:
            self._add_scores()
            self._add_checkpoints(self._run)
            self.experiment.finish(exit_code=0 if status == "success" else 1)
            self._run = self._experiment = None
            self._defined, self._record = set(), {}

    def summary(self) -> list[str]:
        """How an offline run is sent."""
        return [] if self._staged is None else [f"Weights & Biases: wandb sync {quote(os.path.relpath(self._staged))}"]

    def _add_scores(self) -> None:
        """A line for each score: first, best and last value, what real images score, by which protocol."""
        import wandb

        lines = []
        for block in self._record.get("scores", ()):
            moments = [(block.get(name) or {}).get("metrics", {}) for name in ("first", "best", "last")]
            floor, protocol = block.get("floor") or {}, json.dumps(block["protocol"], sort_keys=True)
            lines += [[name, *(m.get(name) for m in moments), floor.get(name), protocol] for name in moments[-1]]
        if lines:
            table = wandb.Table(columns=["score", "first", "best", "last", "floor", "protocol"], data=lines)
            self.experiment.log({"scores": table, "kimg": self._record["clock"]["kimg"]})

    def _add_checkpoints(self, run: Run) -> None:
        if not self.artifacts:
            return
        import wandb

        files = [run.directory / "checkpoints" / f"{name}.ckpt" for name in ("last", "best")]
        model = wandb.Artifact(f"{run.experiment.replace('/', '-')}-{run.directory.name}", type="model")
        for file in filter(Path.is_file, files):
            model.add_file(str(file))
        self.experiment.log_artifact(model)


class AtelierTensorBoardLogger(RunLogger, TensorBoardLogger):
    """TensorBoard's event files under ``tensorboard/`` in the run's directory.

    Raises:
        ValueError: tensorboard is not installed.
    """

    def __init__(self) -> None:
        if importlib.util.find_spec("tensorboard") is None:
            raise ValueError("tensorboard is not installed: pip install 'lightning-atelier[tensorboard]'")
        super().__init__(save_dir=".", name=None, version="tensorboard", default_hp_metric=False)
        self._run: Run | None = None

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """TensorBoard's writer; a mute one until ``open``."""
        return DummyExperiment() if self._run is None else super().experiment

    @rank_zero_only
    def open(self, run: Run) -> None:
        """Write below the run's directory from now on."""
        self._run, self._root_dir = run, str(run.directory)

    @rank_zero_only
    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: config.yaml holds them."""

    @rank_zero_only
    def show(self, name: str, picture: Image.Image, kimg: float, step: int) -> None:
        """Add it at the trainer's step, as all of TensorBoard's numbers are."""
        self.experiment.add_image(name, np.asarray(picture.convert("RGB")), step, dataformats="HWC")

    @rank_zero_only
    def save(self) -> None:
        """Flush the writer, where there is one."""
        if self._run is not None:
            self.experiment.flush()


def _finite(value: Any) -> Any:
    return value if not isinstance(value, float) or math.isfinite(value) else None

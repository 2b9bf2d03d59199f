"""What callbacks that measure have in common: a history of scores for the record, kept in the checkpoint too."""

import time
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import lightning as L
from lightning.pytorch.callbacks import Callback

from datamodules.functional.precision import full_precision
from lightning_modules.base import AtelierModule
from lightning_modules.contract import GivesReference

MIXED = "-mixed"  # ends the names of precisions whose weights are full, in which scores are measured
FULL = ("32-true", "64-true")
Row = dict[str, Any]  # plain values only: it goes into checkpoints and records


class Scores(Callback):
    """Keeps what was measured, and when.

    Attributes:
        history: one row a measurement: d_step, g_step, kimg, seconds of training so far, and the metrics.
        floor_value: scores of real images, the least that can be reached; None where there is none.
        checkpoint: what is evaluated, for the protocol.
        earlier: of a run that went on with scores measured otherwise, what was measured before: protocol and history.
        forgotten: names of scores in those, of which the history here has none of before.
    """

    def __init__(self) -> None:
        self.checkpoint: str | None = "last"
        self.history: list[Row] = []
        self.floor_value: dict[str, float] | None = None
        self.earlier: list[dict[str, Any]] = []
        self.forgotten: set[str] = set()
        self._described_before: dict[str, Any] | None = None  # by the checkpoint that this run goes on from
        self._started = time.monotonic()
        self._seconds_before = 0.0

    @property
    def described(self) -> dict[str, Any]:
        """How the scores are measured, as plain values."""
        return {}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Count the seconds from here, and take no score along that is measured otherwise from here on."""
        self._started = time.monotonic()
        if self._described_before is not None:
            self._put_away(self._described_before)
            self._described_before = None

    def alike(self, score: str, before: Mapping[str, Any]) -> bool:
        """Whether ``score`` is measured now as it was when ``before`` described it, as far as both say."""
        now = self.described
        return precision_of(now) == precision_of(before) and all(
            now[k] == before[k] for k in now.keys() & before.keys()
        )

    def _put_away(self, before: dict[str, Any]) -> None:
        names = {name for row in self.history for name in row["metrics"]}
        self.forgotten = {name for name in names if not self.alike(name, before)}
        if not self.forgotten:
            return
        self.earlier = [*self.earlier, {"protocol": before, "history": self.history}]
        kept = [(row, {k: v for k, v in row["metrics"].items() if k not in self.forgotten}) for row in self.history]
        self.history = [{**row, "metrics": metrics} for row, metrics in kept if metrics]

    def keep(self, module: AtelierModule, metrics: dict[str, float]) -> None:
        """Add ``metrics`` of this moment to the history."""
        self.history.append({**module.counters(), "seconds": round(self._seconds(), 3), "metrics": metrics})

    def _seconds(self) -> float:
        return self._seconds_before + time.monotonic() - self._started

    def state_dict(self) -> dict[str, Any]:
        """History, description, floor and stopwatch as plain values."""
        return {
            "history": [dict(row) for row in self.history],
            "protocol": self.described,
            "earlier": self.earlier,
            "floor": self.floor_value,
            "seconds": self._seconds(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the history and the stopwatch. Protocol and floor are this run's own, they may have changed."""
        self.history = [dict(row) for row in state_dict["history"]]
        self.earlier = state_dict.get("earlier", [])  # of checkpoints that are older than it
        self._described_before = state_dict["protocol"]
        self._seconds_before = state_dict["seconds"]


def data_of(trainer: L.Trainer, split: str) -> dict[str, Any]:
    """Whose ``split`` the trainer's data is, as a field of a protocol: number and hash of its images by its name."""
    data: object = trainer.datamodule  # type: ignore[attr-defined]
    if not isinstance(data, GivesReference):
        return {}
    images = data.reference(split)
    return {"data": {images.name: {"images": len(images), "sha256": images.sha256}}}


def rounding(trainer: L.Trainer) -> dict[str, str]:
    """The precision that networks are evaluated in, where it is not full as of weights in half, as a field of a
    protocol."""
    precision = str(trainer.precision)
    return {} if precision in FULL or precision.endswith(MIXED) else {"precision": precision}


def precision_of(protocol: Mapping[str, Any]) -> Any:
    """The precision that ``protocol`` names: where it names none it was full."""
    return protocol.get("precision", "full")


def forgotten(trainer: L.Trainer) -> set[str]:
    """Names (``val/...``) of all scores that are measured otherwise since this run went on; known once it has begun."""
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    return {f"val/{name}" for scores in callbacks if isinstance(scores, Scores) for name in scores.forgotten}


class MeasuredScores(Scores):
    """Scores that a family is asked for by itself, once a validation and once a test.

    Attributes:
        untrained: whether they are asked for before training too, once in the life of a run.
    """

    untrained: ClassVar[bool] = False

    @abstractmethod
    def measure(self, module: AtelierModule) -> dict[str, float]:
        """The scores, by name, over all ranks, asked for in full precision; random streams are left as they were."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The base's; then score what is not trained yet, where that is asked."""
        super().on_train_start(trainer, pl_module)
        assert isinstance(pl_module, AtelierModule)
        if self.untrained and trainer.global_step == 0 and not self.history:
            pl_module.write_row(self.score(pl_module, "val"))

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Score, and log it as ``val/...``."""
        if not trainer.sanity_checking:
            assert isinstance(pl_module, AtelierModule)
            pl_module.log_scores(self.score(pl_module, "val"))

    def on_test_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Score, and log it as ``test/...``."""
        assert isinstance(pl_module, AtelierModule)
        pl_module.log_scores(self.score(pl_module, "test"))

    def score(self, module: AtelierModule, prefix: str) -> dict[str, float]:
        """Measure and keep; the scores are named after ``prefix``."""
        with full_precision(module.device):
            scores = self.measure(module)
        self.keep(module, scores)
        return {f"{prefix}/{name}": value for name, value in scores.items()}

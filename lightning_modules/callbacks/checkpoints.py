"""Checkpoints that a killed process, a full disk or a diverged loss cannot spoil: ``last.ckpt`` and ``best.ckpt``."""

import signal
import threading
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.exceptions import SIGTERMException

from datamodules.functional.files import replacing
from lightning_modules.callbacks.scores import forgotten
from lightning_modules.metrics.directions import better


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place and renames it: the old one survives whatever goes wrong before that."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write ``checkpoint`` to ``path``, whole or not at all."""
        try:
            with replacing(path) as file:
                torch.save(checkpoint, file)
        except RuntimeError as error:  # torch's writer raises one of its own over a full disk's OSError
            raise error.__context__ if isinstance(error.__context__, OSError) else error from None


class Checkpoints(Checkpoint):
    """Saves ``checkpoints/last.ckpt`` every so often and ``checkpoints/best.ckpt`` by a score.

    Args:
        every_steps: steps between two saves of the last; it is saved at each validation and at the end in any case.
        monitor: name of the score that chooses the best; None keeps no best.
        higher_is_better: whether the score is to be high or low; unless given as is known of scores of this name (FID
            low, accuracy high), low where nothing is.

    Raises:
        ValueError: ``every_steps`` below 1, or ``higher_is_better`` against what is known of the score.
    """

    def __init__(
        self, every_steps: int | None = 1000, monitor: str | None = None, higher_is_better: bool | None = None
    ) -> None:
        if every_steps is not None and every_steps < 1:
            raise ValueError(f"checkpoint: every_steps must be 1 or more, got {every_steps}")
        side = better(monitor or "")
        if None not in (side, higher_is_better) and higher_is_better != (side == "higher"):
            raise ValueError(f"checkpoint: {monitor} is better the {side} it is: leave higher_is_better out")
        self.every_steps, self.monitor = every_steps, monitor
        self.higher_is_better = side == "higher" if higher_is_better is None else higher_is_better
        self.best: float | None = None
        self.best_step = 0
        self._saved_step = -1
        self.interrupted = False  # whether Ctrl-C asked this run to stop
        self._interrupt: Any = None  # what Ctrl-C did before this run

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Take Ctrl-C as a wish to stop: an exception between D's step and G's would leave nothing fit to resume.

        What a killed process had half-written is swept up first, and a best is forgotten that was measured otherwise.
        """
        if self.monitor in forgotten(trainer):
            self.best = None
        if trainer.is_global_zero:
            for leftover in self.path(trainer, "last").parent.glob(".*.ckpt.*.tmp"):
                leftover.unlink()
        if trainer.world_size == 1 and threading.current_thread() is threading.main_thread():
            self._interrupt = signal.signal(signal.SIGINT, lambda *_: self.stop(trainer))

    def stop(self, trainer: L.Trainer) -> None:
        """Stop after this step and its validation; a second Ctrl-C interrupts at once."""
        trainer.should_stop = self.interrupted = True
        self.restore_interrupt()
        print("\nstopping after this step; once more to leave at once", flush=True)

    def restore_interrupt(self) -> None:
        """Let Ctrl-C do what it did before."""
        if self._interrupt is not None:
            signal.signal(signal.SIGINT, self._interrupt)
            self._interrupt = None

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Save the last when the system asks the process to end: Lightning then raises between two steps.

        Where it raises between two batches of a validation, nothing is saved: a resume from there would lack its
        scores, one from before repeats it.
        """
        self.restore_interrupt()
        asked = isinstance(exception, SIGTERMException) and trainer.training
        if asked and self._saved_step != trainer.global_step:
            self.save_last(trainer)

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        """Save the last, unless a validation is due now, which saves it with its scores."""
        if trainer.val_check_batch == 1 and trainer.enable_validation:
            return
        due = self.every_steps and trainer.global_step % self.every_steps == 0
        if due or trainer.should_stop:  # a stop validates first, and whoever is impatient interrupts that
            self.save_last(trainer)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save the last, and the best if this is it."""
        if trainer.state.fn != TrainerFn.FITTING or trainer.sanity_checking:
            return
        improved = trainer.strategy.broadcast(self.improved(trainer))  # ranks may differ in the last bit
        if improved:  # first: a run killed in between comes here again
            trainer.save_checkpoint(self.path(trainer, "best"))
        self.save_last(trainer)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save the last."""
        self.restore_interrupt()
        if self._saved_step != trainer.global_step:
            self.save_last(trainer)

    def improved(self, trainer: L.Trainer) -> bool:
        """Whether the monitored score is the best so far; remembers it."""
        if self.monitor is None:
            return False
        if self.monitor not in trainer.callback_metrics:
            known = ", ".join(sorted(trainer.callback_metrics)) or "none"
            raise ValueError(f"checkpoint.monitor: there is no score {self.monitor}; the scores are: {known}")
        value = float(trainer.callback_metrics[self.monitor])
        worst = float("-inf") if self.higher_is_better else float("inf")
        best = worst if self.best is None else self.best
        better = value > best if self.higher_is_better else value < best  # never a value that is not a number
        if better:
            self.best, self.best_step = value, trainer.global_step
        return better

    def save_last(self, trainer: L.Trainer) -> None:
        """Write ``last.ckpt``."""
        trainer.save_checkpoint(self.path(trainer, "last"))
        self._saved_step = trainer.global_step

    @staticmethod
    def path(trainer: L.Trainer, name: str) -> Path:
        """Where the checkpoint ``name`` of this run lies."""
        return Path(trainer.default_root_dir) / "checkpoints" / f"{name}.ckpt"

    def state_dict(self) -> dict[str, Any]:
        """The best score so far, its step, and which score it is."""
        return {"best": self.best, "best_step": self.best_step, "monitor": self.monitor}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take them back, unless another score chooses from here on."""
        if state_dict.get("monitor", self.monitor) == self.monitor:
            self.best, self.best_step = state_dict["best"], state_dict["best_step"]

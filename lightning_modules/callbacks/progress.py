"""One line of progress: steps, images seen, losses, last scores, time left."""

import sys
import time
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_only

from lightning_modules.base import AtelierModule


def clock_time(seconds: float) -> str:
    """``seconds`` as m:ss or h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class ProgressLine(Callback):
    """Rewrites one line on a terminal, prints a line now and then elsewhere.

    Args:
        every_seconds: between two lines where the output is no terminal; on a terminal it is half a second.
    """

    def __init__(self, every_seconds: float = 15.0) -> None:
        self.every_seconds = every_seconds
        self.interactive = sys.stdout.isatty()
        self._shown = self._started = 0.0
        self._first_step = 0
        self._scores = ""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the stopwatch."""
        self._started = self._shown = time.monotonic()
        self._first_step = trainer.global_step

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any) -> None:
        """Show the line if it is time; only then are losses read from the device."""
        now = time.monotonic()
        due = now - self._shown >= (0.5 if self.interactive else self.every_seconds)
        if due or trainer.global_step == trainer.max_steps:
            self._shown = now
            self.show(self.line(trainer, pl_module, now))

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Say what takes the time."""
        if self.interactive and not trainer.sanity_checking:
            self.show(f"evaluating after {trainer.global_step} steps ...")

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Print the scores on a line that stays."""
        if trainer.sanity_checking or not trainer.callback_metrics:
            return
        scores = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
        texts = [f"{name[4:]} {value:.4g}" for name, value in scores.items()]
        self._scores = f"{texts[0]}  " if texts else ""
        self.show(f"step {trainer.global_step}: {'  '.join(texts)}", keep=True)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Leave the terminal's line."""
        if self.interactive:
            self.show("", keep=True)

    def line(self, trainer: L.Trainer, pl_module: L.LightningModule, now: float) -> str:
        """Steps, images, losses, rate and time left at ``now``."""
        assert isinstance(pl_module, AtelierModule)
        step, total = trainer.global_step, trainer.max_steps
        rate = (step - self._first_step) / max(now - self._started, 1e-9)
        losses = "  ".join(f"{name} {float(value):.3f}" for name, value in pl_module.row.items())
        left = clock_time((total - step) / rate) if rate else "?"
        kimg = pl_module.images_seen / 1000
        return f"step {step}/{total}  kimg {kimg:.1f}  {losses}  {self._scores}{rate:.1f} step/s  {left} left"

    @rank_zero_only
    def show(self, text: str, keep: bool = False) -> None:
        """Print ``text``; on a terminal over the line before unless that is to be kept."""
        if self.interactive:
            print(f"\r\x1b[2K{text}", end="\n" if keep else "", flush=True)
        else:
            print(text, flush=True)

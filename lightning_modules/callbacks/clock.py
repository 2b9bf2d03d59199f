"""The length of a run in one of three units, and when within it to validate."""

from math import ceil, inf
from typing import Any, Protocol, runtime_checkable

import lightning as L
from lightning.pytorch.callbacks import Callback

from lightning_modules.base import AtelierModule

NEVER = 2**63 - 1  # steps between validations; infinity would mean each end of a finite loader


@runtime_checkable
class CountsItsImages(Protocol):
    """What a data module tells the clock."""

    batch_size: int

    @property
    def images_per_epoch(self) -> int:
        """Images in the training split."""
        ...


class Clock(Callback):
    """Turns the experiment's length into the trainer's steps, which are D's steps.

    Args:
        g_steps: updates of the evaluated network.
        kimg: thousands of real images, over all ranks.
        epochs: passes over the training split.
        validations: how often to validate, evenly spaced, the last time after the last step; 0 for never.
    """

    def __init__(
        self,
        g_steps: int | None = None,
        kimg: float | None = None,
        epochs: float | None = None,
        validations: int = 10,
    ) -> None:
        given = {k: v for k, v in {"g_steps": g_steps, "kimg": kimg, "epochs": epochs}.items() if v is not None}
        if len(given) != 1:
            raise ValueError(f"clock: give exactly one of g_steps, kimg and epochs, got {', '.join(given) or 'none'}")
        for name, value in given.items():
            if not 0 < value < inf:
                raise ValueError(f"clock: {name} must be positive and finite, got {value}")
        if validations < 0:
            raise ValueError(f"clock: validations must not be negative, got {validations}")
        self.g_steps, self.kimg, self.epochs, self.validations = g_steps, kimg, epochs, validations
        self._done = (0, 0)  # steps and images of earlier segments of the run

    def total_steps(self, module: AtelierModule, data: object, world_size: int) -> int:
        """Training batches of the whole run; a last round of ``n_critic`` steps is completed.

        Steps that earlier segments did with another batch or number of ranks count with the images they saw.
        """
        if self.g_steps is not None:
            return module.batches_for(self.g_steps)
        if not isinstance(data, CountsItsImages):
            raise ValueError("clock: the data module does not count its images, give the length as clock.g_steps")
        steps, images = self._done
        wanted = 1000 * self.kimg if self.kimg is not None else (self.epochs or 0) * data.images_per_epoch
        total = steps + ceil(max(0.0, wanted - images) / (data.batch_size * world_size))
        return ceil(total / module.batches_for_round) * module.batches_for_round

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Set the trainer's length."""
        if stage == "fit":
            if not isinstance(pl_module, AtelierModule):
                raise ValueError(f"clock: {type(pl_module).__name__} is no AtelierModule, whose steps it counts")
            data = trainer.datamodule  # type: ignore[attr-defined]
            trainer.fit_loop.epoch_loop.max_steps = self.total_steps(pl_module, data, trainer.world_size)

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Count what the earlier segments did, then measure what is left."""
        self._done = (checkpoint["global_step"], checkpoint["counters"]["images_seen"])
        self.setup(trainer, pl_module, "fit")

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Validate when this callback says so, not on Lightning's own count."""
        trainer.val_check_batch = NEVER

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        """Let the trainer validate after this step if it is the next of the evenly spaced ones."""
        trainer.val_check_batch = 1 if self.validates(trainer.global_step, trainer.max_steps) else NEVER

    def validates(self, step: int, total: int) -> bool:
        """Whether step ``step`` (from 1) of ``total`` ends one of ``validations`` even parts of the run."""
        return step * self.validations // total > (step - 1) * self.validations // total

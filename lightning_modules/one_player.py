"""The one-player base: one optimizer, automatic optimisation, a named sum of terms."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam, Optimizer

from lightning_modules.base import AtelierModule, OptimizerCallable
from lightning_modules.batches import channels_last
from lightning_modules.scaling import refuse_to_clip
from lightning_modules.schedules import Schedule


class OnePlayerModule(AtelierModule):
    """Whatever is trained by the gradient of one sum of terms.

    Args:
        optimizer: of all trained networks' weights; Adam unless given.
        schedule: factor of the learning rate over the run.
        **shared: the arguments of ``AtelierModule``.
    """

    def __init__(
        self,
        *,
        optimizer: OptimizerCallable = lambda p: Adam(p, lr=1e-3),
        schedule: Schedule | None = None,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        self.optimizer, self.schedule = optimizer, schedule
        self._batch_images = 0  # images of the batch in progress

    @abstractmethod
    def terms(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Named scalar terms of the objective on one batch."""

    @property
    def schedules(self) -> list[Schedule | None]:
        """The one optimizer's."""
        return [self.schedule]

    def setup(self, stage: str) -> None:
        """As in the base; Lightning's own accumulation would stop the clock between two updates."""
        super().setup(stage)
        if stage == "fit" and self.trainer.accumulate_grad_batches != 1:
            raise ValueError("trainer.accumulate_grad_batches is not for this module: give data a larger batch_size")

    def on_fit_start(self) -> None:
        """As in the base; what clips must be given gradients free of a scale."""
        if self.trainer.gradient_clip_val:
            (optimizer,) = self.trained_optimizers()
            refuse_to_clip("trainer.gradient_clip_val", optimizer, "optimizer", self.trainer)
        super().on_fit_start()

    def configure_optimizers(self) -> list[Optimizer]:
        """The one optimizer."""
        weights = (weight for net in self.networks for weight in net.parameters())
        return self.remember_rates([self.optimizer(weights)])

    def training_step(self, batch: Sequence[Tensor], batch_idx: int) -> Tensor:
        """The sum of the terms; of an optimizer that asks several times in a step the last is logged."""
        batch = channels_last(batch) if self.uses_channels_last else batch
        terms = self.terms(*batch)
        self._first_look.check(terms, self, "terms")
        self.guard_terms(terms)
        self.row |= {f"train/{name}": value.detach() for name, value in terms.items()}
        self._batch_images = len(batch[0])
        return torch.stack(list(terms.values())).sum()

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Lightning's step, then what follows an update: before any callback can save."""
        super().optimizer_step(*args, **kwargs)
        self.count_images(self._batch_images)  # here, since an optimizer may ask for the terms several times in a step
        self.g_step += 1
        self.update_ema()

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Log the step here, where Lightning has counted it."""
        self.finish_step()

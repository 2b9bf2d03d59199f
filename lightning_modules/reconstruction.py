"""The one-player base: one network, a named sum of losses, one optimizer, automatic optimisation."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from lightning_modules.base import AtelierModule, OptimizerCallable
from lightning_modules.batches import channels_last
from lightning_modules.losses.reconstruction import ReconstructionLoss
from lightning_modules.networks.base import Network
from lightning_modules.schedules import Schedule


class ReconstructionModule(AtelierModule):
    """A network from the condition y (a damaged image, say) to the image x.

    Args:
        network: y -> x.
        losses: the terms of the objective, each of another name.
        optimizer: Adam unless given.
        schedule: factor of the learning rate over the run.
        **shared: the arguments of ``AtelierModule``.
    """

    value_range = (0.0, 1.0)

    def __init__(
        self,
        network: Network,
        losses: Sequence[ReconstructionLoss] = (),
        *,
        optimizer: OptimizerCallable = lambda p: Adam(p, lr=1e-3),
        schedule: Schedule | None = None,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        names = [loss.name for loss in losses]
        if len(set(names)) < len(names):
            raise ValueError(f"losses: each may stand once, got {', '.join(names)}")
        self.network, self.losses = network, list(losses)
        self.optimizer, self.schedule = optimizer, schedule
        self.average(network)

    @property
    def net(self) -> nn.Module:
        """The network."""
        return self.network

    @property
    def schedules(self) -> list[Schedule | None]:
        """The one optimizer's."""
        return [self.schedule]

    def setup(self, stage: str) -> None:
        """As in the base; Lightning's own accumulation would stop the clock between two updates."""
        super().setup(stage)
        if stage == "fit" and self.trainer.accumulate_grad_batches != 1:
            raise ValueError("trainer.accumulate_grad_batches is not for this module: give data a larger batch_size")

    def configure_optimizers(self) -> list[Optimizer]:
        """The one optimizer."""
        return self.remember_learning_rates([self.optimizer(self.network.parameters())])

    def inputs(self, x: Tensor, y: Tensor) -> tuple[Any, ...]:
        """What of a batch the network is given: the condition."""
        return (y,)

    def restore(self, batch: Sequence[Tensor]) -> Tensor:
        """The evaluated network's image of a batch (x, y), to be compared with x."""
        return self(*self.inputs(*batch))

    def terms(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Named scalar terms of the objective on one batch: each loss between the network's image and x."""
        prediction = self.network(*self.inputs(x, y))
        return {loss.name: loss(prediction, x) for loss in self.losses}

    def training_step(self, batch: Sequence[Tensor], batch_idx: int) -> Tensor:
        """The sum of the terms."""
        batch = channels_last(batch) if self.uses_channels_last else batch
        terms = self.terms(*batch)
        self.guard_terms(terms)
        self.note({f"train/{name}": value for name, value in terms.items()})
        self.count_images(len(batch[0]))
        return torch.stack(list(terms.values())).sum()

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Lightning's step, then what follows an update: before any callback can save."""
        super().optimizer_step(*args, **kwargs)
        self.g_step += 1
        self.update_ema()

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Log the step here, where Lightning has counted it."""
        self.finish_step()

    def predict_step(self, batch: Sequence[Tensor], batch_idx: int) -> Tensor:
        """The evaluated network's image of the condition."""
        return self.restore(batch)

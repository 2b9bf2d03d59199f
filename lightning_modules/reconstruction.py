"""Reconstruction: one network, trained by a named sum of losses between its image and the right one."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from lightning_modules.losses.reconstruction import ReconstructionLoss
from lightning_modules.networks.base import Network
from lightning_modules.one_player import OnePlayerModule


class ReconstructionModule(OnePlayerModule):
    """A network from the condition y (a damaged image, say) to the image x.

    Args:
        network: y -> x.
        losses: the terms of the objective, each of another name.
        **shared: the arguments of ``OnePlayerModule``.
    """

    value_range = (0.0, 1.0)

    def __init__(self, network: Network, losses: Sequence[ReconstructionLoss] = (), **shared: Any) -> None:
        super().__init__(**shared)
        names = [loss.name for loss in losses]
        if len(set(names)) < len(names):
            raise ValueError(f"losses: each may stand once, got {', '.join(names)}")
        self.network, self.losses = network, list(losses)
        self.average(network)

    @property
    def net(self) -> nn.Module:
        """The network."""
        return self.network

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

    def predict_step(self, batch: Sequence[Tensor], batch_idx: int) -> Tensor:
        """The evaluated network's image of the condition."""
        return self.restore(batch)

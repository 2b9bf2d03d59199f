"""Reconstruction: one network, trained by a named sum of losses between its image and the right one."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from lightning_modules.losses.reconstruction import ReconstructionLoss
from lightning_modules.networks.base import Network
from lightning_modules.one_player import OnePlayerModule
from lightning_modules.restoring import Reads, Restoring


class ReconstructionModule(Restoring, OnePlayerModule):
    """A network from the condition y (a damaged image, say) to the image x.

    Args:
        network: y -> x.
        losses: the terms of the objective, each of another name.
        margin: pixels at each side that the losses leave out, where a patch lacks what lies beyond it.
        colour: what y is for ``atelier restore``: three channels, BT.601 luma in 16/255 to 235/255, or full-range grey.
        **shared: the arguments of ``OnePlayerModule``.
    """

    def __init__(
        self,
        network: Network,
        losses: Sequence[ReconstructionLoss] = (),
        margin: int = 0,
        colour: Reads = "rgb",
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        self.compare_by(losses, margin)
        self.network = network
        self.colour = colour
        self.average(network)

    @property
    def net(self) -> nn.Module:
        """The network."""
        return self.network

    def terms(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Named scalar terms of the objective on one batch: each loss between the network's image and x."""
        return self.compare(self.network(*self.inputs(x, y)), x)

"""Zero-reference enhancement (Guo et al. 2020, Zero-DCE): a network learns from images alone what good light is.

No x is ever compared with an answer in training: the terms look at y, what became of it, and the curves that did it.
Pairs, where the data has them, are for scores. As in the paper the images to learn from are of all exposures, dark and
bright: with dark ones alone, what is bright already would be blown out.
"""

from collections.abc import Sequence
from typing import Any, Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn
from torch.optim import Adam

from lightning_modules.base import OptimizerCallable
from lightning_modules.losses.terms import require_once
from lightning_modules.losses.zero_dce import (
    ColourConstancy,
    Exposure,
    MapSmoothness,
    SpatialConsistency,
    ZeroReferenceLoss,
)
from lightning_modules.networks.base import Network
from lightning_modules.one_player import OnePlayerModule
from lightning_modules.restoring import Restoring


@runtime_checkable
class Explains(Protocol):
    """What the family asks of a network: the image and the maps that it was made by."""

    def explain(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """``y`` [N, 3, H, W] in [0, 1] to an image of that shape, and maps [N, M, H, W]."""
        ...


class ZeroReference(Restoring, OnePlayerModule):
    """A network under terms on its images and maps.

    Args:
        network: y -> x, one that explains itself, such as ``ZeroDCE``.
        zero_reference: the terms, each of another name; Zero-DCE's four unless given.
        bright: learn from the images x as well, as if they were to be enhanced, too.
        optimizer: of the network; in the paper gradients are clipped to 0.1 too (``trainer.gradient_clip_val``).
        **shared: the arguments of ``OnePlayerModule``.

    Raises:
        ValueError: a network without maps, or a term twice.
    """

    def __init__(
        self,
        network: Network,
        zero_reference: Sequence[ZeroReferenceLoss] | None = None,
        bright: bool = True,
        optimizer: OptimizerCallable = lambda p: Adam(p, lr=1e-4, weight_decay=1e-4),
        **shared: Any,
    ) -> None:
        super().__init__(optimizer=optimizer, **shared)
        if not isinstance(network, Explains):
            raise ValueError(
                f"{type(network).__name__} tells no maps by which it enhances: take a network that does, such as "
                "lightning_modules.networks.zero_dce.ZeroDCE"
            )
        self.zero_reference: list[ZeroReferenceLoss] = (
            [SpatialConsistency(), Exposure(), ColourConstancy(), MapSmoothness()]
            if zero_reference is None
            else list(zero_reference)
        )
        require_once("zero_reference", self.zero_reference)
        self.network, self.bright = network, bright
        self.average(network)

    @property
    def net(self) -> nn.Module:
        """The network."""
        return self.network

    def terms(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Each term on what becomes of ``y``, and of ``x``, [N, 3, H, W], which need not belong together."""
        y = torch.cat([y, x]) if self.bright else y
        image, maps = cast(Explains, self.network).explain(y)
        return {term.name: term(y, image, maps) for term in self.zero_reference}

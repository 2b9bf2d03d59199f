"""PSNR and SSIM of restored images against those they should be, at each validation and at a test.

A data module may have several sets of pairs, such as Set5 at three scales: each has its own scores, and its own shave
where that is the scale. A set's score is the mean of its images' own.
"""

import typing
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import lightning as L
from torch import Tensor

from datamodules.functional.quantise import ValueRange, to_uint8
from lightning_modules.base import AtelierModule
from lightning_modules.callbacks.scores import Scores
from lightning_modules.metrics.fidelity.detail import detail
from lightning_modules.metrics.fidelity.metrics import Fidelity
from lightning_modules.metrics.fidelity.pixelwise import psnr
from lightning_modules.metrics.fidelity.protocol import Colour, FidelityProtocol
from lightning_modules.metrics.fidelity.ssim import ssim
from lightning_modules.metrics.fidelity.unclipped import UnclippedPSNR
from lightning_modules.metrics.protocol import QUANTISATION

MEASURES = {"psnr": psnr, "ssim": ssim}
DETAIL = {"detail": detail}


@typing.runtime_checkable
class Restores(typing.Protocol):
    """What the callback asks of a family beside what all families have: its ``validation_step`` returns the image."""

    value_range: ValueRange

    def restore(self, batch: Sequence[Tensor]) -> Tensor:
        """Images [N, C, H, W] in ``value_range``, to be compared with ``batch[0]``."""
        ...


class NamedPairs(typing.Protocol):
    """What the callback asks of a set of pairs."""

    @property
    def name(self) -> str:
        """Of this set and no other, such as "Set5-x2"."""
        ...

    @property
    def scale(self) -> int:
        """How much larger the images are than what they are restored from; 1 where they are of one size."""
        ...

    @property
    def sha256(self) -> str:
        """Hash of the content."""
        ...

    def __len__(self) -> int: ...


@typing.runtime_checkable
class DataWithPairs(typing.Protocol):
    """What the callback asks of the datamodule."""

    def pairs(self) -> Sequence[NamedPairs]:
        """The sets of its validation and test dataloaders, in their order."""
        ...


@typing.runtime_checkable
class WithHole(typing.Protocol):
    """A batch that says which pixels were missing."""

    hole: Tensor


class FidelityScores(Scores):
    """Scores each set of pairs as ``<set>/psnr@<protocol>`` and ``<set>/ssim@<protocol>``.

    Where a batch has a part ``hole`` (bool [N, 1, H, W]), its pixels alone are scored too:
    ``<set>/psnr@<protocol>-hole``.

    Args:
        colour: what of the images is compared: see ``FidelityProtocol``.
        shave: pixels left out at each side, or "scale" for as many as the set's scale.
        unclipped: score the floats before they become bytes too, as ``<set>/psnr@<protocol>-unclipped``.
        detail: score the energy of fine detail beside that of the right image too, as ``<set>/detail@<protocol>``.

    Attributes:
        checkpoint: what a validation or test evaluates, for the protocol; set it before ``trainer.test``.

    Raises:
        ValueError: for a shave below 0, or luma of what is not clamped; in ``setup``, for a family that restores
            nothing or data without pairs.
    """

    def __init__(
        self,
        colour: Colour = "y8",
        shave: int | Literal["scale"] = "scale",
        unclipped: bool = False,
        detail: bool = False,
    ) -> None:
        super().__init__()
        self.measures = MEASURES | DETAIL if detail else MEASURES
        self.colour, self.shave, self.unclipped = colour, shave, unclipped
        refused_now = self._protocol(scale=1)  # and not in the first validation
        if unclipped:
            UnclippedPSNR(refused_now)
        self.metrics: list[Fidelity] = []
        self.floats: dict[int, UnclippedPSNR] = {}  # by the number of the set
        self.holes: dict[int, Fidelity] = {}  # by the number of the set
        self.sets: Sequence[NamedPairs] = ()
        self.weights: str | None = None
        self.checkpoint: str | None = "last"

    def _protocol(self, scale: int) -> FidelityProtocol:
        return FidelityProtocol(self.colour, scale if self.shave == "scale" else self.shave)

    @property
    def described(self) -> dict[str, Any]:
        """Colour, shave and quantisation, whose weights, and of each set the count and hash of its images."""
        return {
            "colour": self.colour,
            "shave": self.shave,
            "quantisation": f"{QUANTISATION}; none where unclipped" if self.unclipped else QUANTISATION,
            "weights": self.weights,
            "checkpoint": self.checkpoint,
            "data": {data.name: {"images": len(data), "sha256": data.sha256} for data in self.sets},
        }

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Compare module and data with what is to be measured, before training starts."""
        assert isinstance(pl_module, AtelierModule)
        data: object = trainer.datamodule  # type: ignore[attr-defined]
        if not isinstance(pl_module, Restores):
            raise ValueError(
                f"fidelity: scores images that are restored, not a {type(pl_module).__name__}; set it to null"
            )
        if not isinstance(data, DataWithPairs):
            raise ValueError(f"fidelity: {type(data).__name__} has no pairs to compare; set it to null")
        self.sets = data.pairs()
        self.weights = pl_module.weights_name if next(pl_module.parameters(), None) is not None else None

    def on_validation_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start counting."""
        protocols = [self._protocol(data.scale) for data in self.sets]
        self.metrics = [Fidelity(protocol, self.measures).to(pl_module.device) for protocol in protocols]
        unclipped = protocols if self.unclipped else []
        self.floats = {i: UnclippedPSNR(protocol).to(pl_module.device) for i, protocol in enumerate(unclipped)}
        self.holes = {}

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Sequence[Tensor],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Quantise the images that one batch of a set was restored to, and compare.

        Raises:
            FloatingPointError: for a pixel that is not finite, which no byte stands for.
        """
        assert isinstance(pl_module, Restores)
        prediction: Tensor = outputs
        if not prediction.isfinite().all():
            raise FloatingPointError(f"an image restored from {self.sets[dataloader_idx].name} holds a NaN or infinity")
        made, right = (to_uint8(image, pl_module.value_range) for image in (prediction, batch[0]))
        metric = self.metrics[dataloader_idx]
        metric.update(made, right)
        if self.unclipped:
            self.floats[dataloader_idx].update(prediction, batch[0], pl_module.value_range)
        if isinstance(batch, WithHole):
            inside = replace(metric.protocol, hole=True)
            self.holes.setdefault(dataloader_idx, Fidelity(inside, {"psnr": psnr}).to(pl_module.device))
            self.holes[dataloader_idx].update(made, right, batch.hole)

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Keep the scores and log them as ``val/...``."""
        if not trainer.sanity_checking:
            self.score(pl_module, "val")

    def score(self, module: L.LightningModule, prefix: str) -> None:
        """Keep and log the scores of all sets; the ranks' shares come together here."""
        assert isinstance(module, AtelierModule)
        scores = {
            f"{data.name}/{name}": value
            for data, metric in zip(self.sets, self.metrics, strict=True)
            for name, value in metric.as_floats().items()
        }
        for i, metric in [*self.floats.items(), *self.holes.items()]:
            scores |= {f"{self.sets[i].name}/{name}": value for name, value in metric.as_floats().items()}
        self.keep(module, scores)
        module.log_scores({f"{prefix}/{name}": value for name, value in scores.items()})

    on_test_epoch_start = on_validation_epoch_start
    on_test_batch_end = on_validation_batch_end

    def on_test_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Score."""
        self.score(pl_module, "test")

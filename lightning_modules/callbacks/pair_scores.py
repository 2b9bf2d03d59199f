"""Scores of sets of pairs, at each validation and at a test: what a data module says of them, and the round of a score.

A data module may have several sets of pairs, such as Set5 at three scales: each has its own scores.
"""

import typing
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, Protocol, TypeVar

import lightning as L
import torch
from torch import Tensor

from lightning_modules.base import AtelierModule
from lightning_modules.callbacks.scores import Scores, rounding
from lightning_modules.metrics.ranks import Refusal


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


class Scored(Protocol):
    """The scores of one set."""

    def as_floats(self) -> dict[str, float]:
        """By name, over all ranks."""
        ...


Kind = TypeVar("Kind", bound=Scored)


class PairScores(Scores, Generic[Kind]):
    """Scores named after their sets.

    Attributes:
        key: of the house, that asks for them.
        scored: by the name of the set.
        refusal: of an image that has no score; ``score`` raises it.
        sets: of the data module.
        weights: which of a network's are evaluated; None where it has none.
        rounding: the precision of the networks, where it is not full.
        limit: batches of each set, or their share, where the trainer was told not to look at all of them.
    """

    key: typing.ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.scored: dict[str, Kind] = {}
        self.refusal = Refusal()
        self.sets: Sequence[NamedPairs] = ()
        self.weights: str | None = None
        self.limit: int | float | None = None
        self.rounding: dict[str, str] = {}

    @property
    def data_described(self) -> dict[str, Any]:
        """Whose weights, of which checkpoint, and of each set the count and hash of its images, and which part."""
        part = {} if self.limit is None else {"limit": self.limit}
        return {
            "weights": self.weights,
            "checkpoint": self.checkpoint,
            **self.rounding,
            "data": {data.name: {"images": len(data), "sha256": data.sha256, **part} for data in self.sets},
        }

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Take the sets, before training starts.

        Raises:
            ValueError: the data has no pairs, or two sets of one name.
        """
        assert isinstance(pl_module, AtelierModule)
        data: object = trainer.datamodule  # type: ignore[attr-defined]
        if not isinstance(data, DataWithPairs):
            raise ValueError(f"{self.key}: {type(data).__name__} has no pairs to compare; set it to null")
        self.sets = data.pairs()
        self.rounding = rounding(trainer)
        names = [one.name for one in self.sets]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"{self.key}: two test sets are called {twice[0]}: rename the folder of one")
        limit = trainer.limit_test_batches if stage == "test" else trainer.limit_val_batches
        self.limit = limit if isinstance(limit, int) or limit < 1 else None
        self.weights = pl_module.weights_name if next(pl_module.parameters(), None) is not None else None

    @abstractmethod
    def fresh(self, data: NamedPairs, device: torch.device) -> Kind:
        """No scores yet of a set."""

    def finite(self, image: Tensor, data: NamedPairs) -> Tensor:
        """``image`` itself.

        Raises:
            FloatingPointError: for a pixel that is not finite, which no byte stands for.
        """
        if not image.isfinite().all():
            raise FloatingPointError(f"an image restored from {data.name} holds a NaN or infinity")
        return image

    def on_validation_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start counting."""
        self.scored = {data.name: self.fresh(data, pl_module.device) for data in self.sets}
        self.refusal = Refusal()

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Keep the scores and log them as ``val/...``."""
        if not trainer.sanity_checking:
            self.score(pl_module, "val")

    def agree(self, module: L.LightningModule) -> None:
        """Have the same to bring together on all ranks."""

    def score(self, module: L.LightningModule, prefix: str) -> None:
        """Keep and log the scores of all sets; the ranks' shares come together here.

        Raises:
            FloatingPointError, ValueError: on all ranks, for an image of any that has no score.
        """
        assert isinstance(module, AtelierModule)
        self.refusal.raise_on_all()
        self.agree(module)
        scores = {
            f"{data}/{name}": value
            for data, scored in self.scored.items()
            for name, value in scored.as_floats().items()
        }
        self.keep(module, scores)
        module.log_scores({f"{prefix}/{name}": value for name, value in scores.items()})

    def on_test_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start counting."""
        self.on_validation_epoch_start(trainer, pl_module)

    def on_test_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """As in a validation."""
        self.on_validation_batch_end(trainer, pl_module, outputs, batch, batch_idx, dataloader_idx)

    def on_test_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Score."""
        self.score(pl_module, "test")

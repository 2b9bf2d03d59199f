"""Accuracy, macro recall, F1 and the confusion matrix of a classifier over the validation split."""

from collections.abc import Mapping
from typing import Any

import lightning as L
import torch
from torchmetrics.classification import MulticlassConfusionMatrix

from lightning_modules.callbacks.pictures import show
from lightning_modules.callbacks.scores import Scores, data_of, rounding
from lightning_modules.classifier import Classifier
from lightning_modules.metrics.confusion import classification_scores, draw_confusion


class ClassificationScores(Scores):
    """Scores the logits of ``validation_step`` and writes ``samples/confusion-<images seen>.png``."""

    def __init__(self) -> None:
        super().__init__()
        self.images = 0
        self.rounding: dict[str, str] = {}
        self.data: dict[str, Any] = {}  # for the protocol; empty where it has no fixed order

    @property
    def described(self) -> dict[str, Any]:
        """The split, how many images of it, and whose: their number and hash by the data's name."""
        return {"split": "test", "images": self.images, **self.rounding, **self.data}

    def alike(self, score: str, before: Mapping[str, Any]) -> bool:
        """As in the base; how many images there are is known after the first validation alone."""
        return super().alike(score, {**before, "images": self.images})

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Make room for the counts."""
        if not isinstance(pl_module, Classifier):
            raise ValueError(f"classification: scores a classifier, not a {type(pl_module).__name__}; set it to null")
        self.confusion = MulticlassConfusionMatrix(pl_module.num_classes)
        self.rounding = rounding(trainer)
        self.data = data_of(trainer, "test")

    def on_validation_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start counting."""
        self.confusion = self.confusion.to(pl_module.device)
        self.confusion.reset()

    def on_validation_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, *args: Any
    ) -> None:
        """Count one batch; the ranks' shares are not padded and come together at the end."""
        self.confusion.update(outputs, batch[1])

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Score and draw."""
        if trainer.sanity_checking:
            return
        matrix = self.score(pl_module, "val")
        if trainer.is_global_zero:
            self.draw(trainer, pl_module, matrix)

    def score(self, module: L.LightningModule, prefix: str) -> torch.Tensor:
        """Keep and log the scores as ``prefix/...``; returns the confusion matrix [K, K]."""
        assert isinstance(module, Classifier)
        matrix = self.confusion.compute().cpu()
        self.images = int(matrix.sum())
        scores = classification_scores(matrix)
        self.keep(module, scores)
        module.log_scores({f"{prefix}/{name}": value for name, value in scores.items()})
        return matrix

    def draw(self, trainer: L.Trainer, module: L.LightningModule, matrix: torch.Tensor) -> None:
        """Write the picture of ``matrix``."""
        assert isinstance(module, Classifier)
        show(trainer, module, "confusion", draw_confusion(matrix, [str(i) for i in range(len(matrix))]))

    def on_test_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """As in validation."""
        self.on_validation_epoch_start(trainer, pl_module)

    def on_test_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, *args: Any
    ) -> None:
        """As in validation."""
        self.on_validation_batch_end(trainer, pl_module, outputs, batch)

    def on_test_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Score."""
        self.score(pl_module, "test")

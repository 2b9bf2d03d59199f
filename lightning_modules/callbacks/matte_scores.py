"""Errors of alpha mattes in the unknown band of their trimaps, at each validation and at a test."""

from collections.abc import Sequence
from typing import Any

import lightning as L
import torch
from torch import Tensor

from datamodules.functional.quantise import UNIT, to_uint8
from lightning_modules.callbacks.pair_scores import NamedPairs, PairScores
from lightning_modules.matting import MakesMattes
from lightning_modules.metrics.fidelity.matting import Matting
from lightning_modules.metrics.protocol import QUANTISATION


class MatteScores(PairScores[Matting]):
    """Scores each set of pictures as ``<set>/sad``, ``<set>/mse``, ``<set>/grad`` and ``<set>/conn``.

    As in the tables of Composition-1k: SAD, Grad and Conn in thousands of pixels, MSE a mean over the band; the mean of
    the pictures' own. Alpha becomes bytes first, as a file has it.

    Raises:
        ValueError: in ``setup``, for a family that finds no alpha, or data without pairs.
    """

    key = "mattes"

    @property
    def described(self) -> dict[str, Any]:
        """Quantisation, whose weights, and of each set the count and hash of its images."""
        return {"quantisation": QUANTISATION, **self.data_described}

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """The base's; and the family must find alpha."""
        if not isinstance(pl_module, MakesMattes):
            raise ValueError(f"mattes: a {type(pl_module).__name__} finds no alpha; set it to null")
        super().setup(trainer, pl_module, stage)

    def fresh(self, data: NamedPairs, device: torch.device) -> Matting:
        """As in the base."""
        return Matting().to(device)

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Sequence[Tensor],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Compare the alpha of one batch of a set with the right one."""
        data = self.sets[dataloader_idx]
        with self.refusal.noted():
            made = to_uint8(self.finite(outputs, data), UNIT)
            self.scored[data.name].update(made, to_uint8(batch[0], UNIT), to_uint8(batch[1][:, 3:], UNIT))

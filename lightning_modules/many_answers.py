"""Families of which one y has many answers x, because noise says which of them."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lightning_modules.restoring import PICTURES, Restoring

DRAWS = 3  # answers of a row of pictures, beside the one that is scored


class ManyAnswers(Restoring):
    """A family that draws answers."""

    @abstractmethod
    def draws(self, batch: Sequence[Tensor], n: int) -> Tensor:
        """``n`` images of each y of a batch (x, y), as the evaluated network makes them: [n, N, C, H, W]."""

    @torch.no_grad()
    def sample_restorations(self, y: Tensor, n: int, *parts: Tensor) -> Tensor:
        """``n`` restorations of each of ``y`` [N, C, H, W]: [n, N, C, H, W].

        Args:
            y: the conditions.
            n: how many of each.
            *parts: what else belongs to them, such as the hole.
        """
        return self.draws((y, y, *parts), n)

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """As in the base; in the pictures, draws of a stream of their own stand between the answer and x."""
        answer = super().validation_step(batch, batch_idx, dataloader_idx)
        if dataloader_idx == 0 and batch_idx < PICTURES:
            *front, x = self._shown[-1]
            with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
                drawn = self.sample_restorations(batch[1][:1], DRAWS, *(part[:1] for part in batch[2:])).float()
            self._shown = (*self._shown[:-1], (*front, *drawn, x))
        return answer

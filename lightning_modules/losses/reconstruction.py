"""Losses between a prediction and its target, [N, C, H, W] or any equal shapes; each returns a scalar."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import l1_loss, mse_loss


class ReconstructionLoss(ABC):
    """One named, weighted term of a sum."""

    name: ClassVar[str]

    def __init__(self, weight: float = 1.0) -> None:
        self.weight = weight

    @abstractmethod
    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The term, a scalar, weighted."""


class L1(ReconstructionLoss):
    """Mean absolute error."""

    name = "l1"

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """weight * mean |prediction - target|."""
        return self.weight * l1_loss(prediction, target)


class MSE(ReconstructionLoss):
    """Mean squared error."""

    name = "mse"

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """weight * mean (prediction - target)^2."""
        return self.weight * mse_loss(prediction, target)

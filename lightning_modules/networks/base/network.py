"""Any network, and those that tell classes apart."""

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn


class Network(nn.Module, ABC):
    """Any network that an experiment can name. A base type of our own keeps the command line's help short."""

    multiple: int = 1  # of which the sides of its images are multiples


class Classifier(Network):
    """x -> class logits [N, K]; ``features`` is the tap that scores are measured on."""

    dim: int
    num_classes: int
    trunk: nn.Sequential  # from the image to the last hidden layer
    init_args: dict[str, Any]  # what builds it again: they travel with shipped weights

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """The last hidden layer of ``x`` [N, C, H, W]: [N, dim]."""

    @abstractmethod
    def head(self, features: Tensor) -> Tensor:
        """Class logits [N, num_classes] of ``features`` [N, dim]."""

    def forward(self, x: Tensor) -> Tensor:
        """Class logits [N, num_classes] of ``x`` [N, C, H, W]."""
        return self.head(self.features(x))

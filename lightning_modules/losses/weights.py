"""Terms of an objective that look at a network's weights, not at its answers.

The squared norm has its place in the optimizer (``weight_decay``); what the optimizer cannot do is here.
"""

from abc import abstractmethod

import torch
from torch import Tensor, nn

from lightning_modules.losses.terms import WeightedTerm


class WeightTerm(WeightedTerm):
    """A term on a network's weights."""

    @abstractmethod
    def __call__(self, net: nn.Module) -> Tensor:
        """The term of ``net``, a scalar, weighted."""


class WeightL1(WeightTerm):
    """Sum of the magnitudes of all matrices and kernels; biases and normalisation's scales are left out."""

    name = "weight_l1"

    def __init__(self, weight: float = 1e-5) -> None:
        super().__init__(weight)

    def __call__(self, net: nn.Module) -> Tensor:
        """weight * sum |w|."""
        kernels = [parameter for parameter in net.parameters() if parameter.ndim > 1]
        return self.weight * torch.stack([kernel.abs().sum() for kernel in kernels]).sum()

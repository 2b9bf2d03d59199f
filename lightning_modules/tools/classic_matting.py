"""Matting without learning, by the library pymatting (optional): what learned alpha is held against.

They stand where a network stands, so that one command scores them like any other; they have no parameters, and work on
the CPU, one picture after the other.
"""

from abc import abstractmethod
from functools import cached_property
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from lightning_modules.networks.base import Network


class ClassicMatting(Network):
    """y -> alpha [N, 1, H, W] by a function of pymatting."""

    @cached_property
    def library(self) -> Any:
        """The library, read when it is needed first.

        Raises:
            ValueError: it is not installed.
        """
        try:
            return import_module("pymatting")
        except ImportError as error:
            name = type(self).__name__
            raise ValueError(f"{name} needs pymatting: pip install 'lightning-atelier[matting]'") from error

    @abstractmethod
    def estimate(self, picture: Any, trimap: Any) -> Any:
        """Alpha [H, W] of ``picture`` [H, W, 3] and ``trimap`` [H, W], arrays of float64 in [0, 1]."""

    def forward(self, y: Tensor) -> Tensor:
        """``y`` [N, 4, H, W] to alpha [N, 1, H, W]."""
        whole = y.permute(0, 2, 3, 1).double().cpu().contiguous().numpy()
        found = [torch.as_tensor(self.estimate(one[..., :3].copy(), one[..., 3].copy())) for one in whole]
        return torch.stack(found)[:, None].to(y)


class ClosedFormMatting(ClassicMatting):
    """Levin et al. 2008, "A closed-form solution to natural image matting": colours are lines in small windows."""

    def estimate(self, picture: Any, trimap: Any) -> Any:
        """As in the base."""
        return self.library.estimate_alpha_cf(picture, trimap)


class KNNMatting(ClassicMatting):
    """Chen et al. 2013, "KNN matting": pixels of like colour and place have like alpha."""

    def estimate(self, picture: Any, trimap: Any) -> Any:
        """As in the base."""
        return self.library.estimate_alpha_knn(picture, trimap)

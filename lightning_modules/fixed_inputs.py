"""What deep image prior's network is given at every step: drawn once, then kept (Ulyanov et al. 2018)."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor


class FixedInput(ABC):
    """z: what the network is given at every step."""

    @abstractmethod
    def draw(self, H: int, W: int) -> Tensor:
        """z [1, C, H, W]; what is random comes from the global stream."""


class UniformNoise(FixedInput):
    """Noise, uniform in [0, ``scale``).

    Args:
        channels: of the noise.
        scale: its upper end.
    """

    def __init__(self, channels: int = 32, scale: float = 0.1) -> None:
        self.channels, self.scale = channels, scale

    def draw(self, H: int, W: int) -> Tensor:
        """[1, channels, H, W]."""
        return self.scale * torch.rand(1, self.channels, H, W)


class Meshgrid(FixedInput):
    """Each pixel's place: across and down, from 0 to 1. Smooth inputs make smooth images: for large holes."""

    def draw(self, H: int, W: int) -> Tensor:
        """[1, 2, H, W]."""
        down, across = torch.meshgrid(torch.linspace(0, 1, H), torch.linspace(0, 1, W), indexing="ij")
        return torch.stack([across, down])[None]

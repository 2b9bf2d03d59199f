"""An image that is its own weights: what is optimised where no network makes it."""

import torch
from torch import Tensor, nn

from lightning_modules.networks.base import Network


class Pixels(Network):
    """One image in [0, 1], every value of which is a weight; it begins as grey noise.

    Args:
        size: (H, W) in px.
        channels: C.
        deviation: of the noise around 0.5.
    """

    def __init__(self, size: tuple[int, int], channels: int = 3, deviation: float = 0.1) -> None:
        super().__init__()
        self.image = nn.Parameter((0.5 + deviation * torch.randn(1, channels, *size)).clamp(0, 1))

    def forward(self) -> Tensor:
        """The image [1, C, H, W], not clamped."""
        return self.image

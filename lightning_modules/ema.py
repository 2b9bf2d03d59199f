"""Exponential moving average of a network's weights, as a half-life in images or a decay per update.

The half-life in images with its ramp-up follows StyleGAN2-ADA (Karras et al. 2020): decay = 0.5^(images / half-life).
The decay per update with a start follows BigGAN (Brock et al. 2019): until the start the copy equals the network.
"""

from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class EMASettings:
    """How fast the average forgets; exactly one of ``half_life_kimg`` and ``decay``.

    Args:
        half_life_kimg: thousands of images after which a weight's share has halved.
        decay: factor of the old average at each update.
        start: number of updates during which the copy equals the network.
        ramp_up: cap the half-life at this share of the images seen so far, so that the first ones do not linger.
    """

    half_life_kimg: float | None = None
    decay: float | None = None
    start: int = 0
    ramp_up: float | None = None

    def __post_init__(self) -> None:
        if (self.half_life_kimg is None) == (self.decay is None):
            raise ValueError("ema: give exactly one of half_life_kimg and decay")
        if self.decay is not None and not 0 <= self.decay < 1:
            raise ValueError(f"ema: decay must lie in [0, 1), got {self.decay}")
        if self.half_life_kimg is not None and self.half_life_kimg <= 0:
            raise ValueError(f"ema: half_life_kimg must be positive, got {self.half_life_kimg}")
        if self.ramp_up is not None and (self.half_life_kimg is None or self.ramp_up <= 0):
            raise ValueError("ema: ramp_up belongs to half_life_kimg and is positive")
        if self.start < 0:
            raise ValueError(f"ema: start must not be negative, got {self.start}")

    def factor(self, update: int, images: int, images_seen: int, share: float = 1.0) -> float:
        """Weight of the old average at the ``update``-th update (from 1), ``images`` after the last one.

        It is annealed to a ``share`` of the half-life; at 0 nothing of the old one is kept.
        """
        if update <= self.start:
            return 0.0
        if self.decay is not None:
            return self.decay
        assert self.half_life_kimg is not None
        half_life = 1000 * self.half_life_kimg * share
        if self.ramp_up is not None:
            half_life = min(half_life, self.ramp_up * images_seen)
        return 0.5 ** (images / half_life) if half_life else 0.0


class EMA(nn.Module):
    """A frozen copy of a network in evaluation mode: parameters averaged, buffers copied.

    Attributes:
        share: of the half-life, as far as it is annealed.
    """

    def __init__(self, net: nn.Module, settings: EMASettings) -> None:
        super().__init__()
        self.settings, self.share = settings, 1.0
        self.net = deepcopy(net).requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "EMA":
        """Stay in evaluation mode whatever the module around it does."""
        return super().train(False)

    @torch.no_grad()
    def update(self, net: nn.Module, update: int, images: int, images_seen: int) -> None:
        """Take ``net`` into the average; see ``EMASettings.factor`` for the counts."""
        share = 1.0 - self.settings.factor(update, images, images_seen, self.share)
        torch._foreach_lerp_(list(self.net.parameters()), list(net.parameters()), share)
        for average, buffer in zip(self.net.buffers(), net.buffers(), strict=True):
            average.copy_(buffer)

    @torch.no_grad()
    def copy_from(self, net: nn.Module) -> None:
        """Start again from ``net``."""
        self.net.load_state_dict(net.state_dict())

"""Fillings of holes that need no training: the floor that a learned one has to stand on."""

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from lightning_modules.networks.base import Filler


class MeanFill(Filler):
    """The hole in the mean colour of each image's known pixels; black where nothing is known. It has no parameters."""

    def forward(self, y: Tensor, hole: Tensor) -> Tensor:
        """``y`` [N, C, H, W] and ``hole`` [N, 1, H, W] to x [N, C, H, W]."""
        known = (~hole).to(y.dtype)
        mean = (y * known).sum((2, 3), keepdim=True) / known.sum((2, 3), keepdim=True).clamp(min=1)
        return torch.where(hole, mean, y)


class DiffusionFill(Filler):
    """The hole filled as heat spreads into it: each missing pixel becomes the mean of its four neighbours.

    Laplace's equation with the known pixels as its border and nothing flowing over the image's edge, by successive
    over-relaxation, the squares of a chessboard in turn (Young 1954), from ``MeanFill``. It has no parameters.

    Args:
        steps: of the relaxation, at most.
        tolerance: change of a step, in 0 to 1, below which it ends: a fiftieth of a grey level.
    """

    def __init__(self, steps: int = 1000, tolerance: float = 1e-4) -> None:
        super().__init__()
        if steps < 1:
            raise ValueError(f"steps is {steps}: give 1 or more")
        self.mean, self.steps, self.tolerance = MeanFill(), steps, tolerance

    def forward(self, y: Tensor, hole: Tensor) -> Tensor:
        """``y`` [N, C, H, W] and ``hole`` [N, 1, H, W] to x [N, C, H, W]."""
        x = self.mean(y.float(), hole)
        H, W = x.shape[2:]
        board = (torch.arange(H, device=x.device)[:, None] + torch.arange(W, device=x.device)) % 2 == 0
        factor = 2 / (1 + math.sin(math.pi / max(H, W)))  # the best for a square of that side
        squares = [factor * (hole & colour).to(x.dtype) for colour in (board, ~board)]
        for _ in range(self.steps):
            before = x
            for square in squares:
                around = pad(x, (1, 1, 1, 1), mode="replicate")
                above, below, left, right = (
                    around[..., :-2, 1:-1],
                    around[..., 2:, 1:-1],
                    around[..., 1:-1, :-2],
                    around[..., 1:-1, 2:],
                )
                mean = (above + below + left + right) / 4
                x = x + square * (mean - x)
            if (x - before).abs().amax() < self.tolerance:
                break
        return x.to(y.dtype)

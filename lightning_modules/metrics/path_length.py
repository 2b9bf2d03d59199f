"""Perceptual path length (Karras et al. 2019, section 4.1): how far features move over a small step between two images.

    PPL = E |f(G(at t + epsilon)) - f(G(at t))|^2 / epsilon^2

Of the steps' values those below the 1st and above the 99th percentile are left out, as in the published code. The
figure hangs on the network f and on how its distance is taken: such of different networks never compare.
"""

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

LOWEST, HIGHEST = 0.01, 0.99


class PathLengths(Metric):
    """The trimmed mean of a stream of squared slopes, over all ranks."""

    is_differentiable = False
    higher_is_better = False
    full_state_update = False
    slopes: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("slopes", [], dist_reduce_fx="cat")

    def update(self, start: Tensor, end: Tensor, epsilon: float) -> None:
        """Add features [N, ...] at both ends of steps of length ``epsilon``."""
        self.slopes.append((end.double() - start.double()).flatten(1).square().sum(1) / epsilon**2)

    def compute(self) -> Tensor:
        """The mean between both percentiles: a scalar, float64.

        Raises:
            ValueError: before the first step.
        """
        slopes = dim_zero_cat(self.slopes) if len(self.slopes) else torch.empty(0)  # of several ranks it is a tensor
        if not len(slopes):
            raise ValueError("A path length of no steps: update the metric first.")
        ends = torch.tensor([LOWEST, HIGHEST], dtype=slopes.dtype, device=slopes.device)
        low, high = slopes.quantile(ends[0], interpolation="lower"), slopes.quantile(ends[1], interpolation="higher")
        return slopes[(slopes >= low) & (slopes <= high)].mean()

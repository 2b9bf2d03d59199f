"""How likely a latent-variable model finds images: log p(x) by importance sampling, and how much of its code it uses.

log p(x) is estimated as the log of the mean of many weights p(x, z_i) / q(z_i | x): a lower bound on average, which
rises to it with the number of draws (Burda et al. 2016, theorem 1; section 5 takes 5,000).
"""

from collections.abc import Callable, Sequence
from math import log

import torch
from torch import Tensor
from torchmetrics import Metric

from lightning_modules.metrics.fidelity.means import ImageMeans

ACTIVE = 0.01  # variance of a dimension's posterior mean over images (Burda et al. 2016, section 5.2)


def log_mean_weights(draw: Callable[[int], Tensor], counts: Sequence[int], chunk: int) -> list[Tensor]:
    """log of the mean of the first c weights, for each c of the growing ``counts``: float64 [N] each.

    Args:
        draw: k -> log weights [k, N] of as many fresh draws.
        counts: of draws.
        chunk: draws at once.
    """
    total, drawn, found = torch.tensor(float("-inf"), dtype=torch.float64), 0, []
    for count in counts:
        while drawn < count:
            part = draw(min(chunk, count - drawn)).double()
            total = torch.logaddexp(total.to(part.device), part.logsumexp(0))
            drawn += len(part)
        found.append(total - log(count))
    return found


class Nats(ImageMeans):
    """Means over images of what is measured in nats."""

    def update(self, *values: Tensor) -> None:
        """Add one vector [N] a name."""
        self.add(*values)


class ActiveUnits(Metric):
    """How many dimensions of the code say something of the image: their posterior mean varies by more than 0.01."""

    is_differentiable = False
    full_state_update = False
    total: Tensor
    squares: Tensor
    count: Tensor

    def __init__(self, z_dim: int) -> None:
        super().__init__()
        self.add_state("total", torch.zeros(z_dim, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("squares", torch.zeros(z_dim, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, mean: Tensor) -> None:
        """Add posterior means [N, z_dim]."""
        mean = mean.double()
        self.total += mean.sum(0)
        self.squares += mean.square().sum(0)
        self.count += len(mean)

    def compute(self) -> Tensor:
        """The number, over all ranks."""
        variance = self.squares / self.count - (self.total / self.count).square()
        return (variance > ACTIVE).sum()

"""Means over images, exact on any number of ranks."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric


class ImageMeans(Metric):
    """The means of named per-image values over all images of all ranks, summed in float64.

    Subclasses are collections of their own. In a torchmetrics ``MetricCollection`` set ``compute_groups=False``: it
    takes metrics for the same whose sums are equal after the first batch, as those of perfect images are.

    Args:
        names: of the values.
    """

    is_differentiable = False
    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = tuple(names)
        self.add_state("total", torch.zeros(len(names), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def add(self, *values: Tensor) -> None:
        """Add one vector [N] a name."""
        stacked = torch.stack(values).to(self.total)
        self.total += stacked.sum(1)
        self.count += stacked.shape[1]

    def means(self) -> Tensor:
        """One mean a name, float64.

        Raises:
            ValueError: if no image was added.
        """
        if not self.count:
            raise ValueError("There is no mean over no images: update the metric before computing it.")
        return self.total / self.count

    def compute(self) -> dict[str, Tensor]:
        """The mean of each name, over all ranks."""
        return dict(zip(self.names, self.means(), strict=True))

    def as_floats(self) -> dict[str, float]:
        """``compute`` as plain numbers, for tables and JSON."""
        return {name: float(value) for name, value in self.compute().items()}

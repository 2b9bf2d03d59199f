"""Features of all samples, in their order and on every rank: for scores that compare samples with samples."""

import torch
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from lightning_modules.metrics.base import Accumulator, Look, Needs, Setting, Statistic, Tensors


class GatheredFeatures(Accumulator):
    """Keeps features in float32: extractors compute in it, and what ``identity`` hands on is exact in it.

    Memory is that of the features: 4 N d bytes, 410 MB for 50,000 of Inception's.
    """

    needs = Needs.FEATURES
    features: list[Tensor]
    index: list[Tensor]

    def begin(self, setting: Setting) -> None:
        """Start with none."""
        self.add_state("features", [], dist_reduce_fx="cat")
        self.add_state("index", [], dist_reduce_fx="cat")

    def update(self, look: Look) -> None:
        """Keep ``look.features`` [N, d]."""
        self.features.append(look.features.float())
        self.index.append(look.index)

    def gathered(self) -> Tensor:
        """All features [N, d] in the order of the samples' numbers: of all ranks, inside ``compute``."""
        order = torch.argsort(dim_zero_cat(self.index))
        return dim_zero_cat(self.features)[order]


class FeatureStore(GatheredFeatures, Statistic):
    """The features themselves."""

    kind = "features"

    def begin(self, setting: Setting) -> None:
        """Start with none; know how many there will be."""
        super().begin(setting)
        self.size = 4 * setting.count * setting.dim

    def compute(self) -> Tensors:
        """``features`` [N, d], float32."""
        return {"features": self.gathered()}

"""Filters that nobody trained: enough to say what a texture is like (Ustyuzhaninov et al. 2017).

"What does it take to generate natural textures?", section 2: one layer of random convolutions and its ReLU, with
filters of 3 to 55 px, makes textures as good as VGG19's. Deviation: filters of one size; ``Octaves`` shows them smaller
images, where the paper has larger filters.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, relu

from lightning_modules.networks.base import FeatureMaps


class RandomFilters(FeatureMaps):
    """Images to the answers of random filters, after a ReLU: the layer ``filters``.

    Args:
        count: filters.
        side: of a filter in px, odd.
        channels: of the image.
        seed: of the filters, whose values are uniform (Glorot and Bengio 2010).

    Raises:
        ValueError: no filters, or an even side.
    """

    filters: Tensor

    def __init__(self, count: int = 128, side: int = 7, channels: int = 3, seed: int = 0) -> None:
        super().__init__()
        if count < 1 or side < 1 or side % 2 == 0:
            raise ValueError(f"RandomFilters: give 1 filter or more, of an odd side, got {count} and {side}")
        drawn = torch.empty(count, channels, side, side)
        nn.init.xavier_uniform_(drawn, generator=torch.Generator().manual_seed(seed))
        self.register_buffer("filters", drawn, persistent=False)
        self.title = f"random-{count}x{side}px-s{seed}"
        self.widths, self.minimum = {"filters": count}, side

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """``x`` [N, C, H, W] in [0, 1] to ``filters``, less a filter's width around: [N, count, H', W']."""
        return {"filters": relu(conv2d(x - 0.5, self.filters))}

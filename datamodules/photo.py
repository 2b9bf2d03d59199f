"""One photograph, whole: what a network is fed that learns from a single image how it is put together."""

from functools import cached_property
from typing import Any

import lightning as L
import torch
from torch import Tensor

from datamodules.base import below, data_root
from datamodules.functional.quantise import ValueRange, from_uint8
from datamodules.pairs import PairLoader, PairSet, in_colour
from datamodules.single_image import Again, read_file
from datamodules.style import shrunk_to


class Photo(L.LightningDataModule):
    """Feeds (x, y) without end: the photograph [N, 3, H, W] in [-1, 1], and no labels.

    Args:
        image: its file, below ``root``.
        side: to which its shorter side is shrunk, by MATLAB's bicubic; None leaves it.
        batch_size: how often it stands in a batch.
        root: the folder that holds all data sets; None is the environment's ATELIER_DATA, else data/.

    Raises:
        ValueError: a batch_size below 1; when read: a file that gives no image or has alpha, or is smaller than that.
        FileNotFoundError: an absent file.
    """

    value_range: ValueRange = (-1.0, 1.0)
    images_per_epoch = 1

    def __init__(self, image: str, side: int | None = None, batch_size: int = 1, root: str | None = None) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}: set data.init_args.batch_size to 1 or more.")
        self.image, self.side, self.batch_size, self.root = image, side, batch_size, data_root(root)

    @cached_property
    def photo(self) -> Tensor:
        """The photograph, uint8 [1, 3, H, W]."""
        return shrunk_to(in_colour(read_file(below(self.root, self.image)), "rgb"), self.side, self.image)

    @property
    def out_shape(self) -> tuple[int, ...]:
        """(3, H, W)."""
        return tuple(self.photo.shape[1:])

    @property
    def findings(self) -> dict[str, Any]:
        """The file and its size, for the run's record."""
        return {"image": self.image, "shape": list(self.out_shape)}

    def setup(self, stage: str) -> None:
        """Read the file, so that whatever is wrong with it is said before anything begins."""
        _ = self.photo

    @property
    def batch(self) -> tuple[Tensor, Tensor]:
        """One batch."""
        x = from_uint8(self.photo).repeat(self.batch_size, 1, 1, 1)
        return x, torch.zeros(self.batch_size, dtype=torch.int64)

    def train_dataloader(self) -> Again:
        """The photograph without end."""
        return Again(self.batch)

    def val_dataloader(self) -> PairLoader:
        """The photograph once."""
        return PairLoader(PairSet("photo", 1, [self.batch]))

    test_dataloader = predict_dataloader = val_dataloader

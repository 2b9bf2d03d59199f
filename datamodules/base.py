"""Images as uint8, from memory or from files: made floats in the value range, and augmented, a batch at a time."""

import os
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Generic, Self, TypeVar

from torch import Tensor

from datamodules.augment import Augmentation
from datamodules.functional.quantise import ValueRange, from_uint8
from datamodules.memory import LabelledSet
from datamodules.stream import Batch, IndexedBatch, ItemSet, StreamDataModule

EMBEDDED = "embedded"  # a folder that is everywhere


@dataclass(frozen=True)
class ImageSet(LabelledSet):
    """One split as 8-bit images, un-augmented and in fixed order: ``s[i:j]`` is uint8 [n, C, H, W]."""

    name: str
    split: str
    images: Tensor  # uint8 [N, C, H, W]
    labels: Tensor  # int64 [N]

    @property
    def x(self) -> Tensor:
        """The images."""
        return self.images

    def to(self, device: str) -> Self:
        """The same set on ``device``."""
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))


S = TypeVar("S", bound=ItemSet)


class ImageStream(StreamDataModule[S], Generic[S]):
    """Feeds ``(x, y)``: x float32 [N, C, H, W] in ``value_range``, y int64 [N].

    Args:
        batch_size: images a batch, on each rank.
        seed: of the order and of the augmentations.
        augment: applied in turn to each training batch on the device, never to anything else.
        device: where uint8 images that fit in memory are kept, "cpu" or "cuda".
        val_images: size of the fixed validation batch, the first of the test split; None is the whole split.

    Raises:
        ValueError: batch_size or val_images below 1, or a device that is not there.
    """

    value_range: ValueRange = (-1.0, 1.0)
    image_shape: tuple[int, int, int]

    def __init__(
        self,
        batch_size: int = 64,
        seed: int = 0,
        augment: list[Augmentation] | None = None,
        device: str = "cpu",
        val_images: int | None = 64,
    ) -> None:
        super().__init__(batch_size, seed, device, val_images)
        self.augment = augment or []

    @property
    def out_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        return self.image_shape

    def on_after_batch_transfer(self, batch: Batch | IndexedBatch, dataloader_idx: int) -> Batch | IndexedBatch:
        """Bytes to floats; in training then the augmentations, on a stream of their own."""
        images, y = batch[:2]
        x = from_uint8(images, self.value_range)
        if self.augment and self.trainer and self.trainer.training:
            self.seed_augmentation(x.device)
            for augmentation in self.augment:
                x = augmentation(x)
        return batch._replace(x=x) if isinstance(batch, IndexedBatch) else (x, y)


class ImageDataModule(ImageStream[ImageSet]):
    """Images that are held in memory whole, as one uint8 tensor a split. The arguments are ImageStream's."""


def data_root(root: str | None) -> Path:
    """The folder that holds the data sets: ``root``, else the environment's ATELIER_DATA, else data/."""
    return Path(root or os.environ.get("ATELIER_DATA") or "data")


def below(root: Path, name: str) -> Path:
    """``name`` below ``root``; where nothing is there and something of the working directory bears it, that.

    ``embedded/china.jpg`` and ``embedded/flower.jpg`` are scikit-learn's two photographs, 640 x 427 px.
    """
    place = root / name
    if Path(name).parts[:1] == (EMBEDDED,) and not place.exists() and not Path(name).exists():
        found = find_spec("sklearn")  # which imports nothing
        assert found is not None
        assert found.origin is not None
        return Path(found.origin).parent / "datasets" / "images" / Path(name).relative_to(EMBEDDED)
    return Path(name) if Path(name).exists() and not place.exists() else place

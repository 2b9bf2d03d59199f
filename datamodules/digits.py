"""Handwritten digits that come with scikit-learn: 1,797 gray 8x8 images (Alpaydin and Kaynak 1998).

Shown larger by bilinear interpolation with half-pixel centres and clamped borders. Levels 0..16 become
0..255. For factors that are powers of two every product and sum is exact in float64, so that one rounding
(half to even) gives the same bytes on every machine. The split is scikit-learn's stratified one with seed 0:
1,437 training and 360 test images, whatever the seed of the run.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from datamodules.augment import Augmentation
from datamodules.base import ImageDataModule, ImageSet

SIDE = 8
SIZES = (8, 16, 32, 64)
LARGEST_LEVEL = 16
TEST_IMAGES = 360


class Digits(ImageDataModule):
    """The embedded digits, gray, ``size`` x ``size`` with ``size`` one of 8, 16, 32 and 64.

    The other arguments are ImageDataModule's.

    Raises:
        ValueError: another size.
    """

    name = "digits"
    num_classes = 10
    class_names = tuple("0123456789")

    def __init__(
        self,
        size: int = 32,
        batch_size: int = 64,
        seed: int = 0,
        augment: list[Augmentation] | None = None,
        device: str = "cpu",
        val_images: int | None = 64,
    ) -> None:
        super().__init__(batch_size, seed, augment, device, val_images)
        if size not in SIZES:
            raise ValueError(f"digits come at size 8, 16, 32 or 64, not {size}: change data.init_args.size.")
        self.image_shape = (1, size, size)

    def read(self, split: str) -> ImageSet:
        """Read ``split`` ("train" or "test") from scikit-learn's package data."""
        levels, labels = _digits(split)
        return ImageSet(self.name, split, _enlarge(levels, self.image_shape[-1]), labels)


def _digits(split: str) -> tuple[Tensor, Tensor]:
    # scikit-learn takes a second to import, which `atelier --help` must not pay
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    levels, labels = load_digits(return_X_y=True)
    train, test = train_test_split(range(len(labels)), test_size=TEST_IMAGES, stratify=labels, random_state=0)
    index = torch.tensor(train if split == "train" else test)
    return torch.from_numpy(levels).view(-1, 1, SIDE, SIDE)[index], torch.from_numpy(labels).long()[index]


def _enlarge(levels: Tensor, size: int) -> Tensor:
    grey = levels.double() * (255 / LARGEST_LEVEL)
    if size != SIDE:
        grey = F.interpolate(grey, size=(size, size), mode="bilinear", align_corners=False)
    return grey.round().to(torch.uint8)

"""STL-10 (Coates, Ng and Lee 2011) from its binary files, in torchvision's layout.

96x96 colour images, each channel stored column by column: 5,000 labelled ones for training, 8,000 for test and
100,000 unlabelled ones. Generative work trains on the latter, mostly reduced to 48x48.

The reduction is Pillow's bilinear one, which widens its triangle to the scale (antialiasing): what
``transforms.Resize(48)`` does to an image, hence mimicry and pytorch-gan-collections. At a factor of two its
weights are (1, 3, 3, 1) / 8, at a border (3, 3, 1) / 7; rows, then columns, with the bytes rounded half up
after either. No sum comes near a half without being one, so that every machine gets Pillow's bytes.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from datamodules.augment import Augmentation
from datamodules.base import ImageSet
from datamodules.published import PublishedDataModule, read_checked, require_md5

SIDE = 96
REDUCED = 48
IMAGE_BYTES = 3 * SIDE * SIDE
CHUNK = 1000  # images read and reduced at a time: 100,000 of full size are 2.8 GB


class STL10(PublishedDataModule):
    """STL-10, ``size`` x ``size``. The training set's name says which parts it has; the test split is labelled.

    Args:
        size: 96, or 48 by Pillow's bilinear reduction with antialiasing, which the set's name then says.
        labelled: train on the 5,000 labelled images.
        unlabelled: train on the 100,000 unlabelled images, whose label is -1. There are then no classes to
            condition on: ``num_classes`` is None.

    The other arguments are PublishedDataModule's. In memory 100,000 images take 2.8 GB, at size 48 0.7 GB.

    Raises:
        ValueError: another size, neither part to train on, or a file that is not the published one (when read).
        FileNotFoundError: absent files, before training starts.
    """

    folder = "stl10_binary"
    layout = "train_X.bin, train_y.bin, unlabeled_X.bin, test_X.bin and test_y.bin"
    source = "STL10"
    md5: ClassVar[Mapping[str, str]] = {
        "train_X.bin": "918c2871b30a85fa023e0c44e0bee87f",
        "train_y.bin": "5a34089d4802c674881badbb80307741",
        "unlabeled_X.bin": "5242ba1fed5e4be9e1e742405eb56ca4",
        "test_X.bin": "7f263ba9f9e0b06b93213547f721ac82",
        "test_y.bin": "36f9794fa4beb8a2c72628de14fa638e",
    }

    def __init__(
        self,
        size: int = REDUCED,
        labelled: bool = False,
        unlabelled: bool = True,
        root: str | None = None,
        download: bool = False,
        batch_size: int = 64,
        seed: int = 0,
        augment: list[Augmentation] | None = None,
        device: str = "cpu",
        val_images: int | None = 64,
    ) -> None:
        super().__init__(root, download, batch_size, seed, augment, device, val_images)
        if size not in (SIDE, REDUCED):
            raise ValueError(f"stl10 comes at size 96, or 48 by reduction, not {size}: change data.init_args.size.")
        if not (labelled or unlabelled):
            raise ValueError(
                "stl10 has nothing to train on: set data.init_args.labelled or data.init_args.unlabelled to true."
            )
        self.image_shape = (3, size, size)
        self.parts = ["train"] * labelled + ["unlabeled"] * unlabelled
        self.name = "stl10" if size == SIDE else "stl10-48-bilinear"
        if not unlabelled:
            self.num_classes = 10
            self.class_names = (
                *("airplane", "bird", "car", "cat", "deer"),
                *("dog", "horse", "monkey", "ship", "truck"),
            )

    @property
    def files(self) -> list[Path]:
        """The files of the parts to train on and of the test split."""
        parts = (*self.parts, "test")
        return [self._path(name) for name in self.md5 if name.startswith(parts)]

    def fetch(self, root: Path) -> None:
        """Download the files through torchvision."""
        from torchvision import datasets

        datasets.STL10(str(root), download=True)

    def read(self, split: str) -> ImageSet:
        """Read ``split`` ("train" or "test")."""
        self.require_files()
        if split == "test":
            return ImageSet(self.name, split, *self._read_part("test"))
        parts = [self._read_part(part) for part in self.parts]
        images, labels = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
        return ImageSet("-".join([self.name, *self.parts]), split, images, labels)

    def _read_part(self, part: str) -> tuple[Tensor, Tensor]:
        images = self._read_images(f"{part}_X.bin")
        if part == "unlabeled":
            return images, torch.full((len(images),), -1)
        return images, self._read_labels(f"{part}_y.bin")

    def _read_images(self, name: str) -> Tensor:
        path, digest = self._path(name), hashlib.md5(usedforsecurity=False)
        n, rest = divmod(path.stat().st_size, IMAGE_BYTES)
        if not n or rest:
            raise ValueError(f"{path} does not hold whole 96x96 images: delete it and fetch it again.")
        images = torch.empty(n, *self.image_shape, dtype=torch.uint8)
        with open(path, "rb") as file:
            for chunk in images.split(CHUNK):
                content = bytearray(file.read(len(chunk) * IMAGE_BYTES))
                digest.update(content)
                columns_first = torch.frombuffer(content, dtype=torch.uint8).view(-1, 3, SIDE, SIDE)
                full = columns_first.transpose(2, 3)
                chunk.copy_(full if self.image_shape[-1] == SIDE else halve(full))
        require_md5(path, digest.hexdigest(), self.md5[name])
        return images

    def _read_labels(self, name: str) -> Tensor:
        content = read_checked(self._path(name), self.md5[name])
        return torch.frombuffer(bytearray(content), dtype=torch.uint8).long() - 1  # classes are counted from 1

    def _path(self, name: str) -> Path:
        return self.root / self.folder / name


def halve(images: Tensor) -> Tensor:
    """Halve both sides of ``images`` uint8 [N, C, H, W], H and W even, to Pillow's bytes."""
    size = (images.shape[2] // 2, images.shape[3] // 2)
    return F.interpolate(images, size=size, mode="bilinear", antialias=True)

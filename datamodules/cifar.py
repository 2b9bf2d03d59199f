"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009) from the lossless Python batches, in torchvision's layout.

The batches are pickles, which may run any code when read the usual way. Here nothing but dictionaries, lists,
numbers and strings is built: the two numpy constructors that the files name are replaced by inert stand-ins
(datamodules.safe_pickle), and the MD5 hashes are those that torchvision checks.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from datamodules.augment import Augmentation
from datamodules.base import ImageSet
from datamodules.published import PublishedDataModule, read_checked
from datamodules.safe_pickle import read_batch

SHAPE = (3, 32, 32)


class CIFARDataModule(PublishedDataModule):
    """Colour 32x32 images in pickled batches under ``<root>/<folder>``; arguments are PublishedDataModule's.

    Raises:
        FileNotFoundError: absent files, before training starts.
        ValueError: a file that is not the published one (when read).
    """

    image_shape = SHAPE
    batches: ClassVar[Mapping[str, Mapping[str, str]]]  # split to file name to MD5
    label_key: ClassVar[str]

    def __init__(
        self,
        root: str | None = None,
        download: bool = False,
        batch_size: int = 64,
        seed: int = 0,
        augment: list[Augmentation] | None = None,
        device: str = "cpu",
        val_images: int | None = 64,
    ) -> None:
        super().__init__(root, download, batch_size, seed, augment, device, val_images)

    @property
    def files(self) -> list[Path]:
        """All batches of both splits."""
        return [self.root / self.folder / name for names in self.batches.values() for name in names]

    def read(self, split: str) -> ImageSet:
        """Read ``split`` ("train" or "test")."""
        self.require_files()
        parts = [self._read_file(self.root / self.folder / name, md5) for name, md5 in self.batches[split].items()]
        images, labels = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
        return ImageSet(self.name, split, images, labels)

    def _read_file(self, path: Path, md5: str) -> tuple[Tensor, Tensor]:
        rows, labels = read_batch(read_checked(path, md5), self.label_key, path)
        if rows.ndim != 2 or rows.shape[1] != 3 * 32 * 32 or len(labels) != len(rows):
            raise ValueError(
                f"{path} holds rows {list(rows.shape)} with {len(labels)} labels, not [N, 3072] with N:"
                f" fetch {self.name} again."
            )
        return rows.reshape(-1, *SHAPE), labels


class CIFAR10(CIFARDataModule):
    """Ten classes, 50,000 images for training and 10,000 for test. Arguments are CIFARDataModule's."""

    name = "cifar10"
    folder = "cifar-10-batches-py"
    layout = "data_batch_1 to data_batch_5 and test_batch"
    source = "CIFAR10"
    num_classes = 10
    class_names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    label_key = "labels"
    batches: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "train": {
            "data_batch_1": "c99cafc152244af753f735de768cd75f",
            "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
            "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
            "data_batch_4": "634d18415352ddfa80567beed471001a",
            "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        },
        "test": {"test_batch": "40351d587109b95175f43aff81a1287e"},
    }

    def fetch(self, root: Path) -> None:
        """Download the files through torchvision."""
        from torchvision import datasets

        datasets.CIFAR10(str(root), download=True)


class CIFAR100(CIFARDataModule):
    """A hundred fine classes, 50,000 images for training and 10,000 for test. Arguments are CIFARDataModule's."""

    name = "cifar100"
    folder = "cifar-100-python"
    layout = "train and test"
    source = "CIFAR100"
    num_classes = 100
    class_names = (
        *("apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle", "bowl"),
        *("boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle", "chair"),
        *("chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur", "dolphin"),
        *("elephant", "flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard", "lamp"),
        *("lawn_mower", "leopard", "lion", "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain", "mouse"),
        *("mushroom", "oak_tree", "orange", "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree"),
        *("plain", "plate", "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray", "road", "rocket", "rose"),
        *("sea", "seal", "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider", "squirrel", "streetcar"),
        *("sunflower", "sweet_pepper", "table", "tank", "telephone", "television", "tiger", "tractor", "train"),
        *("trout", "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf", "woman", "worm"),
    )
    label_key = "fine_labels"
    batches: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "train": {"train": "16019d7e3df5f24257cddd939b257f8d"},
        "test": {"test": "f0ef6b0ae62326f3e7ffdfab6717acfc"},
    }

    def fetch(self, root: Path) -> None:
        """Download the files through torchvision."""
        from torchvision import datasets

        datasets.CIFAR100(str(root), download=True)

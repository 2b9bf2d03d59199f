"""MNIST (LeCun et al. 1998) and its sisters from their four IDX files, plain or gzipped, in torchvision's layout.

The files are read here: torchvision, which reads no gzipped ones and takes seconds to import, only downloads.
"""

import gzip
import math
import struct
import zlib
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from datamodules.augment import Augmentation
from datamodules.base import ImageSet
from datamodules.published import PublishedDataModule

SIDE = 28
PADDING = {28: 0, 32: 2}
FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


class IdxDataModule(PublishedDataModule):
    """Gray 28x28 images and ten labelled classes in IDX files under ``<root>/<folder>``.

    Args:
        size: 28, or 32 by two black pixels on every side.

    The other arguments are PublishedDataModule's.

    Raises:
        ValueError: another size, or a damaged file (when read).
    """

    num_classes = 10
    layout = ", ".join(FILES["train"] + FILES["test"]) + ", each plain or .gz"

    def __init__(
        self,
        size: int = 32,
        root: str | None = None,
        download: bool = False,
        batch_size: int = 64,
        seed: int = 0,
        augment: list[Augmentation] | None = None,
        device: str = "cpu",
        val_images: int | None = 64,
    ) -> None:
        super().__init__(root, download, batch_size, seed, augment, device, val_images)
        if size not in PADDING:
            raise ValueError(f"{self.name} comes at size 28, or 32 by padding, not {size}: change data.init_args.size.")
        self.image_shape = (1, size, size)

    @property
    def files(self) -> list[Path]:
        """The four files, plain or gzipped."""
        return [_plain_or_gzipped(self.raw / name) for name in FILES["train"] + FILES["test"]]

    def read(self, split: str) -> ImageSet:
        """Read ``split`` ("train" or "test")."""
        self.require_files()
        images, labels = (read_idx(_plain_or_gzipped(self.raw / name)) for name in FILES[split])
        if images.shape[1:] != (SIDE, SIDE) or labels.shape != images.shape[:1]:
            raise ValueError(
                f"{self.raw} holds images {list(images.shape)} with labels {list(labels.shape)},"
                f" not [N, 28, 28] with [N]: fetch {self.name} again."
            )
        padding = PADDING[self.image_shape[-1]]
        return ImageSet(self.name, split, F.pad(images[:, None], [padding] * 4), labels.long())

    @property
    def raw(self) -> Path:
        """The folder of the four files."""
        return self.root / self.folder


class MNIST(IdxDataModule):
    """Handwritten digits, 60,000 for training and 10,000 for test. Arguments are IdxDataModule's."""

    name = "mnist"
    folder = "MNIST/raw"
    source = "MNIST"
    class_names = tuple("0123456789")

    def fetch(self, root: Path) -> None:
        """Download the files through torchvision."""
        from torchvision import datasets

        datasets.MNIST(str(root), download=True)


class FashionMNIST(IdxDataModule):
    """Articles of clothing (Xiao, Rasul and Vollgraf 2017), 60,000 for training and 10,000 for test.

    Arguments are IdxDataModule's.
    """

    name = "fashion_mnist"
    folder = "FashionMNIST/raw"
    source = "FashionMNIST"
    class_names = (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    )

    def fetch(self, root: Path) -> None:
        """Download the files through torchvision."""
        from torchvision import datasets

        datasets.FashionMNIST(str(root), download=True)


class KMNIST(IdxDataModule):
    """Cursive Japanese characters (Clanuwat et al. 2018), 60,000 for training and 10,000 for test.

    Arguments are IdxDataModule's.
    """

    name = "kmnist"
    folder = "KMNIST/raw"
    source = "KMNIST"
    class_names = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")

    def fetch(self, root: Path) -> None:
        """Download the files through torchvision."""
        from torchvision import datasets

        datasets.KMNIST(str(root), download=True)


def read_idx(path: Path) -> Tensor:
    """The bytes of an IDX file, plain or gzipped (.gz), as uint8 of the shape that its header states.

    Raises:
        ValueError: not an IDX file of unsigned bytes, or cut short.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        zeros, kind, dimensions = struct.unpack_from(">HBB", content)
        shape = struct.unpack_from(f">{dimensions}I", content, offset=4)
    except (gzip.BadGzipFile, zlib.error, EOFError, struct.error) as error:
        raise ValueError(f"{path} is damaged: fetch it again.") from error
    start = 4 + 4 * dimensions
    if (zeros, kind) != (0, 8) or len(content) - start != math.prod(shape):
        raise ValueError(f"{path} is not a whole IDX file of bytes: fetch it again.")
    return torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=start).view(shape)


def _plain_or_gzipped(path: Path) -> Path:
    gzipped = path.with_name(path.name + ".gz")
    return gzipped if gzipped.is_file() and not path.is_file() else path

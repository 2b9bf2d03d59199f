"""MNIST (LeCun et al. 1998) from its four IDX files, plain or gzipped, in torchvision's layout.

The files are read here: torchvision, which reads no gzipped ones and takes seconds to import, only downloads.
A sister set in the same format (FashionMNIST, KMNIST) derives from IdxDataModule: name, folder, classes,
fetch.
"""

import gzip
import math
import struct
from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from datamodules.augment import Augmentation
from datamodules.base import ImageDataModule, ImageSet, data_root

SIDE = 28
PADDING = {28: 0, 32: 2}
FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
_ALL_FILES = ", ".join(FILES["train"] + FILES["test"])


class IdxDataModule(ImageDataModule):
    """Gray 28x28 images and ten labelled classes in IDX files under ``<root>/<folder>/raw``.

    Args:
        size: 28, or 32 by two black pixels on every side.
        root: the folder that holds all data sets; None is the environment's ATELIER_DATA, else data/.
        download: fetch what is absent.

    The other arguments are ImageDataModule's.

    Raises:
        ValueError: another size, or a damaged file (when read).
        FileNotFoundError: absent files, before training starts.
    """

    num_classes = 10
    folder: ClassVar[str]

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
        super().__init__(batch_size, seed, augment, device, val_images)
        if size not in PADDING:
            raise ValueError(f"{self.name} comes at size 28, or 32 by padding, not {size}: change data.init_args.size.")
        self.image_shape = (1, size, size)
        self.root = data_root(root)
        self.download = download

    @abstractmethod
    def fetch(self) -> None:
        """Download the files to ``self.root``."""

    def prepare_data(self) -> None:
        """Download what is absent where asked to, else raise FileNotFoundError."""
        names = FILES["train"] + FILES["test"]
        if self.download and not all(_found(self.raw / name) for name in names):
            self._try_to_fetch()
        for name in names:
            self._path(name)

    def read(self, split: str) -> ImageSet:
        """Read ``split`` ("train" or "test")."""
        images, labels = (read_idx(self._path(name)) for name in FILES[split])
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
        return self.root / self.folder / "raw"

    def _try_to_fetch(self) -> None:
        try:
            self.fetch()
        except (OSError, RuntimeError) as error:  # torchvision's errors list every mirror on lines of their own
            raise FileNotFoundError(
                f"{self.name} could not be downloaded: put {_ALL_FILES}, each plain or .gz, into {self.raw} by hand."
            ) from error

    def _path(self, name: str) -> Path:
        found = _found(self.raw / name)
        if found is None:
            raise FileNotFoundError(
                f"{self.name}: {self.raw / name} is absent; the layout is {self.folder}/raw/ with"
                f" {_ALL_FILES}, each plain or .gz, as torchvision.datasets.{self.folder} downloads it: set"
                f" data.init_args.root or ATELIER_DATA to the folder that holds {self.folder}/,"
                " or data.init_args.download to true."
            )
        return found


class MNIST(IdxDataModule):
    """Handwritten digits, 60,000 for training and 10,000 for test. Arguments are IdxDataModule's."""

    name = "mnist"
    folder = "MNIST"
    class_names = tuple("0123456789")

    def fetch(self) -> None:
        """Download the files through torchvision."""
        from torchvision import datasets

        datasets.MNIST(str(self.root), download=True)


def read_idx(path: Path) -> Tensor:
    """The bytes of an IDX file, plain or gzipped (.gz), as uint8 of the shape that its header states.

    Raises:
        ValueError: not an IDX file of unsigned bytes, or cut short.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        zeros, kind, dimensions = struct.unpack_from(">HBB", content)
        shape = struct.unpack_from(f">{dimensions}I", content, offset=4)
    except (gzip.BadGzipFile, EOFError, struct.error) as error:
        raise ValueError(f"{path} is damaged: fetch it again.") from error
    start = 4 + 4 * dimensions
    if (zeros, kind) != (0, 8) or len(content) - start != math.prod(shape):
        raise ValueError(f"{path} is not a whole IDX file of bytes: fetch it again.")
    return torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=start).view(shape)


def _found(path: Path) -> Path | None:
    candidates = (path, path.with_name(path.name + ".gz"))
    return next((candidate for candidate in candidates if candidate.is_file()), None)

"""Stacked MNIST (Metz et al. 2017): three random digits as the colours of one image, so that its modes can be counted.

The protocol is PacGAN's (Lin et al. 2018, table 2, and its code): 128,000 stacks, drawn once and with replacement from
all 70,000 digits, those of MNIST's test split too. The 26,000 stacks of the test split are other draws of the same
digits, none of which is held out: they say what as many samples of the data itself score.
Deviation: values lie in [-1, 1], where G's tanh ends; PacGAN's code has [0, 1] before the same tanh.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from datamodules.augment import Augmentation
from datamodules.base import ImageStream
from datamodules.functional.keys import key
from datamodules.memory import LabelledSet
from datamodules.mnist import MNIST
from datamodules.stream import SPLITS, Batch

CHANNELS = 3
TRAIN_STACKS, TEST_STACKS = 128_000, 26_000
_STACKS = int.from_bytes(b"stacks")


@dataclass(frozen=True)
class StackSet(LabelledSet):
    """One split as the numbers of its digits, in fixed order: ``s[i:j]`` gathers uint8 [n, 3, H, W]."""

    name: str
    split: str
    digits: Tensor  # uint8 [M, H, W]
    stacks: Tensor  # int64 [N, 3], which of them
    labels: Tensor  # int64 [N]

    @property
    def x(self) -> Tensor:
        """All stacks, gathered: 3 H W bytes each."""
        return self[:]

    def __len__(self) -> int:
        return len(self.stacks)

    def __getitem__(self, index: slice) -> Tensor:
        return self.digits[self.stacks[index]]

    def take(self, index: Tensor) -> Batch:
        """The stacks and labels at ``index`` (int64 [n], on any device)."""
        index = index.to(self.stacks.device)
        return self.digits[self.stacks[index]], self.labels[index]

    def to(self, device: str) -> Self:
        """The same set on ``device``."""
        digits, stacks, labels = (part.to(device) for part in (self.digits, self.stacks, self.labels))
        return replace(self, digits=digits, stacks=stacks, labels=labels)


class StackedMNIST(ImageStream[StackSet]):
    """Three digits an image. Of the classes a, b, c of its channels it has the label a + 10 b + 100 c.

    Args:
        size: 28, or 32 by two black pixels on every side.
        stacks: images to train on.
        draw: which stacks; not ``seed``, which is the run's, so that runs of several seeds are scored on the same data.
        root: the folder that holds all data sets; None is the environment's ATELIER_DATA, else data/.
        download: fetch MNIST where it is absent.

    The other arguments are ImageStream's.

    Raises:
        ValueError: another size, or fewer than one stack.
        FileNotFoundError: absent files, before training starts.
    """

    name = "stacked_mnist"
    num_classes = 10**CHANNELS
    class_names = tuple(f"{mode:03}"[::-1] for mode in range(10**CHANNELS))

    def __init__(
        self,
        size: int = 28,
        stacks: int = TRAIN_STACKS,
        draw: int = 0,
        root: str | None = None,
        download: bool = False,
        batch_size: int = 64,
        seed: int = 0,
        augment: list[Augmentation] | None = None,
        device: str = "cpu",
        val_images: int | None = 64,
    ) -> None:
        super().__init__(batch_size, seed, augment, device, val_images)
        if stacks < 1:
            raise ValueError(f"stacks is {stacks}: set data.init_args.stacks to 1 or more.")
        self.mnist = MNIST(size, root, download)
        self.image_shape = (CHANNELS, size, size)
        self.stacks, self.draw = stacks, draw

    def prepare_data(self) -> None:
        """Download MNIST where asked to, else raise FileNotFoundError where it is absent."""
        self.mnist.prepare_data()

    @cached_property
    def digits(self) -> Batch:
        """All of MNIST's, uint8 [70000, H, W], and their classes [70000]."""
        both = [self.mnist.read(split) for split in SPLITS]
        return torch.cat([part.images[:, 0] for part in both]), torch.cat([part.labels for part in both])

    def read(self, split: str) -> StackSet:
        """Draw ``split`` ("train" or "test")."""
        digits, classes = self.digits
        n = self.stacks if split == "train" else TEST_STACKS
        generator = torch.Generator().manual_seed(key(self.draw, _STACKS, SPLITS.index(split)))
        stacks = torch.randint(len(digits), (n, CHANNELS), generator=generator)
        labels = (classes[stacks] * 10 ** torch.arange(CHANNELS)).sum(1)
        return StackSet(self.name, split, digits, stacks, labels)

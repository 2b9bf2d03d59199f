"""Pairs (x, y) of an image and what it is to be made from: patches for training, whole images for tests.

A family of tasks says where its pairs come from (``training_pairs``, ``pairs``); which patches are fed when, how they
are turned, and where a run goes on is said here.
"""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from datamodules.base import data_root
from datamodules.functional.colour import full_luma8, luma8
from datamodules.functional.devices import sent
from datamodules.functional.hashes import sha256_of
from datamodules.functional.quantise import UNIT, ValueRange, from_uint8
from datamodules.pair_files import other_folders, read_images
from datamodules.patches import Pair, Patches, Turns
from datamodules.stream import Batch, IndexedBatch, StreamDataModule

Colour = Literal["as they are", "luma", "grey", "rgb"]


@dataclass(frozen=True)
class PairSet:
    """One set of whole pairs, in the order of their names.

    Args:
        name: such as "Set5-x2".
        scale: how much larger x is than y.
        pairs: (x [1, C, H, W], y [1, D, h, w]), uint8, or floats as they are fed, and what else belongs to a pair;
            each of its own size.
    """

    name: str
    scale: int
    pairs: Sequence[tuple[Tensor, ...]]

    def __len__(self) -> int:
        return len(self.pairs)

    @cached_property
    def sha256(self) -> str:
        """Hash of the images' types, shapes and bytes, pair after pair: what a score's protocol calls the data."""
        return sha256_of(image for pair in self.pairs for image in pair)


class PairLoader:
    """The pairs of a set in order, one a batch; rank r of W holds the pairs r::W."""

    def __init__(self, data: PairSet, rank: int = 0, world: int = 1) -> None:
        self.pairs = data.pairs[rank::world]

    def __len__(self) -> int:
        return len(self.pairs)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        return iter(self.pairs)


class PairDataModule(StreamDataModule[Patches]):
    """Feeds ``(x, y)`` in ``value_range``: patches in training, elsewhere whole pairs, a dataloader a set.

    Args:
        patch: side of a training patch of x, in pixels.
        stride: from one patch to the next on a grid, in pixels of x: an epoch is every patch once. None cuts each image
            of an epoch once, anywhere.
        turns: which of a square's eight turns are drawn: "all", "flips" (of both axes), "vertical" (top and bottom
            change places), "mirror" (left and right do) or "none".
        colour: what networks are given: "luma" (BT.601, studio range), "grey" (full range), "rgb"; or as files are.
        batch_size: patches a batch, on each rank.
        seed: of order, places, turns, and all else that is drawn.
        device: where the training images' bytes are kept, "cpu" or "cuda".
        root: the folder that holds all data sets; None is the environment's ATELIER_DATA, else data/.

    Raises:
        ValueError: settings that cannot be followed; in ``setup``, images that are smaller than a patch.
    """

    value_range: ValueRange = UNIT

    def __init__(
        self,
        patch: int = 48,
        stride: int | None = None,
        turns: Turns = "all",
        colour: Colour = "as they are",
        batch_size: int = 16,
        seed: int = 0,
        device: str = "cpu",
        root: str | None = None,
    ) -> None:
        super().__init__(batch_size, seed, device)
        self.patch, self.stride, self.turns, self.colour = patch, stride, turns, colour
        self.root = data_root(root)

    @abstractmethod
    def training_pairs(self) -> Mapping[int, Sequence[Pair]]:
        """The pairs to train on, in the networks' colour, by their scale."""

    @abstractmethod
    def pairs(self) -> list[PairSet]:
        """The sets that validation and test look at, one a dataloader, in order; as their files are."""

    @property
    def shown(self) -> list[PairSet]:
        """What validation and test dataloaders hold: the pairs."""
        return self.pairs()

    def damaged(self, x: Tensor) -> Tensor:
        """What is drawn as y for patches ``x`` [N, C, H, W] in [0, 1], where no pair has it.

        Raises:
            ValueError: unless a subclass draws it.
        """
        raise ValueError(f"{type(self).__name__} has pairs without a condition and draws none")

    def images(self, folders: Sequence[str], setting: str) -> list[Pair]:
        """The images of ``folders`` below the root in the networks' colour, by name, without a condition.

        Args:
            folders: that are named in data.init_args, where ``setting`` says.
            setting: such as "train".

        Raises:
            FileNotFoundError: a folder is absent; ValueError: it holds no image, or one that cannot be read.
        """
        found = read_images(self.root, folders, other_folders(setting))
        return [pair._replace(x=in_colour(pair.x, self.colour)) for pair in found]

    # --- training ---------------------------------------------------------------------------------------------

    @property
    def out_shape(self) -> tuple[int, ...]:
        """(C, H, W) of a training patch of x."""
        first = self.by_scale[0]
        return first.x.channels, first.side, first.side

    @cached_property
    def by_scale(self) -> list[Patches]:
        """The training set of each scale."""
        sets = []
        for scale, pairs in self.training_pairs().items():
            side = self.patch // scale * scale
            sets.append(Patches(type(self).__name__, pairs, scale, side, self.stride, self.turns).to(self.device))
        if not sets:
            raise ValueError(
                f"{type(self).__name__} has no training images: set data.init_args.train to their folders."
            )
        if len(sets) > 1 and self.stride is not None:
            raise ValueError("patches on a grid are of one scale: set data.init_args.stride to null, or one scale.")
        return sets

    @cached_property
    def sets(self) -> dict[str, Patches]:
        """The training set; of several scales the first, whose items stand for those of the others too."""
        return {"train": self.by_scale[0]}

    def read(self, split: str) -> Patches:
        """The training set."""
        return self.sets[split]

    def setup(self, stage: str) -> None:
        """Read all files that are needed, so that whatever is wrong with one is said before anything begins."""
        if stage == "fit":
            super().setup(stage)
        _ = self.shown

    @property
    def target(self) -> torch.device:
        """Where training batches go."""
        return torch.device("cpu") if self.trainer is None else self.trainer.strategy.root_device

    def transfer_batch_to_device(
        self, batch: tuple[Tensor, ...], device: torch.device, dataloader_idx: int
    ) -> tuple[Tensor, ...]:
        """Training: nothing, numbers stay with the bytes that they stand for, to be read there without waiting."""
        if self.trainer is not None and self.trainer.training:
            return batch
        moved: tuple[Tensor, ...] = super().transfer_batch_to_device(batch, device, dataloader_idx)
        return moved

    def on_after_batch_transfer(self, batch: tuple[Tensor, ...], dataloader_idx: int) -> tuple[Tensor, ...]:
        """Training: cut the patches, by draws of a stream of their own. Elsewhere: bytes to floats."""
        if self.trainer is None or not self.trainer.training:
            return self.whole(batch)
        self.seed_augmentation(self.target)
        drawn = self.draw(batch[0])
        if not isinstance(batch, IndexedBatch):
            return drawn
        return batch._replace(x=drawn[0], y=drawn[1], item=sent(batch.item, self.target))

    def draw(self, item: Tensor) -> tuple[Tensor, ...]:
        """The patches of the numbers ``item`` [N], places and turns (and scale, and damage) drawn from the stream.

        They are on ``target``.
        """
        scale = int(torch.randint(len(self.by_scale), ())) if len(self.by_scale) > 1 else 0
        bytes_x, bytes_y = self.by_scale[scale].cut(item, self.target)
        x = from_uint8(bytes_x, self.value_range)
        return x, self.damaged(x) if bytes_y is None else from_uint8(bytes_y, self.value_range)

    # --- whole images -----------------------------------------------------------------------------------------

    def whole(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """What validation and test are given of a whole pair: x and y, and no more unless a subclass says so."""
        return self.as_given(*batch[:2])

    def as_given(self, x: Tensor, y: Tensor) -> Batch:
        """A whole pair in the networks' colour, as floats; a grey x stays grey among colours, as tables have it."""
        y = in_colour(y, self.colour)
        x = x if self.colour == "rgb" else in_colour(x, self.colour)
        return as_floats(x, self.value_range), as_floats(y, self.value_range)

    def test_dataloader(self) -> list[PairLoader]:  # type: ignore[override]  # a loader a set
        """One loader a set.

        Raises:
            ValueError: there are more ranks than pairs of a set: each must have one, to meet the others when it scores.
        """
        for data in self.shown:
            if len(data) < self.world:
                raise ValueError(
                    f"{data.name} has {len(data)} pairs for {self.world} devices: set trainer.devices to {len(data)} or"
                    " fewer, or leave the set out."
                )
        return [PairLoader(data, self.rank, self.world) for data in self.shown]

    def val_dataloader(self) -> list[PairLoader]:  # type: ignore[override]  # a loader a set
        """As in a test."""
        return self.test_dataloader()

    def predict_dataloader(self) -> list[PairLoader]:  # type: ignore[override]  # a loader a set
        """As in a test."""
        return self.test_dataloader()


def as_floats(image: Tensor, value_range: ValueRange = UNIT) -> Tensor:
    """``image`` in ``value_range``, where it is of bytes."""
    return from_uint8(image, value_range) if image.dtype == torch.uint8 else image


def in_colour(image: Tensor, colour: Colour) -> Tensor:
    """uint8 ``image`` [1, 1 or 3, H, W] as ``colour`` says; floats stay as they are."""
    if image.dtype != torch.uint8 or colour == "as they are":
        return image
    if colour == "rgb":
        return image.expand(-1, 3, -1, -1)
    return luma8(image) if colour == "luma" else full_luma8(image)

"""Feeding a data set, wherever its items are kept: endless and exactly resumable for training, else in fixed order.

A set hands out its own batches (``feed``): from memory by one indexing operation, from files through worker
processes. What stands here is the same for both: which items come when, on which rank, and where a run goes on.
The loaders are plain iterables, no torch DataLoaders, so that Lightning neither re-orders them nor advises workers.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Generic, NamedTuple, Protocol, Self, TypeVar

import lightning as L
import torch
from torch import Tensor

from datamodules.endless import check_end
from datamodules.functional.devices import check_device
from datamodules.functional.keys import key, seed_streams
from datamodules.sampler import IndexSampler

Batch = tuple[Tensor, Tensor]


class IndexedBatch(NamedTuple):
    """A training batch that tells which items it holds."""

    x: Tensor
    y: Tensor
    item: Tensor  # int64 [N], their numbers in the training split


SPLITS = ("train", "test")
EVALUATION_BATCH = 1000


class Feed(Protocol):
    """Batches, as often as they are asked for, until it is closed."""

    def __iter__(self) -> Iterator[Batch]: ...

    def close(self) -> None:
        """End what was begun for them, worker processes above all."""


class ItemSet(ABC):
    """One split of a data set, un-augmented and in fixed order; ``s[i:j]`` is a slice of its items."""

    name: str
    split: str
    labels: Tensor  # int64 [N]

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def __getitem__(self, index: slice) -> Tensor:
        """The items of ``index``, [n, ...]."""

    @abstractmethod
    def take(self, index: Tensor) -> Batch:
        """The items and labels at ``index`` (int64 [n], on any device)."""

    @abstractmethod
    def feed(self, indices: Iterable[Tensor], pinned: bool = False) -> Feed:
        """The batches at ``indices``; each new iterator asks ``indices`` for a new one. May keep workers for them.

        ``pinned`` says that the batches are to be copied to a GPU.
        """

    @abstractmethod
    def to(self, device: str) -> Self:
        """The same set kept on ``device``."""

    @property
    @abstractmethod
    def sha256(self) -> str:
        """Hash of the items' type, shape and bytes: what a score's protocol calls the data."""


class TrainLoader:
    """Endless training batches. Each new iterator starts where ``position()`` then says.

    Lightning asks for a new iterator at each of its epochs (``limit_train_batches``), having fetched one
    batch too many.
    """

    def __init__(
        self,
        data: ItemSet,
        sampler: IndexSampler,
        position: Callable[[], int],
        pinned: bool = False,
        indexed: bool = False,
    ) -> None:
        self.indices = _FromPosition(sampler, position)
        self.batches = data.feed(self.indices, pinned)
        self.indexed = indexed

    def __iter__(self) -> Iterator[Batch | IndexedBatch]:
        if not self.indexed:
            return iter(self.batches)
        pairs = zip(self.batches, self.indices, strict=True)  # without end, both from the same position
        return (IndexedBatch(*batch, index) for batch, index in pairs)


class _FromPosition:
    def __init__(self, sampler: IndexSampler, position: Callable[[], int]) -> None:
        self.sampler = sampler
        self.position = position

    def __iter__(self) -> Iterator[Tensor]:
        return self.sampler.batches(self.position())


class EvaluationLoader:
    """The first ``n`` items in fixed order, at most 1,000 a batch; rank r of W holds the items r::W.

    Every rank has as many batches as every other, so that no collective call waits for ever.
    """

    def __init__(self, data: ItemSet, n: int, rank: int = 0, world: int = 1, pinned: bool = False) -> None:
        largest_share = -(-n // world)
        self.indices = torch.arange(n)[rank::world].tensor_split(-(-largest_share // EVALUATION_BATCH))
        self.batches = data.feed(self.indices, pinned)

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[Batch]:
        return iter(self.batches)


S = TypeVar("S", bound=ItemSet)


class StreamDataModule(L.LightningDataModule, ABC, Generic[S]):
    """Feeds ``(x, y)``: endless and resumable for training, in fixed order for everything else.

    Args:
        batch_size: items a batch, on each rank.
        seed: of the order in which training items come (and of all that a subclass draws).
        device: where a set that fits in memory is kept, "cpu" or "cuda".
        val_images: size of the fixed validation batch, the first of the test split; None is the whole split.

    Attributes:
        indexed: whether training batches tell which items they hold. A module that needs it says so before training.

    Raises:
        ValueError: batch_size or val_images below 1, or a device that is not there.
    """

    name: str
    value_range: tuple[float, float] | None = None
    num_classes: int | None = None
    class_names: Sequence[str] | None = None
    indexed = False

    def __init__(self, batch_size: int = 64, seed: int = 0, device: str = "cpu", val_images: int | None = 64) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}: set data.init_args.batch_size to 1 or more.")
        if val_images is not None and val_images < 1:
            raise ValueError(f"val_images is {val_images}: set data.init_args.val_images to 1 or more, or null.")
        check_device(device)
        self.batch_size, self.seed = batch_size, seed
        self.device, self.val_images = device, val_images
        self._start = 0
        self._batches_at_start: int | None = None
        self._feeds: list[Feed] = []

    @property
    @abstractmethod
    def out_shape(self) -> tuple[int, ...]:
        """Shape of one item, what a generator of such data puts out: (C, H, W), or (d,) for points."""

    @abstractmethod
    def read(self, split: str) -> S:
        """Read ``split`` ("train" or "test") from where it is kept."""

    @cached_property
    def sets(self) -> dict[str, S]:
        """Both splits, read once, on ``self.device``."""
        return {split: self.read(split).to(self.device) for split in SPLITS}

    def reference(self, split: str) -> S:
        """The ``split`` ("train" or "test"), un-augmented and in fixed order. Reads the data if need be."""
        if split not in SPLITS:
            raise ValueError(f"{self.name} has no split {split!r}: choose one of {', '.join(SPLITS)}.")
        return self.sets[split]

    @property
    def images_per_epoch(self) -> int:
        """Items in the training split."""
        return len(self.reference("train"))

    @property
    def world(self) -> int:
        """Number of ranks."""
        return self.trainer.world_size if self.trainer else 1

    @property
    def rank(self) -> int:
        """This process's rank."""
        return self.trainer.global_rank if self.trainer else 0

    @property
    def batches_processed(self) -> int:
        """Training batches behind this rank, also those before a resume: Lightning restores its counter."""
        if self.trainer is None:
            return 0
        # `processed`, since `completed` lags behind in on_train_batch_end, where checkpoints are saved
        return self.trainer.fit_loop.epoch_loop.batch_progress.total.processed  # type: ignore[attr-defined]

    @property
    def consumed_images(self) -> int:
        """Training items that all ranks together have trained on: the position of the stream."""
        if self._batches_at_start is None:
            return self._start
        batches = self.batches_processed - self._batches_at_start
        return self._start + batches * self.batch_size * self.world

    def setup(self, stage: str) -> None:
        """Read the data. A fit begins a new stream here; ``load_state_dict`` afterwards moves it on."""
        if stage == "fit":
            self._start, self._batches_at_start = 0, None
        self.reference("train")

    def state_dict(self) -> dict[str, int]:
        """The position (batches fetched ahead of training do not count), and the number of items that it is one of."""
        return {"consumed_images": self.consumed_images, "training_images": self.images_per_epoch}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Continue where ``state_dict`` stopped, whatever batch size and ranks; ValueError where items came or went."""
        then = state_dict.get("training_images")  # older checkpoints do not say it
        goes_on = self.trainer is None or self.trainer.training  # a test needs no training images
        if goes_on and then is not None and then != (now := self.images_per_epoch):
            raise ValueError(
                f"the run was trained on {then:,} images, there are {now:,} now: put the files back, or begin a new run"
                " with model.init_args.init_from"
            )
        self._start, self._batches_at_start = state_dict["consumed_images"], None

    def train_dataloader(self) -> TrainLoader:
        """Endless batches from where the stream stands.

        Raises:
            ValueError: the trainer waits for the end of an epoch, which never comes.
        """
        if self.trainer is not None:
            check_end(self.trainer)
        self._start, self._batches_at_start = self.consumed_images, self.batches_processed
        train = self.reference("train")
        sampler = IndexSampler(len(train), self.batch_size, self.seed, self.rank, self.world)
        loader = TrainLoader(train, sampler, self._stream_position, self._on_gpu, self.indexed)
        self._feeds.append(loader.batches)
        return loader

    def val_dataloader(self) -> EvaluationLoader:
        """The first ``val_images`` of the test split, one batch up to 1,000."""
        return self._evaluation(self.val_images)

    def test_dataloader(self) -> EvaluationLoader:
        """The whole test split."""
        return self._evaluation(None)

    predict_dataloader = test_dataloader

    def seed_augmentation(self, device: torch.device) -> None:
        """Seed the global stream for this batch's augmentation: other on each rank, equal after a resume."""
        seed_streams(key(self.seed, _AUGMENTATION, self.rank, self.consumed_images), device)

    def teardown(self, stage: str) -> None:
        """End the worker processes: left to the garbage collector, each would be waited for five seconds."""
        for feed in self._feeds:
            feed.close()
        self._feeds.clear()

    def on_exception(self, exception: BaseException) -> None:
        """As after a run that ends well."""
        self.teardown("")

    def _evaluation(self, most: int | None) -> EvaluationLoader:
        test = self.reference("test")
        n = len(test) if most is None else min(most, len(test))
        loader = EvaluationLoader(test, n, self.rank, self.world, self._on_gpu)
        self._feeds.append(loader.batches)
        return loader

    @property
    def _on_gpu(self) -> bool:
        return self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"

    def _stream_position(self) -> int:
        # overfit_batches asks for the same few batches in every epoch
        overfit = self.trainer is not None and self.trainer.overfit_batches  # type: ignore[attr-defined]
        return 0 if overfit else self.consumed_images


_AUGMENTATION = int.from_bytes(b"augment")

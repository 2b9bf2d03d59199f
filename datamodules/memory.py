"""Data sets that fit in memory, images or points: a batch is one indexing operation, with no work for workers."""

import hashlib
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Generic, TypeVar

from torch import Tensor

from datamodules.stream import Batch, Feed, ItemSet, StreamDataModule

HASHED_AT_ONCE = 1000  # items


class LabelledSet(ItemSet):
    """One split of a data set in memory, un-augmented and in fixed order; ``s[i:j]`` is a slice of its items."""

    @property
    @abstractmethod
    def x(self) -> Tensor:
        """All items, [N, ...]."""

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: slice) -> Tensor:
        return self.x[index]

    def take(self, index: Tensor) -> Batch:
        """The items and labels at ``index`` (int64 [n], on any device): one indexing operation each."""
        index = index.to(self.x.device)
        return self.x[index], self.labels[index]

    def feed(self, indices: Iterable[Tensor], pinned: bool = False) -> Feed:
        """The batches at ``indices``, made when they are asked for."""
        return _Taken(self, indices)

    @cached_property
    def sha256(self) -> str:
        """Hash of the items' type, shape and bytes: what a score's protocol calls the data."""
        first = self[:1]
        digest = hashlib.sha256(f"{first.dtype} {(len(self), *first.shape[1:])}".encode())
        for start in range(0, len(self), HASHED_AT_ONCE):  # a set may make its items when they are asked for
            digest.update(self[start : start + HASHED_AT_ONCE].cpu().contiguous().numpy().data)
        return digest.hexdigest()


class _Taken:
    def __init__(self, data: LabelledSet, indices: Iterable[Tensor]) -> None:
        self.data = data
        self.indices = indices

    def __iter__(self) -> Iterator[Batch]:
        return map(self.data.take, self.indices)

    def close(self) -> None:
        """Nothing was begun."""


M = TypeVar("M", bound=LabelledSet)


class InMemoryDataModule(StreamDataModule[M], Generic[M]):
    """Feeds ``(x, y)`` from sets that are held whole, on ``device``. The arguments are StreamDataModule's."""

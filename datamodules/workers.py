"""Images that stay in their files: decoded by worker processes for batches, by threads for slices.

A worker makes whole uint8 batches, so that one tensor a batch, in shared memory, crosses the process boundary. The
order is the sampler's, whatever the number of workers, and a batch fetched ahead counts only once it is trained on.
"""

import hashlib
import signal
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from datamodules.decode import Decoding
from datamodules.inspection import CHUNK, channels_first, decode_into, remembered
from datamodules.open_image import quiet_pillow
from datamodules.sources import Source
from datamodules.stream import Batch, Feed, ItemSet

HASHED_AT_ONCE = 1024
CUT_OFF = (ConnectionError, EOFError)  # what is met where a worker ends between announcing a batch and handing it over


class DataError(OSError):
    """A data set that was whole when the run began cannot be read any more. One sentence."""


def told(error: BaseException) -> BaseException:
    """``error``, or a DataError where it is torch's of a lost worker, raised wherever the run then was."""
    if not (isinstance(error, RuntimeError) and str(error).startswith("DataLoader worker (pid")):
        return error
    return _lost(str(error).splitlines()[0].rstrip(". "))


def _lost(how: str) -> DataError:
    return DataError(
        f"a worker process that decodes images was lost ({how}): is there enough memory? Fewer data.init_args.workers"
        " or a smaller batch_size need less."
    )


class FileSet(ItemSet):
    """One split of image files: like an ImageSet, but ``s[i:j]`` decodes, to the same bytes.

    Args:
        name: of the data set.
        split: "train" or "test".
        source: where the files lie.
        files: their numbers in the source, in order; all of them are known to be whole.
        labels: int64 [N].
        decode: how a file becomes an image.
        workers: worker processes for training batches, threads for slices; 0 decodes in the process itself.

    Raises:
        DataError: when asked for images of a file that is not as it was.
    """

    def __init__(
        self,
        name: str,
        split: str,
        source: Source,
        files: Sequence[int],
        labels: Tensor,
        decode: Decoding,
        workers: int,
    ) -> None:
        self.name, self.split = name, split
        self.source = source
        self.files = np.asarray(files)
        self.labels = labels
        self.decode = decode
        self.workers = workers

    def __getitem__(self, index: slice) -> Tensor:
        """uint8 [n, C, H, W], decoded by threads."""
        files = self.files[index].tolist()
        parts = [files[start : start + CHUNK] for start in range(0, len(files), CHUNK)] or [[]]
        with quiet_pillow(), ThreadPoolExecutor(max(1, self.workers)) as pool:
            return channels_first(np.concatenate(list(pool.map(self._decoded, parts))))

    def take(self, index: Tensor) -> Batch:
        """Images uint8 [n, C, H, W] and labels at ``index``, decoded here and now."""
        with quiet_pillow():
            pixels = self._decoded(self.files[index.cpu().numpy()].tolist())
        return channels_first(pixels), self.labels[index.cpu()]

    def feed(self, indices: Iterable[Tensor], pinned: bool = False) -> Feed:
        """The batches at ``indices``; worker processes where there is more than one to make."""
        alone = isinstance(indices, Sequence) and len(indices) < 2
        return _Feed(self, indices, 0 if alone else self.workers, pinned)

    def to(self, device: str) -> Self:
        """The same set: files lie on no device but the disk."""
        if torch.device(device).type != "cpu":
            raise ValueError(
                f"{self.name} is too large for memory_limit_gib, so that device {device} cannot hold it: set"
                " data.init_args.device to cpu, or the limit higher."
            )
        return self

    @cached_property
    def sha256(self) -> str:
        """Hash of the images' type, shape and bytes, as of a set in memory: one pass over all files, remembered."""

        def compute() -> tuple[dict[str, Any], bool]:
            digest = hashlib.sha256(f"{torch.uint8} {(len(self), *self.decode.shape)}".encode())
            for start in range(0, len(self), HASHED_AT_ONCE):
                digest.update(self[start : start + HASHED_AT_ONCE].numpy().data)
            return {"sha256": digest.hexdigest()}, True

        return remembered("sha256", self.source, self.files.tolist(), self.decode, compute)["sha256"]

    def _decoded(self, files: list[int]) -> np.ndarray:
        colours = (3,) if self.decode.channels == 3 else ()
        pixels = np.empty((len(files), self.decode.size, self.decode.size, *colours), dtype=np.uint8)
        faults = decode_into(pixels, self.source, files, self.decode).faults
        for number, reason in faults.items():
            raise DataError(
                f"{self.source.path.name}: {self.source.entries[number].name} can no longer be used ({reason}): "
                "restore it, or start anew without it."
            )
        return pixels


class _Answers(Dataset[Batch | DataError]):
    """What a worker sends: a batch, or what keeps it from one (a raised error would arrive as a traceback)."""

    def __init__(self, data: FileSet) -> None:
        self.data = data

    def __getitem__(self, index: np.ndarray) -> Batch | DataError:
        try:
            return self.data.take(torch.from_numpy(index))
        except DataError as error:
            return error


class _Feed:
    """Batches through a DataLoader, whose workers live from the first batch until ``close``."""

    def __init__(self, data: FileSet, indices: Iterable[Tensor], workers: int, pinned: bool) -> None:
        self.loader: DataLoader[Any] = DataLoader(
            _Answers(data),
            batch_size=None,
            sampler=_Arrays(indices),
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=pinned,
            worker_init_fn=_begin if workers else None,
            collate_fn=_as_it_is,
            generator=torch.Generator(),  # else the loader draws from the run's random stream
        )

    def __iter__(self) -> Iterator[Batch]:
        answers = iter(self.loader)
        while True:
            try:
                answer = next(answers)
            except StopIteration:
                return
            except RuntimeError as error:
                raise told(error) from error
            except CUT_OFF as error:
                raise _lost("its last batch was cut off") from error
            if isinstance(answer, DataError):
                raise answer
            yield answer

    def close(self) -> None:
        """End the worker processes; another iterator would start new ones."""
        iterator = self.loader._iterator  # private to torch, which closes only when it is collected
        if isinstance(iterator, _MultiProcessingDataLoaderIter):
            iterator._shutdown_workers()
        self.loader._iterator = None


class _Arrays:
    """``indices`` as arrays: tensors would be sent to the workers through shared memory, a file each."""

    def __init__(self, indices: Iterable[Tensor]) -> None:
        self.indices = indices

    def __iter__(self) -> Iterator[np.ndarray]:
        return (index.numpy() for index in self.indices)


def _begin(worker: int) -> None:
    # Ctrl-C reaches all processes of a terminal; the run stops after its step, and that may need another batch
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _as_it_is(answer: Any) -> Any:
    return answer

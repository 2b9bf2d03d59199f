"""Data sets of image files: decoded once into memory where they fit there, else by workers whenever they are needed.

Both ways give the same bytes in the same order under the same hash. A derived class says where the files lie
(``open_source``) and which belong to which split and class (``arrange``); in which order a split has them is said here
alone: mixed, as ``layout.py`` tells, so that the first so many of a split are of all classes.
"""

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch

from datamodules.archive import ZipSource
from datamodules.augment import Augmentation
from datamodules.base import ImageSet, ImageStream
from datamodules.decode import Decoding
from datamodules.functional.cores import cores
from datamodules.inspection import Findings, decode_all, inspect, say
from datamodules.layout import Layout, mixed
from datamodules.report import Report
from datamodules.sources import Fault, FolderSource, Source
from datamodules.stream import SPLITS, ItemSet
from datamodules.workers import FileSet

OnBad = Literal["skip", "refuse"]
MOST_WORKERS = 8


class ImageFiles(ImageStream[ItemSet]):
    """Feeds images from files.

    Args:
        decode: how a file becomes an image.
        on_bad: what to do about files that give no image: "skip" them, or "refuse" the whole set. Both name them.
        memory_limit_gib: a data set that is no larger, as uint8 and after resizing, is kept in memory; reading it needs
            twice as much for a moment.
        workers: processes that decode what is not, on each rank; None is one for each processor core, at most 8.

    The other arguments are ImageStream's.

    Attributes:
        report: what reading the files found, once they are read.

    Raises:
        ValueError: settings that cannot be followed; damaged files (when read, where on_bad is "refuse").
        FileNotFoundError: nothing where the files should be, before training starts.
    """

    def __init__(
        self,
        decode: Decoding,
        on_bad: OnBad = "skip",
        memory_limit_gib: float = 2.0,
        workers: int | None = None,
        batch_size: int = 64,
        seed: int = 0,
        augment: list[Augmentation] | None = None,
        device: str = "cpu",
        val_images: int | None = 64,
    ) -> None:
        super().__init__(batch_size, seed, augment, device, val_images)
        if workers is not None and workers < 0:
            raise ValueError(f"workers is {workers}: set data.init_args.workers to 0 or more, or to null.")
        self.decode = decode
        self.image_shape = decode.shape
        self.on_bad = on_bad
        self.memory_limit_gib = memory_limit_gib
        self.workers = min(cores(), MOST_WORKERS) if workers is None else workers
        self.report: Report | None = None

    @abstractmethod
    def open_source(self) -> Source:
        """Find the files, or raise FileNotFoundError with one sentence."""

    @abstractmethod
    def arrange(self, source: Source) -> Layout:
        """Which of the files belong to which split and class, in any order."""

    @cached_property
    def source(self) -> Source:
        """The files."""
        return self.open_source()

    @cached_property
    def layout(self) -> Layout:
        """Splits and classes of all files, damaged ones too, each split mixed."""
        try:
            layout = mixed(self.arrange(self.source), [entry.name for entry in self.source.entries])
        except ValueError as error:
            raise ValueError(f"{self.source.path}: {error}") from error
        self.class_names = layout.classes
        self.num_classes = None if layout.classes is None else len(layout.classes)
        return layout

    @property
    def in_memory(self) -> bool:
        """Whether all images together stay within the limit."""
        channels, height, width = self.image_shape
        images = sum(map(len, self.layout.images.values()))
        return images * channels * height * width <= self.memory_limit_gib * 2**30

    @cached_property
    def sets(self) -> dict[str, ItemSet]:
        """Both splits. Decodes every file at the first call, and says what it found."""
        self.report = Report(self.source.path.name, str(self.decode), self.layout.split_by)
        self.report.others.update(self.layout.others)
        self.report.faults.extend(self.source.refused)
        sets = {split: self.read(split).to(self.device) for split in SPLITS}
        self.report.faults.sort()
        if self.report.faults and self.on_bad == "refuse":
            raise ValueError(self.report.refusal())
        for split, images in sets.items():
            if not len(images):
                raise ValueError(
                    f"{self.source.path}: no file of the {split} split gives an image: {self.report.examples()}."
                )
        for line in self.report.lines():
            say(line)
        return sets

    @property
    def findings(self) -> dict[str, Any] | None:
        """What reading the files found, as plain values; None before."""
        return None if self.report is None else self.report.as_dict()

    def prepare_data(self) -> None:
        """On one process a machine: find the files; where they stay on the disk, look through them once for all."""
        if not self.in_memory:
            self.reference("train")
        # Lightning asks before it makes other processes wait: decoding into memory is each one's own work

    def read(self, split: str) -> ItemSet:
        """Read ``split``, and add what is found to the report."""
        files = [number for number, _ in self.layout.images[split]]
        images = None
        if self.in_memory:
            images, found = decode_all(self.source, files, self.decode, self.workers, keep=True)
        else:
            found = inspect(self.source, sorted(files), self.decode, self.workers)  # as they lie on the disk
        self._note(split, found)
        whole = [pair for pair in self.layout.images[split] if pair[0] not in found.faults]
        labels = torch.tensor([label for _, label in whole], dtype=torch.int64)
        if images is not None:
            return ImageSet(self.name, split, images, labels)
        return FileSet(
            self.name, split, self.source, [number for number, _ in whole], labels, self.decode, self.workers
        )

    def _note(self, split: str, found: Findings) -> None:
        assert self.report is not None
        self.report.counts[split] = len(self.layout.images[split]) - len(found.faults)
        self.report.faults += [Fault(self.source.entries[i].name, why) for i, why in found.faults.items()]
        self.report.changes += found.changes


def source_at(places: Sequence[Path], advice: str) -> Source:
    """The folder or zip archive at the first of ``places`` that is there.

    Raises:
        FileNotFoundError: nothing at any of them, with ``advice``; ValueError: a file that is no zip archive.
    """
    for path in places:
        if path.is_dir():
            return FolderSource(path)
        if path.is_file():
            return ZipSource(path)
    raise FileNotFoundError(f"{' and '.join(str(place) for place in places)}: absent; {advice}")

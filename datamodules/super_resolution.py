"""Pairs for super-resolution: an image as it should be (HR) and the small one that a network is given (LR).

Benchmarks are folders of shipped pairs, laid out as those of SelfExSR (Huang et al. 2015, "Single image
super-resolution from transformed self-exemplars"), whose LR files MATLAB made: ``<benchmark>/image_SRF_<scale>/`` with
``NAME_HR.png`` and ``NAME_LR.png``. They are taken exactly as they are: the HR is cropped to a multiple of the scale
already, and an image that is grey stays so.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import lightning as L
from torch import Tensor

from datamodules.base import data_root
from datamodules.collection import read_whole
from datamodules.functional.quantise import ValueRange, from_uint8
from datamodules.image_files import source_at
from datamodules.stream import Batch

SELF_EX_SR = ("SelfExSR/Set5", "SelfExSR/Set14")
HR, LR = "_HR.png", "_LR.png"


@dataclass(frozen=True)
class PairSet:
    """One benchmark at one scale, in the order of its files' names.

    Args:
        name: such as "Set5-x2".
        scale: how much larger the HR is.
        pairs: (HR [1, C, H, W], LR [1, C, h, w]), uint8; each of its own size.
    """

    name: str
    scale: int
    pairs: Sequence[Batch]

    def __len__(self) -> int:
        return len(self.pairs)

    @cached_property
    def sha256(self) -> str:
        """Hash of the images' shapes and bytes, HR and LR in turn: what a score's protocol calls the data."""
        digest = hashlib.sha256()
        for image in (image for pair in self.pairs for image in pair):
            digest.update(f"{image.dtype} {tuple(image.shape)}".encode())
            digest.update(image.numpy().data)
        return digest.hexdigest()


class PairLoader:
    """The pairs of a set in order, one a batch; rank r of W holds the pairs r::W."""

    def __init__(self, data: PairSet, rank: int = 0, world: int = 1) -> None:
        self.pairs = data.pairs[rank::world]

    def __len__(self) -> int:
        return len(self.pairs)

    def __iter__(self) -> Iterator[Batch]:
        return iter(self.pairs)


class SuperResolutionImages(L.LightningDataModule):
    """Feeds ``(x, y)`` in [0, 1]: x the HR [1, C, H, W], y the LR [1, C, h, w]; a dataloader a benchmark and scale.

    Args:
        scales: of every benchmark.
        benchmarks: their folders below ``root``; the last part of a path is the name.
        root: the folder that holds all data sets; None is the environment's ATELIER_DATA, else data/.

    Raises:
        ValueError: no scales or benchmarks, or one twice; when read: a file that is no image, or stands alone, or an
            HR that is not ``scale`` times its LR. FileNotFoundError: absent folders.
    """

    value_range: ValueRange = (0.0, 1.0)

    def __init__(
        self,
        scales: Sequence[int] = (2, 3, 4),
        benchmarks: Sequence[str] = SELF_EX_SR,
        root: str | None = None,
    ) -> None:
        super().__init__()
        names = [Path(path).name for path in benchmarks]
        for what, given in (("scales", scales), ("benchmarks", names)):
            if not given or len(set(given)) < len(given):
                shown = ", ".join(map(str, given)) or "none"
                raise ValueError(f"{what} are {shown}: set data.init_args.{what} to one or more, each another.")
        self.scales, self.benchmarks = tuple(scales), tuple(benchmarks)
        self.root = data_root(root)

    @cached_property
    def sets(self) -> list[PairSet]:
        """Every benchmark at every scale, held in memory."""
        return [read_pairs(self.root / path, scale) for path in self.benchmarks for scale in self.scales]

    def pairs(self) -> list[PairSet]:
        """The sets that validation and test look at, one a dataloader, in order."""
        return self.sets

    def setup(self, stage: str) -> None:
        """Read all files, so that whatever is wrong with one is said before anything begins."""
        self.pairs()

    def test_dataloader(self) -> list[PairLoader]:
        """One loader a set."""
        rank, world = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        return [PairLoader(data, rank, world) for data in self.pairs()]

    def val_dataloader(self) -> list[PairLoader]:
        """As in a test."""
        return self.test_dataloader()

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Bytes to floats."""
        x, y = batch
        return from_uint8(x, self.value_range), from_uint8(y, self.value_range)


def read_pairs(benchmark: Path, scale: int) -> PairSet:
    """The pairs of ``benchmark`` at ``scale``.

    Raises:
        FileNotFoundError: no such folder; ValueError: files that do not pair up, named in one sentence.
    """
    place = benchmark / f"image_SRF_{scale}"
    source = source_at(
        [place],
        f"it should hold the pairs NAME{HR} and NAME{LR} of scale {scale}, as github.com/jbhuang0604/SelfExSR ships"
        " them: set ATELIER_DATA or data.init_args.root to the folder above, or data.init_args.scales.",
    )
    number = {entry.name: i for i, entry in enumerate(source.entries)}
    stems = sorted({name.removesuffix(end) for name in number for end in (HR, LR) if name.endswith(end)})
    if not stems:
        raise ValueError(f"{place} holds no pair of NAME{HR} and NAME{LR}: put the benchmark's files there.")
    pairs = []
    for stem in stems:
        for name, other in ((stem + HR, stem + LR), (stem + LR, stem + HR)):
            if name not in number:
                raise ValueError(f"{place / name} is absent and {other} is there: a pair needs both, restore it.")
        x, y = (read_whole(source, number[stem + end]) for end in (HR, LR))
        check_pair(x, y, scale, place / stem)
        pairs.append((x, y))
    return PairSet(f"{benchmark.name}-x{scale}", scale, pairs)


def check_pair(x: Tensor, y: Tensor, scale: int, stem: Path) -> None:
    """Compare an HR ``x`` and an LR ``y``, [1, C, H, W].

    Raises:
        ValueError: the HR is not ``scale`` times as large, or one of them is grey.
    """
    if x.shape[1] != y.shape[1]:
        grey, colour = (HR, LR) if x.shape[1] == 1 else (LR, HR)
        raise ValueError(f"{stem}{grey} is grey and {stem.name}{colour} is not: replace the pair by one of a kind.")
    (H, W), (h, w) = x.shape[2:], y.shape[2:]
    if (scale * h, scale * w) != (H, W):
        raise ValueError(
            f"{stem}{HR} is {W} x {H} and {stem.name}{LR} {w} x {h}: at scale {scale} the HR must be"
            f" {scale * w} x {scale * h}."
        )

"""``python experiments/bench/data.py``: images/s of the worker path against bare torchvision decoding.

Both read the same JPEG files with as many worker processes, crop and resize them by the same kernel and hand out uint8
batches in the same order: a fifth of an epoch each, turn by turn and first one, then the other first, so that both see
the same machine. The bare side is torchvision's ImageFolder behind a DataLoader. First of all their batches of a whole
epoch are compared, byte by byte, which also warms up.

``--mixed FOLDER`` writes 5,000 files of many kinds, three of them bad, as a folder and as an archive, and stops.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, PILToTensor, Resize

from datamodules.folder import Folder
from datamodules.functional.files import replacing
from datamodules.sampler import IndexSampler
from datamodules.workers import FileSet
from experiments.bench.mixed import make_mixed, packed, picture, zip_of

CROP = 178
PARTS = 5
KERNEL = InterpolationMode.BILINEAR


def write_photos(folder: Path, n: int, seed: int = 0) -> None:
    """``n`` JPEG files of about CelebA's size, 178 to 240 pixels a side, in train/ and a test/ of one."""
    rng = np.random.default_rng(seed)
    for name in ("train/a", "train/b", "test/a"):
        (folder / name).mkdir(parents=True)
    for i in range(n):
        width, height = rng.integers(CROP, 241, 2).tolist()
        content = packed(picture(rng, width, height), "JPEG", quality=90)
        (folder / "train" / "ab"[i % 2] / f"{i:05d}.jpg").write_bytes(content)
    (folder / "test" / "a" / "0.jpg").write_bytes(content)


class Part:
    """The batches of one of ``parts`` parts of ``order``: the one that is ``now``."""

    def __init__(self, order: list[Tensor], parts: int) -> None:
        self.order, self.parts, self.now = order, parts, 0

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.order[self.now :: self.parts])


class Lists:
    """The same for torchvision's side, which numbers the files by their names: ``number`` of each of ours."""

    def __init__(self, part: Part, number: Tensor) -> None:
        self.part, self.number = part, number

    def __iter__(self) -> Iterator[list[int]]:
        return (self.number[batch].tolist() for batch in self.part)


def ours(folder: Path, size: int, workers: int) -> FileSet:
    """The worker path."""
    data = Folder(str(folder), size, "bilinear", CROP, memory_limit_gib=0, workers=workers)
    train = data.reference("train")
    assert isinstance(train, FileSet)
    return train


def bare(folder: Path, size: int, batches: Lists, workers: int) -> Iterable[Any]:
    """The same batches as a person would get them from torchvision."""
    transform = Compose([CenterCrop(CROP), Resize(size, KERNEL, antialias=True), PILToTensor()])
    return DataLoader(
        ImageFolder(str(folder / "train"), transform),
        batch_sampler=batches,
        num_workers=workers,
        persistent_workers=workers > 0,
    )


def check_equal(mine: Iterable[Any], theirs: Iterable[Any]) -> None:
    """Compare all batches, images and labels."""
    for (x, y), (others_x, others_y) in zip(mine, theirs, strict=True):
        if not (torch.equal(x, others_x) and torch.equal(y, others_y)):
            raise SystemExit("the two sides do not give the same bytes: nothing was measured")


def rate(batches: Iterable[Any]) -> float:
    """Images a second of one pass."""
    start, images = time.perf_counter(), 0
    for x, _ in batches:
        images += len(x)
    return images / (time.perf_counter() - start)


def take_turns(part: Part, sides: Sequence[Iterable[Any]], turns: int) -> list[list[float]]:
    """The rates of both sides in ``turns`` turns."""
    rates: list[list[float]] = [[], []]
    for turn in range(turns):
        part.now = turn % part.parts
        for side in (0, 1) if turn % 2 else (1, 0):
            rates[side].append(rate(sides[side]))
    return rates


def measure(images: int, size: int, batch: int, workers: int, turns: int) -> dict[str, Any]:
    """Time both sides in turn and compare the medians."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "photos"
        os.environ["ATELIER_CACHE"] = str(Path(name) / "cache")
        write_photos(folder, images)
        stream = IndexSampler(images, batch, seed=0).order(0)
        part = Part(list(stream[: images // batch * batch].view(-1, batch)), PARTS)
        train = ours(folder, size, workers)
        by_name = torch.from_numpy(train.files).argsort().argsort()
        sides = train.feed(part), bare(folder, size, Lists(part, by_name), workers)
        for part.now in range(PARTS):
            check_equal(*sides)
        mine, theirs = take_turns(part, sides, turns)
    ratios = [a / b for a, b in zip(mine, theirs, strict=True)]
    return {
        "files": f"{images} JPEG of {CROP} to 240 px, centre crop {CROP}, bilinear to {size} px, batch {batch}",
        "workers": workers,
        "turns": turns,
        "worker_path_images_per_second": round(statistics.median(mine), 1),
        "torchvision_images_per_second": round(statistics.median(theirs), 1),
        "ratio": round(statistics.median(ratios), 4),
        "ratio_quartiles": [round(q, 4) for q in statistics.quantiles(ratios, n=4)[::2]],
        "same_bytes": True,
    }


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--mixed", type=Path, help="write 5,000 mixed files into this new folder and stop")
    parser.add_argument("--out", type=Path, help="write the JSON object there, too")
    options = parser.parse_args()
    if options.mixed is not None:
        make_mixed(options.mixed / "mixed", options.images)
        zip_of(options.mixed / "mixed", options.mixed / "mixed.zip")
        return
    found = measure(options.images, options.size, options.batch, options.workers, options.turns)
    text = json.dumps(found, indent=2)
    print(text)
    if options.out is not None:
        with replacing(options.out) as file:
            file.write(text.encode() + b"\n")


if __name__ == "__main__":
    main()

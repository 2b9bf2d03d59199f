"""One image and a damage done to it here: what a method is fed that learns from the damaged image alone.

x is the clean image, y the damaged one, both in [0, 1] and the same at every step.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import repeat
from pathlib import Path
from typing import Any, cast

import lightning as L
import torch
from torch import Tensor

from datamodules.base import below, data_root
from datamodules.damage import Damage, Holed
from datamodules.decode import decode_upright
from datamodules.functional.keys import key
from datamodules.functional.quantise import UNIT, ValueRange
from datamodules.inspection import channels_first
from datamodules.open_image import BadImageError, quiet_pillow
from datamodules.pairs import PairLoader, PairSet
from datamodules.stream import Batch

DAMAGE_STREAM = int.from_bytes(b"damage")  # keys the damage apart from all other noise


class Again:
    """A loader of the same batch without end."""

    def __init__(self, batch: tuple[Tensor, ...]) -> None:
        self.batch = batch

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        return repeat(self.batch)


class SingleImage(L.LightningDataModule):
    """Feeds (x, y), and the hole where there is one, of one image.

    Args:
        image: its file, below ``root``.
        damage: what is done to it.
        crop: (H, W) px of its middle, or one side of a square; None takes all.
        truth: whether the file is the clean image. Where it is not, nothing can be compared with it: no scores.
        batch_size: how often the image stands in a training batch, as 2 for two draws of a method's own noise.
        seed: of the damage.
        root: the folder that holds all data sets; None is the environment's ATELIER_DATA, else data/.

    Raises:
        ValueError: a batch_size or crop that cannot be; when read: a file that gives no image, or is too small.
        FileNotFoundError: an absent file.
    """

    value_range: ValueRange = UNIT
    images_per_epoch = 1

    def __init__(
        self,
        image: str,
        damage: Damage,
        crop: int | tuple[int, int] | None = None,
        truth: bool = True,
        batch_size: int = 1,
        seed: int = 0,
        root: str | None = None,
    ) -> None:
        super().__init__()
        sides = (crop, crop) if isinstance(crop, int) else crop
        if sides is not None and min(sides) < 1:
            raise ValueError(f"crop is {crop}: set data.init_args.crop to 1 px or more, or to null for all.")
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}: set data.init_args.batch_size to 1 or more.")
        if not truth and damage.scale > 1:
            raise ValueError(f"{damage.name} makes y of the clean image: set data.init_args.truth to true.")
        self.image, self.damage, self.crop, self.truth = image, damage, sides, truth
        self.batch_size, self.seed, self.root = batch_size, seed, data_root(root)

    def read(self, file: str) -> Tensor:
        """The image ``file`` below the root, cropped: uint8 [1, C, H, W]."""
        image = read_file(below(self.root, file))
        H, W = image.shape[2:]
        h, w = self.crop or (H, W)
        if h > H or w > W:
            raise ValueError(f"{file} is {W} x {H} px, less than {w} x {h}: set data.init_args.crop to that, or null.")
        top, left = (H - h) // 2, (W - w) // 2
        return image[:, :, top : top + h, left : left + w].contiguous()

    @cached_property
    def pair(self) -> PairSet:
        """The image and its damaged form, as a set of one."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(key(self.seed, DAMAGE_STREAM))
            batch = self.damage(self.read(self.image), self.read)
        return PairSet(f"{Path(self.image).stem}-{self.damage.name}", self.damage.scale, [batch])

    @property
    def batch(self) -> Batch | Holed:
        """x, y, and what else there is."""
        (batch,) = self.pair.pairs
        return cast(Batch | Holed, batch)

    def pairs(self) -> list[PairSet]:
        """The one pair, for scores.

        Raises:
            ValueError: the file is not the clean image.
        """
        if not self.truth:
            raise ValueError(f"{self.image} is no clean image to compare with (truth is false): set fidelity to null.")
        return [self.pair]

    @property
    def shapes(self) -> Sequence[tuple[int, ...]]:
        """Of x, y and the rest, without N."""
        return [tuple(part.shape[1:]) for part in self.batch]

    @property
    def out_shape(self) -> tuple[int, ...]:
        """(C, H, W) of x."""
        return self.shapes[0]

    @property
    def findings(self) -> dict[str, Any] | None:
        """The image, its damage, and the PSNR to begin with, for the run's record."""
        batch = self.batch
        found: dict[str, Any] = {"image": self.pair.name, "shape": list(self.out_shape)}
        if isinstance(batch, Holed):
            found["hole"] = round(float(batch.hole.float().mean()), 6)
        if self.truth:
            found["beginning"] = {name: round(value, 6) for name, value in self.damage.beginning(batch).items()}
        return found

    def setup(self, stage: str) -> None:
        """Read all files, so that whatever is wrong with one is said before anything begins."""
        _ = self.pair

    def train_dataloader(self) -> Again:
        """The image without end."""
        batch = self.batch
        many = [part.repeat_interleave(self.batch_size, 0) for part in batch]
        return Again(Holed(*many) if isinstance(batch, Holed) else (many[0], many[1]))

    def val_dataloader(self) -> PairLoader:
        """The image once."""
        return PairLoader(self.pair)

    test_dataloader = predict_dataloader = val_dataloader


def read_file(path: Path) -> Tensor:
    """The image at ``path``, turned as its EXIF orientation says and otherwise as it is: uint8 [1, C, H, W].

    Raises:
        FileNotFoundError: nothing is there; ValueError: it gives no image, and why.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: absent; it should be an image file: set ATELIER_DATA or data.init_args.root to the folder that"
            " the names of files in data.init_args begin in."
        )
    try:
        with quiet_pillow():
            return channels_first(decode_upright(path.read_bytes())[None])
    except BadImageError as error:
        raise ValueError(f"{path} gives no image ({error}): give another, or mend it.") from error

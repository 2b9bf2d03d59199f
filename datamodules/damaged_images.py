"""Folders of images, and what damage of several levels leaves of them: what denoising and deblocking share."""

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property

from torch import Tensor

from datamodules.pair_files import checked_shares, names_of, shrunk
from datamodules.pairs import Colour, PairDataModule, PairSet
from datamodules.patches import Pair, Turns


class DamagedImages(PairDataModule):
    """Feeds ``(x, y)`` in [0, 1]: x the image [N, C, H, W], y the damaged one; a dataloader a test set and level.

    Args:
        train: folders of images below ``root`` to train on; none for what needs no training.
        test: folders of images below ``root``; the last part of a path is the name.
        shrink: sizes, as shares of its own, at which each training image is taken, unless a patch is larger.

    The other arguments are PairDataModule's.

    Raises:
        ValueError: no test sets, or one twice; when read: a file that is no image. FileNotFoundError: absent folders.
    """

    def __init__(
        self,
        train: Sequence[str],
        test: Sequence[str],
        shrink: Sequence[float],
        patch: int,
        stride: int | None,
        turns: Turns,
        colour: Colour,
        batch_size: int,
        seed: int,
        device: str,
        root: str | None,
    ) -> None:
        super().__init__(patch, stride, turns, colour, batch_size, seed, device, root)
        self.names, self.train, self.test = names_of(test, "test"), tuple(train), tuple(test)
        self.shrink = checked_shares(shrink)

    @property
    @abstractmethod
    def test_levels(self) -> Sequence[str]:
        """Names of the levels of damage at which every test set is looked at."""

    @abstractmethod
    def at_level(self, x: Tensor, number: int) -> Tensor:
        """uint8 ``x`` [1, C, H, W] as damaged as the level ``number`` says: bytes, or floats in [0, 1]."""

    @abstractmethod
    def as_pairs(self, image: Pair) -> list[Pair]:
        """What is trained on of one image."""

    def sized(self, image: Pair) -> Tensor:
        """What of a test image is looked at, uint8 [1, C, H, W]: all of it."""
        return image.x

    @cached_property
    def test_sets(self) -> list[PairSet]:
        """Every test set at every level, held in memory."""
        sets = []
        for name, folder in zip(self.names, self.test, strict=True):
            images = [self.sized(image) for image in self.images([folder], "test")]
            for i, level in enumerate(self.test_levels):
                sets.append(PairSet(f"{name}-{level}", 1, [(x, self.at_level(x, i)) for x in images]))
        return sets

    def pairs(self) -> list[PairSet]:
        """Every test set at every level."""
        return self.test_sets

    def training_pairs(self) -> dict[int, list[Pair]]:
        """The training images, in the networks' colour and at every size."""
        images = shrunk(self.images(self.train, "train"), self.shrink, self.patch)
        return {1: [pair for image in images for pair in self.as_pairs(image)]} if images else {}

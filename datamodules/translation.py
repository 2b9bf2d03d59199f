"""Images of one kind to be turned into images of another: label maps into photos, horses into zebras.

As pix2pix and CycleGAN (Isola et al. 2017; Zhu et al. 2017) are fed: images are resized to a little more than is
trained on, by Pillow's bicubic, and patches of them are cut anywhere and mirrored. In tests whole images are resized to
a patch. Values are in [-1, 1].
"""

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from datamodules.base import below
from datamodules.functional.pillow import cubic, resize_bytes
from datamodules.functional.quantise import ValueRange, from_uint8
from datamodules.paired_files import Images, PairedFiles, SideBySide, TwoKinds, Unpaired
from datamodules.pairs import Colour, PairDataModule, PairSet, in_colour
from datamodules.patches import Pair, Patches, Turns
from datamodules.stream import Batch

Direction = Literal["AtoB", "BtoA"]


class Translations(PairDataModule):
    """What pairs and unpaired images share: folders, sizes, direction.

    Args:
        train: folders below ``root`` to train on; none for what needs no training.
        test: folders below ``root``; a path with dashes for slashes is its set's name.
        direction: "AtoB" makes images B of A, "BtoA" A of B.
        load: side in px to which training images are resized before a patch is cut; None takes them, and those of
            tests, as they are.

    The other arguments are PairDataModule's.

    Raises:
        ValueError: no test set, one twice, or a size that is none.
    """

    value_range: ValueRange = (-1.0, 1.0)

    def __init__(
        self,
        train: Sequence[str],
        test: Sequence[str],
        direction: Direction,
        load: int | None,
        patch: int,
        turns: Turns,
        colour: Colour,
        batch_size: int,
        seed: int,
        device: str,
        root: str | None,
    ) -> None:
        super().__init__(patch, None, turns, colour, batch_size, seed, device, root)
        if load is not None and load < patch:
            raise ValueError(f"load is {load}, less than a patch of {patch}: set data.init_args.load to that or more.")
        if not test or len(set(test)) < len(test):
            raise ValueError(
                f"test is {', '.join(test) or 'none'}: set data.init_args.test to one or more folders, each another."
            )
        self.train, self.test, self.direction, self.load = tuple(train), tuple(test), direction, load

    def ordered(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """x and y of A and B."""
        return (b, a) if self.direction == "AtoB" else (a, b)

    def sized(self, image: Tensor, side: int | None) -> Tensor:
        """uint8 ``image`` [1, C, H, W] in the networks' colour, ``side`` pixels wide and high."""
        image = in_colour(image, self.colour)
        return image if side is None or image.shape[2:] == (side, side) else resize_bytes(image, side, cubic)

    @property
    def test_side(self) -> int | None:
        """Of the images of tests."""
        return None if self.load is None else self.patch

    @cached_property
    def test_sets(self) -> list[PairSet]:
        """Every test set, held in memory."""
        return [PairSet(folder.replace("/", "-"), 1, self.read_test(folder)) for folder in self.test]

    @abstractmethod
    def read_test(self, folder: str) -> list[Batch]:
        """x and y of a test, uint8 [1, C, H, W] each, as large as they are looked at."""

    def pairs(self) -> list[PairSet]:
        """Every test set."""
        return self.test_sets


class TranslationPairs(Translations):
    """Feeds pairs ``(x, y)`` in [-1, 1], x [N, C, H, W] to be made of y.

    Args:
        train: folders of pairs below ``root``; none for what needs no training.
        test: folders of pairs below ``root``; a path with dashes for slashes is its set's name.
        files: how the files of a folder pair up; side by side unless given.
        direction: "AtoB" makes images B of A, "BtoA" A of B.
        load: side in px to which training images are resized before a patch is cut; None takes them, and those of
            tests, as they are.

    The other arguments are PairDataModule's.

    Raises:
        ValueError: settings that cannot be followed; when read: files that make no pairs.
        FileNotFoundError: absent folders.
    """

    def __init__(
        self,
        train: Sequence[str] = (),
        test: Sequence[str] = (),
        files: PairedFiles | None = None,
        direction: Direction = "AtoB",
        load: int | None = 286,
        patch: int = 256,
        turns: Turns = "mirror",
        colour: Colour = "rgb",
        batch_size: int = 1,
        seed: int = 0,
        device: str = "cpu",
        root: str | None = None,
    ) -> None:
        super().__init__(train, test, direction, load, patch, turns, colour, batch_size, seed, device, root)
        self.files = files or SideBySide()

    def training_pairs(self) -> dict[int, list[Pair]]:
        """The training pairs."""
        found = [pair for folder in self.train for pair in self.files.read(below(self.root, folder))]
        pairs = [Pair(name, *(self.sized(image, self.load) for image in self.ordered(a, b))) for name, a, b in found]
        return {1: pairs} if pairs else {}

    def read_test(self, folder: str) -> list[Batch]:
        """Pair after pair."""
        pairs = (self.ordered(a, b) for _, a, b in self.files.read(below(self.root, folder)))
        return [(self.sized(x, self.test_side), self.sized(y, self.test_side)) for x, y in pairs]


class UnpairedImages(Translations):
    """Feeds ``(x, y)`` in [-1, 1] that have nothing to do with each other: x in turn, y drawn at random.

    Args:
        train: folders below ``root``, each with images of both kinds; none for what needs no training.
        test: folders below ``root``; a path with dashes for slashes is its set's name.
        files: where the two kinds are; of pairs the images are fed as if they were none, and tests know what is right.
        test_files: the same of tests; as in training unless given.
        direction: "AtoB" makes images B of A, "BtoA" A of B.
        load: side in px to which training images are resized before a patch is cut; None takes them, and those of
            tests, as they are.

    The other arguments are PairDataModule's.

    Raises:
        ValueError: settings that cannot be followed; when read: files that give no images.
        FileNotFoundError: absent folders.
    """

    def __init__(
        self,
        train: Sequence[str] = (),
        test: Sequence[str] = (),
        files: TwoKinds | None = None,
        test_files: TwoKinds | None = None,
        direction: Direction = "AtoB",
        load: int | None = 286,
        patch: int = 256,
        turns: Turns = "mirror",
        colour: Colour = "rgb",
        batch_size: int = 1,
        seed: int = 0,
        device: str = "cpu",
        root: str | None = None,
    ) -> None:
        super().__init__(train, test, direction, load, patch, turns, colour, batch_size, seed, device, root)
        self.files = files or Unpaired()
        self.test_files = test_files or (Unpaired("testA", "testB") if files is None else files)

    @cached_property
    def kinds(self) -> tuple[list[Pair], list[Pair]]:
        """The training images to be made, and those that are to be made from, by name."""
        read = [self.files.apart(below(self.root, folder)) for folder in self.train]
        a, b = ([image for both in read for image in both[i]] for i in range(2))
        x, y = (b, a) if self.direction == "AtoB" else (a, b)
        return self.loaded(x), self.loaded(y)

    def loaded(self, images: Images) -> list[Pair]:
        """``images`` as they are trained on, without a condition."""
        return [Pair(name, self.sized(image, self.load), None) for name, image in images]

    def training_pairs(self) -> dict[int, list[Pair]]:
        """The training images to be made."""
        return {1: self.kinds[0]} if self.kinds[0] else {}

    @cached_property
    def conditions(self) -> Patches:
        """The training images that are to be made from."""
        return Patches(type(self).__name__, self.kinds[1], 1, self.patch, None, self.turns).to(self.device)

    def damaged(self, x: Tensor) -> Tensor:
        """As many patches of the other kind as there are in ``x``, of images drawn at random."""
        item = torch.randint(len(self.conditions), (len(x),))
        return from_uint8(self.conditions.cut(item, x.device)[0], self.value_range)

    def setup(self, stage: str) -> None:
        """Read all files that are needed, so that whatever is wrong with one is said before anything begins."""
        super().setup(stage)
        if stage == "fit":
            _ = self.conditions

    def read_test(self, folder: str) -> list[Batch]:
        """Pair after pair; where there are none, each image of the larger kind beside one of the other in turn."""
        a, b = self.test_files.apart(below(self.root, folder))
        count = max(len(a), len(b))
        both = (self.ordered(a[i % len(a)][1], b[i % len(b)][1]) for i in range(count))
        return [(self.sized(x, self.test_side), self.sized(y, self.test_side)) for x, y in both]

    def pairs(self) -> list[PairSet]:
        """Every test set, of pairs.

        Raises:
            ValueError: they are none.
        """
        if not isinstance(self.test_files, PairedFiles):
            raise ValueError(f"{', '.join(self.test)}: of unpaired images none is right: set fidelity to null.")
        return self.test_sets

    @property
    def shown(self) -> list[PairSet]:
        """Every test set, of pairs or not."""
        return self.test_sets

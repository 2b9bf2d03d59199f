"""Images with holes: what inpainting is trained on and tested by.

Training patches are cut anywhere and given one of a pool of holes, turned, by draws of the batch's keyed stream. A test
image is the middle square of a file, and each kind of hole makes one test set, whose holes are drawn once from
``seed``, belong to the pairs, and so are part of their hash: LaMa's are not, and its tables hang on them.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from datamodules.damage import Holed
from datamodules.functional.constants import constant
from datamodules.functional.devices import sent
from datamodules.functional.keys import key
from datamodules.functional.masks import turned
from datamodules.functional.quantise import UNIT, from_uint8
from datamodules.holes import Free, Holes, draw_holes, read_holes
from datamodules.pair_files import checked_shares, names_of, shrunk
from datamodules.pairs import PairDataModule, PairSet
from datamodules.patches import Pair, Turns

POOL, TRAIN, TEST = 512, 0, 1
HOLE_STREAM = int.from_bytes(b"holes")  # keys the holes apart from all other draws


class HoledSet(PairSet):
    """Images, the same with holes, and the holes."""

    @cached_property
    def sha256(self) -> str:
        """As the base's, of y black in its hole: what a network is shown there is its own matter, not the data's."""
        black = [(x, y.masked_fill(hole, 0.0), hole) for x, y, hole in self.pairs]
        return PairSet(self.name, self.scale, black).sha256


class HoledImages(PairDataModule):
    """Feeds ``(x, y, hole)``, colours in [0, 1]: x the image [N, 3, H, W], y the same with ``fill`` in its hole.

    Args:
        holes: of training patches; of all kinds unless given.
        test_holes: of tests, each a set of its own, named after it; as in training where there is none.
        masks: folders of masks below ``root``, white where pixels are missing, each a further test set: image i of a
            set has mask i, and after the last one the first again.
        fill: what y has in the hole: a colour, red, green and blue in [0, 1].
        train: folders of images below ``root`` to train on; none for what needs no training.
        test: folders of images below ``root``; a path with dashes for slashes is its set's name.
        side: of the square that is cut from the middle of a test image, in px.
        columns: from where to where, as shares of the width, a test file is the image: [0, 0.5] for its left half.
        shrink: sizes, as shares of its own, at which each training image is taken, unless a patch is larger.
        patch: side of a training patch, in px.
        turns: which of a square's eight turns are drawn, for the patch; holes are turned in all ways.
        batch_size: patches a batch, on each rank.
        seed: of order, places, turns and training holes.
        device: where the training images' bytes are kept, "cpu" or "cuda".
        root: the folder that holds all data sets; None is the environment's ATELIER_DATA, else data/.
        test_seed: of the tests' holes, so that runs of several seeds share them.

    Raises:
        ValueError: settings that cannot be followed; when read: images or masks that cannot be used.
        FileNotFoundError: absent folders.
    """

    def __init__(
        self,
        holes: Holes | None = None,
        test_holes: Sequence[Holes] = (),
        masks: Sequence[str] = (),
        fill: tuple[float, float, float] = (0.0, 0.0, 0.0),
        train: Sequence[str] = ("BSDS500/train",),
        test: Sequence[str] = ("facades/test",),
        side: int = 256,
        columns: tuple[float, float] = (0.0, 1.0),
        shrink: Sequence[float] = (1.0,),
        patch: int = 256,
        turns: Turns = "mirror",
        batch_size: int = 16,
        seed: int = 0,
        device: str = "cpu",
        root: str | None = None,
        test_seed: int = 0,
    ) -> None:
        super().__init__(patch, None, turns, "rgb", batch_size, seed, device, root)
        if not all(0 <= level <= 1 for level in fill):
            raise ValueError(f"fill is {list(fill)}: set data.init_args.fill to three values from 0 to 1.")
        if not 0 <= columns[0] < columns[1] <= 1:
            raise ValueError(f"columns is {list(columns)}: set data.init_args.columns to shares such as [0, 0.5].")
        if side < 1:
            raise ValueError(f"side is {side}: set data.init_args.side to 1 px or more.")
        self.names = names_of([folder.replace("/", "-") for folder in test], "test")
        self.train, self.test, self.side, self.columns = tuple(train), tuple(test), side, columns
        self.holes = Free() if holes is None else holes
        self.test_holes, self.masks = list(test_holes), tuple(masks)
        if not self.test_holes and not self.masks:
            self.test_holes = [self.holes]
        names_of([*(kind.name for kind in self.test_holes), *(Path(folder).name for folder in masks)], "test_holes")
        self.shrink, self.fill, self.test_seed = checked_shares(shrink), fill, test_seed

    def training_pairs(self) -> dict[int, list[Pair]]:
        """The training images at every size."""
        images = shrunk(self.images(self.train, "train"), self.shrink, self.patch)
        return {1: images} if images else {}

    @cached_property
    def pool(self) -> Tensor:
        """The holes of training, bool [512, 1, patch, patch]."""
        return draw_holes(self.holes, POOL, self.patch, key(self.seed, HOLE_STREAM, TRAIN)).to(self.device)

    def setup(self, stage: str) -> None:
        """As the base; the holes too."""
        super().setup(stage)
        if stage == "fit":
            _ = self.pool

    def draw(self, item: Tensor) -> Holed:
        """The patches of the numbers ``item`` [N], places, turns and holes drawn from the stream."""
        x = from_uint8(self.by_scale[0].cut(item, self.target)[0], UNIT)
        number = torch.randint(len(self.pool), item.shape, device=self.pool.device)
        turn = torch.randint(8, item.shape, device=self.pool.device)
        return self.holed(x, sent(turned(self.pool[number], turn), x.device))

    def holed(self, x: Tensor, hole: Tensor) -> Holed:
        """``x`` [N, 3, H, W] in [0, 1] with ``hole`` [N, 1, H, W] in it."""
        fill = constant(tuple(self.fill), x.device, x.dtype).view(-1, 1, 1)
        return Holed(x, torch.where(hole, fill, x), hole)

    # --- tests ------------------------------------------------------------------------------------------------

    def square(self, image: Pair) -> Tensor:
        """The middle of the image that ``columns`` say, uint8 [1, 3, side, side].

        Raises:
            ValueError: it is smaller.
        """
        first, end = (round(share * image.x.shape[3]) for share in self.columns)
        x = image.x[:, :, :, first:end]
        H, W = x.shape[2:]
        if min(H, W) < self.side:
            raise ValueError(
                f"{image.name} is {W} x {H}, smaller than a square of {self.side}: set data.init_args.side below."
            )
        top, left = (H - self.side) // 2, (W - self.side) // 2
        return x[:, :, top : top + self.side, left : left + self.side].contiguous()

    def kinds(self, count: int) -> dict[str, Tensor]:
        """The holes of ``count`` images, [count, 1, side, side], by the names of the kinds."""
        found = {
            kind.name: draw_holes(kind, count, self.side, key(self.test_seed, HOLE_STREAM, TEST, i))
            for i, kind in enumerate(self.test_holes)
        }
        for folder in self.masks:
            holes = read_holes(self.root, folder, self.side)
            found[Path(folder).name] = holes[torch.arange(count) % len(holes)]
        return found

    @cached_property
    def test_sets(self) -> list[PairSet]:
        """Every test set with every kind of hole, held in memory: x of bytes, y of floats, the hole."""
        sets: list[PairSet] = []
        for name, folder in zip(self.names, self.test, strict=True):
            squares = [self.square(image) for image in self.images([folder], "test")]
            for kind, holes in self.kinds(len(squares)).items():
                triples = [
                    (x, self.holed(from_uint8(x, UNIT), hole).y, hole)
                    for x, hole in zip(squares, holes.split(1), strict=True)
                ]
                sets.append(HoledSet(f"{name}-{kind}", 1, triples))
        return sets

    def pairs(self) -> list[PairSet]:
        """Every test set with every kind of hole."""
        return self.test_sets

    def whole(self, batch: tuple[Tensor, ...]) -> Holed:
        """A pair as floats, and its hole."""
        x, y, hole = batch
        return Holed(*self.as_given(x, y), hole)

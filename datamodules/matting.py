"""Compositions for matting: foregrounds with their alpha on any backgrounds, and the trimaps that go with them.

In training everything is drawn for each patch anew: which background, where, and how wide the trimap's band is. A test
composition depends on the test's seed and its own foreground, by numpy's ``RandomState``, whose stream is frozen.
"""

import zlib
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from datamodules.base import below
from datamodules.decode import decode_rgba
from datamodules.functional.keys import key
from datamodules.functional.matting import BACKGROUND, FOREGROUND, composed, trimap
from datamodules.functional.quantise import UNIT, from_uint8, to_uint8
from datamodules.pair_files import other_folders, read_images
from datamodules.pairs import PairDataModule, PairSet, in_colour
from datamodules.patches import Pair, Patches, Turns
from datamodules.stream import Batch
from datamodules.trimaps import TrimapPhotographs, by_stem

SEEDS = 2**32  # numpy takes as many


class Matte(NamedTuple):
    """An alpha, what it is to be found from, and what the picture was composed of. Values in [0, 1]."""

    x: Tensor  # [N, 1, H, W]: alpha
    y: Tensor  # [N, 4, H, W]: the picture, and the trimap as 0, 128 / 255 and 1
    foreground: Tensor  # [N, 3, H, W]
    background: Tensor  # [N, 3, H, W]


class MattingCompositions(PairDataModule):
    """Feeds ``Matte``: patches of foregrounds on patches of backgrounds; in tests whole foregrounds, and photographs.

    Args:
        foregrounds: folders of images with alpha below ``root``; or of folders "fg" and "alpha" with namesakes, as
            Composition-1k has them.
        backgrounds: folders of images below ``root`` to train on.
        test_backgrounds: folders of images below ``root`` to test on.
        test_share: of the foregrounds, those with the smallest checksum of their names, that are held out for tests;
            0, where there are photographs, holds out none.
        band: least and greatest erosion and dilation of a trimap in px, drawn each by itself.
        test_seed: of the tests' backgrounds and trimaps.
        photographs: sets to test on besides.

    The other arguments are PairDataModule's.

    Raises:
        ValueError: settings that cannot be followed; when read: a foreground without alpha, or a file that is no image,
            or one that is too small. FileNotFoundError: absent folders.
    """

    def __init__(
        self,
        foregrounds: Sequence[str] = ("noto-emoji-128",),
        backgrounds: Sequence[str] = ("BSDS500/train",),
        test_backgrounds: Sequence[str] = ("T91",),
        test_share: float = 0.1,
        band: tuple[int, int] = (1, 8),
        test_seed: int = 0,
        photographs: Sequence[TrimapPhotographs] = (),
        patch: int = 96,
        turns: Turns = "mirror",
        batch_size: int = 16,
        seed: int = 0,
        device: str = "cpu",
        root: str | None = None,
    ) -> None:
        super().__init__(patch, None, turns, "rgb", batch_size, seed, device, root)
        if not (0 if photographs else 1e-9) <= test_share < 1:
            raise ValueError(f"test_share is {test_share}: set data.init_args.test_share between 0 and 1.")
        if not 0 <= band[0] <= band[1]:
            raise ValueError(f"band is {list(band)}: set data.init_args.band to two numbers of px, the lesser first.")
        self.folders = tuple(foregrounds)
        self.backgrounds, self.test_backgrounds = tuple(backgrounds), tuple(test_backgrounds)
        self.test_share, self.band, self.test_seed = test_share, band, test_seed
        self.photographs = tuple(photographs)

    # --- files ------------------------------------------------------------------------------------------------

    @cached_property
    def foregrounds(self) -> dict[str, list[Pair]]:
        """The foregrounds of "train" and "test", uint8 [1, 4, H, W], in order of their names."""
        found = [pair for folder in self.folders for pair in self.with_alpha(folder)]
        ranked = sorted(found, key=lambda pair: zlib.crc32(pair.name.encode()))
        held = {pair.name for pair in ranked[: round(self.test_share * len(ranked))]}
        parts = {"train": [p for p in found if p.name not in held], "test": [p for p in found if p.name in held]}
        if not parts["train"] or (self.test_share and not parts["test"]):
            raise ValueError(
                f"{len(found)} foregrounds shared out by test_share {self.test_share} leave a part empty: change "
                "data.init_args.test_share or add images."
            )
        return parts

    def with_alpha(self, folder: str) -> list[Pair]:
        """The foregrounds of one folder, in order of their names."""
        place = below(self.root, folder)
        if not ((place / "fg").is_dir() and (place / "alpha").is_dir()):
            return read_images(self.root, [folder], other_folders("foregrounds"), decode_rgba)
        colours, alphas = (by_stem(self.root, f"{folder}/{part}") for part in ("fg", "alpha"))
        found = []
        for stem, colour in colours.items():
            if stem not in alphas or alphas[stem].shape[2:] != colour.shape[2:]:
                raise ValueError(f"{place}: fg/{stem} has no alpha of its size in alpha: put it there.")
            alpha = in_colour(alphas[stem], "grey")
            found.append(Pair(stem, torch.cat([in_colour(colour, "rgb"), alpha], 1), None))
        return found

    # --- training ---------------------------------------------------------------------------------------------

    @property
    def out_shape(self) -> tuple[int, ...]:
        """(1, H, W) of a training patch of alpha."""
        return 1, self.patch, self.patch

    def training_pairs(self) -> dict[int, list[Pair]]:
        """The foregrounds."""
        return {1: self.foregrounds["train"]}

    @cached_property
    def background_patches(self) -> Patches:
        """What training backgrounds are cut from."""
        grounds = self.images(self.backgrounds, "backgrounds")
        return Patches("backgrounds", grounds, 1, self.patch, None, self.turns).to(self.device)

    def setup(self, stage: str) -> None:
        """As in the base; the training backgrounds too."""
        super().setup(stage)
        if stage == "fit":
            _ = self.background_patches

    def draw(self, item: Tensor) -> Matte:
        """Compositions of the foregrounds numbered ``item`` [N] on backgrounds and with trimaps from the stream."""
        cut, _ = self.by_scale[0].cut(item, self.target)
        ground, _ = self.background_patches.cut(torch.randint(len(self.background_patches), item.shape), self.target)
        least, most = self.band
        erosion, dilation = (torch.randint(least, most + 1, item.shape) for _ in range(2))
        return matte(cut, ground, trimap(cut[:, 3:], erosion, dilation))

    # --- tests ------------------------------------------------------------------------------------------------

    def pairs(self) -> list[PairSet]:
        """The test compositions, and the photographs."""
        return self.test_pairs

    @cached_property
    def test_pairs(self) -> list[PairSet]:
        """They, read once."""
        own = [self.test_set] if self.test_share else []
        return [*own, *(kind.pairs(self.root) for kind in self.photographs)]

    @cached_property
    def test_set(self) -> PairSet:
        """Each held-out foreground on a background of its own, held in memory: alpha, picture and trimap as bytes."""
        grounds = self.images(self.test_backgrounds, "test_backgrounds")
        made = [self.composition(pair, grounds) for pair in self.foregrounds["test"]]
        return PairSet(f"compositions{self.test_seed}", 1, made)

    def whole(self, batch: tuple[Tensor, ...]) -> Batch:
        """A test composition as floats: alpha, and picture with trimap."""
        alpha, y = batch
        return from_uint8(alpha, UNIT), from_uint8(y, UNIT)

    def composition(self, pair: Pair, grounds: Sequence[Pair]) -> tuple[Tensor, ...]:
        """One foreground, its background, place and trimap drawn by its name: uint8 alpha and picture with trimap."""
        stream = np.random.RandomState(key(self.test_seed, zlib.crc32(pair.name.encode())) % SEEDS)
        H, W = pair.x.shape[2:]
        large = [ground.x for ground in grounds if ground.x.shape[2] >= H and ground.x.shape[3] >= W]
        if not large:
            raise ValueError(
                f"no test background is as large as {pair.name}, {W} x {H}: set data.init_args.test_backgrounds to "
                "others."
            )
        ground = large[stream.randint(len(large))]
        top, left = (stream.randint(side - own + 1) for side, own in zip(ground.shape[2:], (H, W), strict=True))
        least, most = self.band
        erosion, dilation = (torch.tensor([stream.randint(least, most + 1)]) for _ in range(2))
        band = trimap(pair.x[:, 3:], erosion, dilation)
        for radius, level in ((erosion, FOREGROUND), (dilation, BACKGROUND)):  # every method asks for some of both
            while radius > 0 and not (band == level).any():
                radius -= 1
                band = trimap(pair.x[:, 3:], erosion, dilation)
        made = matte(pair.x, ground[:, :, top : top + H, left : left + W], band)
        return pair.x[:, 3:], torch.cat([to_uint8(made.y[:, :3], UNIT), band], 1)


def matte(foreground: Tensor, background: Tensor, band: Tensor) -> Matte:
    """The composition of uint8 ``foreground`` [N, 4, H, W], ``background`` [N, 3, H, W] and a trimap [N, 1, H, W]."""
    rgba, ground = from_uint8(foreground, UNIT), from_uint8(background, UNIT)
    alpha = rgba[:, 3:]
    picture = torch.cat([composed(rgba[:, :3], alpha, ground), from_uint8(band, UNIT)], 1)
    return Matte(alpha, picture, rgba[:, :3], ground)

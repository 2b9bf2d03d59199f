"""Pairs for deblocking: an image and what Pillow's JPEG encoder leaves of it.

DnCNN's third task (Zhang et al. 2017, section IV-A) of grey images. The encoder is libjpeg's, with its standard
quantisation tables for a quality, as MATLAB's is; images of colour would be encoded in Pillow's default 4:2:0.
"""

from collections.abc import Sequence
from functools import cached_property
from io import BytesIO

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from datamodules.pairs import (
    Colour,
    PairDataModule,
    PairSet,
    checked_shares,
    in_colour,
    names_of,
    read_images,
    shrunk,
)
from datamodules.patches import Pair, Turns

ADVICE = "set ATELIER_DATA or data.init_args.root to the folder above, or data.init_args.{} to others."


class JPEGImages(PairDataModule):
    """Feeds ``(x, y)`` in [0, 1]: x the image [N, C, H, W], y its JPEG; a dataloader a test set and quality.

    Every training image stands for one pair at each quality: an epoch holds all of them.

    Args:
        qualities: of the encoder, 1 to 100, in training.
        test_qualities: in tests; as in training where there are none.
        train: folders of images below ``root`` to train on; none for what needs no training.
        test: folders of images below ``root``; the last part of a path is the name.
        shrink: sizes, as shares of its own, at which each training image is taken.

    The other arguments are PairDataModule's.

    Raises:
        ValueError: no qualities or test sets, one twice, or a quality that is none; when read: a file that is no image.
        FileNotFoundError: absent folders.
    """

    def __init__(
        self,
        qualities: Sequence[int] = (10, 20, 30, 40),
        test_qualities: Sequence[int] = (),
        train: Sequence[str] = ("Train400",),
        test: Sequence[str] = ("BSD68",),
        shrink: Sequence[float] = (1.0,),
        patch: int = 40,
        stride: int | None = 10,
        turns: Turns = "all",
        colour: Colour = "grey",
        batch_size: int = 128,
        seed: int = 0,
        device: str = "cpu",
        root: str | None = None,
    ) -> None:
        super().__init__(patch, stride, turns, colour, batch_size, seed, device, root)
        self.qualities = checked_qualities(qualities, "qualities")
        self.test_qualities = checked_qualities(test_qualities or qualities, "test_qualities")
        self.names, self.test = names_of(test, "test"), tuple(test)
        self.train, self.shrink = tuple(train), checked_shares(shrink)

    @cached_property
    def encoded_pairs(self) -> list[PairSet]:
        """Every test set at every quality, held in memory."""
        sets = []
        for name, folder in zip(self.names, self.test, strict=True):
            images = [
                in_colour(pair.x, self.colour) for pair in read_images(self.root, [folder], ADVICE.format("test"))
            ]
            sets += [PairSet(f"{name}-q{q}", 1, [(x, encoded(x, q)) for x in images]) for q in self.test_qualities]
        return sets

    def pairs(self) -> list[PairSet]:
        """Every test set at every quality."""
        return self.encoded_pairs

    def training_pairs(self) -> dict[int, list[Pair]]:
        """The training images, in the networks' colour and at every size, at every quality."""
        images = read_images(self.root, self.train, ADVICE.format("train"))
        images = shrunk([pair._replace(x=in_colour(pair.x, self.colour)) for pair in images], self.shrink)
        pairs = [Pair(pair.name, pair.x, encoded(pair.x, quality)) for pair in images for quality in self.qualities]
        return {1: pairs} if pairs else {}


def encoded(image: Tensor, quality: int) -> Tensor:
    """uint8 ``image`` [1, C, H, W], C being 1 or 3, as JPEG of ``quality`` and back: uint8 of the same shape."""
    pixels = image[0].permute(1, 2, 0).numpy()
    file = BytesIO()
    Image.fromarray(pixels[:, :, 0] if len(image[0]) == 1 else pixels).save(file, "JPEG", quality=quality)
    back = torch.from_numpy(np.array(Image.open(file)))
    return back[None, None] if back.ndim == 2 else back.permute(2, 0, 1)[None]


def checked_qualities(qualities: Sequence[int], setting: str) -> tuple[int, ...]:
    """``qualities`` themselves.

    Raises:
        ValueError: none, one twice, or one that no encoder knows.
    """
    if not qualities or len(set(qualities)) < len(qualities) or not all(1 <= q <= 100 for q in qualities):
        shown = ", ".join(map(str, qualities)) or "none"
        raise ValueError(
            f"{setting} are {shown}: set data.init_args.{setting} to whole numbers 1 to 100, each another."
        )
    return tuple(qualities)

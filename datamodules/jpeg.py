"""Pairs for deblocking: an image and what Pillow's JPEG encoder leaves of it.

DnCNN's third task (Zhang et al. 2017, section IV-A) of grey images. The encoder is libjpeg's, with its standard
quantisation tables for a quality, as MATLAB's is; images of colour would be encoded in Pillow's default 4:2:0.
"""

from collections.abc import Sequence
from io import BytesIO

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from datamodules.damaged_images import DamagedImages
from datamodules.pairs import Colour
from datamodules.patches import Pair, Turns


class JPEGImages(DamagedImages):
    """Feeds ``(x, y)`` in [0, 1]: x the image [N, C, H, W], y its JPEG; a dataloader a test set and quality.

    Every training image stands for one pair at each quality: an epoch holds all of them.

    Args:
        qualities: of the encoder, 1 to 100, in training.
        test_qualities: in tests; as in training where there are none.

    The other arguments are DamagedImages'.

    Raises:
        ValueError: as the base; no qualities, one twice, or one that no encoder knows.
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
        super().__init__(train, test, shrink, patch, stride, turns, colour, batch_size, seed, device, root)
        self.qualities = checked_qualities(qualities, "qualities")
        self.test_qualities = checked_qualities(test_qualities or qualities, "test_qualities")

    @property
    def test_levels(self) -> list[str]:
        """Such as q10."""
        return [f"q{quality}" for quality in self.test_qualities]

    def at_level(self, x: Tensor, number: int) -> Tensor:
        """``x`` as JPEG of that quality."""
        return encoded(x, self.test_qualities[number])

    def as_pairs(self, image: Pair) -> list[Pair]:
        """The image with its JPEG of each quality."""
        return [image._replace(y=encoded(image.x, quality)) for quality in self.qualities]


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

"""What is done to one image, so that a method can undo it: noise, shrinking, missing pixels.

As in the authors' code of deep image prior (Ulyanov et al. 2018): noise is added to the image and the sum is clipped to
[0, 1], but not rounded to 8 bits; small images are made by Pillow's Lanczos; a mask is black where pixels are missing.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor

from datamodules.functional.degrade import gaussian
from datamodules.functional.quantise import UNIT, from_uint8, to_uint8
from datamodules.functional.resize import bicubic_by
from datamodules.stream import Batch

WHITE = 128  # grey level from which a mask's pixel is known
Read = Callable[[str], Tensor]


class Holed(NamedTuple):
    """A batch of images with missing pixels."""

    x: Tensor  # [N, C, H, W]
    y: Tensor  # [N, C, H, W]: x, and 0 in the hole
    hole: Tensor  # bool [N, 1, H, W]: True where pixels are missing


class Damage(ABC):
    """What is done to an image. Random numbers come from the global stream.

    Attributes:
        name: for the names of scores.
        scale: how many times as large x is as y.
    """

    scale = 1

    @property
    @abstractmethod
    def name(self) -> str: ...

    @abstractmethod
    def __call__(self, image: Tensor, read: Read) -> Batch | Holed:
        """x and y of uint8 ``image`` [1, C, H, W], and what else there is; ``read`` crops another file alike."""

    @abstractmethod
    def beginning(self, batch: Batch | Holed) -> dict[str, float]:
        """PSNR in dB of what the damaged image is at once, by the name of that and of the score."""


class Noise(Damage):
    """Gaussian noise, clipped.

    Args:
        sigma: its standard deviation in grey levels; 0 takes the file as the damaged image.
    """

    def __init__(self, sigma: float = 25.0) -> None:
        if sigma < 0:
            raise ValueError(f"sigma is {sigma}: set it to 0 grey levels or more.")
        self.sigma = sigma

    @property
    def name(self) -> str:
        """Such as "noise25"."""
        return f"noise{self.sigma:g}"

    def __call__(self, image: Tensor, read: Read) -> Batch:
        """The image, and it with noise."""
        x = from_uint8(image, UNIT)
        return x, gaussian(x, self.sigma).clamp(*UNIT)

    def beginning(self, batch: Batch | Holed) -> dict[str, float]:
        """The noisy image's."""
        return {"noisy/psnr@rgb": psnr(batch[1], batch[0])}


class Shrinking(Damage):
    """A smaller image.

    Args:
        factor: how many times smaller.
    """

    def __init__(self, factor: int = 4) -> None:
        if factor < 2:
            raise ValueError(f"factor is {factor}: set it to 2 or more.")
        self.scale = factor

    @property
    def name(self) -> str:
        """Such as "x4"."""
        return f"x{self.scale}"

    def __call__(self, image: Tensor, read: Read) -> Batch:
        """The image, and a small one, in 256 grey levels."""
        H, W = image.shape[2:]
        if H % self.scale or W % self.scale:
            raise ValueError(
                f"An image of {W} x {H} is no multiple of {self.scale}: set data.init_args.crop to one, such as"
                f" [{H // self.scale * self.scale}, {W // self.scale * self.scale}]."
            )
        planes = [Image.fromarray(plane.numpy()) for plane in image[0]]
        small = [p.resize((W // self.scale, H // self.scale), Image.Resampling.LANCZOS) for p in planes]
        data = torch.stack([torch.frombuffer(bytearray(p.tobytes()), dtype=torch.uint8) for p in small])
        y = data.view(1, len(small), H // self.scale, W // self.scale)
        return from_uint8(image, UNIT), from_uint8(y, UNIT)

    def beginning(self, batch: Batch | Holed) -> dict[str, float]:
        """MATLAB's bicubic enlargement's."""
        large = bicubic_by(to_uint8(batch[1], UNIT), self.scale)
        return {"bicubic/psnr@rgb": psnr(from_uint8(large, UNIT), batch[0])}


class Missing(Damage):
    """Pixels that are missing."""

    @abstractmethod
    def hole(self, image: Tensor, read: Read) -> Tensor:
        """Where, of uint8 ``image`` [1, C, H, W]: bool [1, 1, H, W]."""

    def __call__(self, image: Tensor, read: Read) -> Holed:
        """The image, it with 0 for what is missing, and the hole.

        Raises:
            ValueError: there is none, or nothing else.
        """
        hole, x = self.hole(image, read), from_uint8(image, UNIT)
        if not hole.any() or hole.all():
            raise ValueError(
                f"{'No' if not hole.any() else 'Every'} pixel of the image is missing under {self.name}: choose another"
                " mask, share or crop."
            )
        return Holed(x, x * ~hole, hole)

    def beginning(self, batch: Batch | Holed) -> dict[str, float]:
        """Inside the hole, that of the mean colour of all known pixels."""
        assert isinstance(batch, Holed)
        x, hole = batch.x[0].flatten(1), batch.hole.flatten()
        mean = x[:, ~hole].mean(1, keepdim=True)
        return {"mean-fill/psnr@rgb-hole": psnr(mean.expand(-1, int(hole.sum())), x[:, hole])}


class Masked(Missing):
    """Pixels are missing where a mask image is black.

    Args:
        mask: its file, below the root or in the working directory.
    """

    def __init__(self, mask: str) -> None:
        self.mask = mask

    @property
    def name(self) -> str:
        """The mask's."""
        return Path(self.mask).stem

    def hole(self, image: Tensor, read: Read) -> Tensor:
        """Where the mask is below mid-grey."""
        mask = read(self.mask)
        if mask.shape[2:] != image.shape[2:]:
            (H, W), (h, w) = image.shape[2:], mask.shape[2:]
            raise ValueError(f"{self.mask} is {w} x {h} and the image {W} x {H}: give a mask of the image's size.")
        return mask.float().mean(1, keepdim=True) < WHITE


class Sparse(Missing):
    """Each pixel is missing with the same probability.

    Args:
        share: that probability.
    """

    def __init__(self, share: float = 0.5) -> None:
        if not 0 < share < 1:
            raise ValueError(f"share is {share}: set it to more than 0 and less than 1.")
        self.share = share

    @property
    def name(self) -> str:
        """Such as "missing50"."""
        return f"missing{100 * self.share:g}"

    def hole(self, image: Tensor, read: Read) -> Tensor:
        """A draw for each pixel, all its channels together."""
        return torch.rand(1, 1, *image.shape[2:]) < self.share


def psnr(a: Tensor, b: Tensor) -> float:
    """PSNR in dB of two images of any shape in [0, 1], both rounded to 8 bits first."""
    error = (to_uint8(a, UNIT).double() - to_uint8(b, UNIT).double()).square().mean()
    return 10 * math.log10(255**2 / float(error)) if error > 0 else math.inf

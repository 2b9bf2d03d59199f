"""Augmentations that each strike an image with probability p: the pipeline "bgc" of Karras et al. (2020, appendix B).

Pixel blitting (b), geometry (g) and colour (c), of the strengths given there. As long as p stays below one, D can tell
augmented distributions apart only if the plain ones differ, so that G learns the plain one (section 2.2); quarter turns
and reversals of colour need p below some 0.8.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import log, pi, sqrt

import torch
from torch import Tensor

from datamodules.functional.constants import constant
from lightning_modules.augment import diff_augment
from lightning_modules.augment.base import Augmentation, move_pixels, per_image, pixel_grid
from lightning_modules.augment.warp import reflect, warp

LARGEST_SHIFT = 0.125  # of the side, by whole pixels
SHIFT = 0.125  # deviation of a shift by parts of pixels, of the side
SCALE = 0.2 * log(2)  # deviations of logarithms
CONTRAST = 0.5 * log(2)
SATURATION = log(2)
CROSS = ((0, -1, 1), (1, 0, -1), (-1, 1, 0))  # the cross product with (1, 1, 1)
BRIGHTNESS = 0.2  # deviation in [-1, 1]


class Operation(ABC):
    """A kind of augmentation, made of several that are drawn one by one."""

    @abstractmethod
    def __call__(self, x: Tensor, p: Tensor) -> Tensor:
        """``x`` [N, C, H, W] after each augmentation has struck each image with probability ``p``, a scalar."""


class Blit(Operation):
    """Mirroring, quarter turns and shifts by whole pixels: pixels change places, none its value.

    An image that is not square is turned by half turns only.
    """

    def __call__(self, x: Tensor, p: Tensor) -> Tensor:
        """As in the class; what is shifted in is the image's reflection."""
        H, W = x.shape[2:]
        mirrored = struck(x, p, torch.randint(2, (len(x),), device=x.device), 0)
        turns = struck(x, p, torch.randint(4, (len(x),), device=x.device), 0)
        turns = turns if H == W else turns // 2 * 2
        moved = torch.rand(len(x), device=x.device) < p  # along both axes, or along none
        down, right = ((side * self.share(x)).round().long() * moved for side in (H, W))
        row, column = pixel_grid(x)
        # in half pixels from the centre, where turns and mirroring are changes of sign and of axes
        row = 2 * reflect(row - down[:, None, None], H - 1) - (H - 1)
        column = 2 * reflect(column - right[:, None, None], W - 1) - (W - 1)
        cos, sin = (1 - turns) * (turns % 2 == 0), (2 - turns) * (turns % 2 == 1)
        cos, sin, sign = (part[:, None, None] for part in (cos, sin, 1 - 2 * mirrored))
        rows, columns = cos * row + sin * column, sign * (cos * column - sin * row)
        return move_pixels(x, (rows + H - 1) // 2, (columns + W - 1) // 2)

    def share(self, x: Tensor) -> Tensor:
        """U(-largest, largest) for each image: [N]."""
        return LARGEST_SHIFT * (2 * torch.rand(len(x), device=x.device) - 1)


class Geometry(Operation):
    """Scaling, rotation, scaling along one axis, another rotation, shifts by parts of pixels: in one warp."""

    def __call__(self, x: Tensor, p: Tensor) -> Tensor:
        """As in the class; images that nothing struck stay as they are to the last bit."""
        turn = 1 - (1 - p).sqrt()  # twice drawn: one of both strikes with probability p
        scale = struck(x, p, (SCALE * normal(x)).exp(), 1)
        first = struck(x, turn, angle(x), 0)
        stretch = struck(x, p, (SCALE * normal(x)).exp(), 1)
        second = struck(x, turn, angle(x), 0)
        H, W = x.shape[2:]
        hit = torch.rand(len(x), device=x.device) < p
        shift = torch.stack([SHIFT * W * normal(x), SHIFT * H * normal(x)], dim=1) * hit[:, None]
        axes = torch.stack([1 / stretch, stretch], dim=1) / scale[:, None]
        linear = rotation(-first) @ torch.diag_embed(axes) @ rotation(-second)
        inverse = torch.cat([linear, -linear @ shift[:, :, None]], dim=2)
        still = (scale == 1) & (first == 0) & (stretch == 1) & (second == 0) & ~hit
        return torch.where(per_image(still), x, warp(x, inverse))


class ColourChange(Operation):
    """Brightness, contrast, reversal of light and dark, hue and saturation, of 1 or 3 channels.

    The last three keep or turn the grey axis u = (1, 1, 1) / sqrt 3 and what is orthogonal to it, so that together
    they are (+-1) u u^T + s (cos h (I - u u^T) + sin h [u]x). A grey image has but the first three.

    Args:
        share: of p, with which each of these strikes; R3GAN has half of it.
    """

    def __init__(self, share: float = 1.0) -> None:
        if not 0 <= share <= 1:
            raise ValueError(f"ColourChange: share is one of p, in [0, 1], got {share}")
        self.share = share

    def __call__(self, x: Tensor, p: Tensor) -> Tensor:
        """As in the class.

        Raises:
            ValueError: neither 1 nor 3 channels.
        """
        p = self.share * p
        if x.shape[1] not in (1, 3):
            raise ValueError(f"ColourChange knows images of 1 or 3 channels, not {x.shape[1]}: leave it out")
        x = x + per_image(struck(x, p, BRIGHTNESS * normal(x), 0))
        x = x * per_image(struck(x, p, (CONTRAST * normal(x)).exp(), 1))
        sign = 1 - 2 * struck(x, p, torch.randint(2, (len(x),), device=x.device), 0)
        if x.shape[1] == 1:
            return x * per_image(sign)
        hue = struck(x, p, angle(x), 0)
        saturation = struck(x, p, (SATURATION * normal(x)).exp(), 1)
        still = (sign == 1) & (hue == 0) & (saturation == 1)
        turned = torch.einsum("nij,njhw->nihw", self.around_grey(sign, hue, saturation), x)
        return torch.where(per_image(still), x, turned)

    def around_grey(self, sign: Tensor, hue: Tensor, saturation: Tensor) -> Tensor:
        """The matrices [N, 3, 3] of the class for [N] each."""
        grey = hue.new_full((3, 3), 1 / 3)
        cross = constant(CROSS, hue.device, hue.dtype) / sqrt(3)
        sign, hue, saturation = (part[:, None, None] for part in (sign, hue, saturation))
        rest = torch.eye(3, device=hue.device, dtype=hue.dtype) - grey
        return sign * grey + saturation * (hue.cos() * rest + hue.sin() * cross)


class Struck(Operation):
    """An operation of DiffAugment's, which always changes all images, for those that are struck: cutout above all.

    Args:
        operation: that one.
    """

    def __init__(self, operation: diff_augment.Operation) -> None:
        self.operation = operation

    def __call__(self, x: Tensor, p: Tensor) -> Tensor:
        """As in the class."""
        hit = torch.rand(len(x), device=x.device) < p
        return torch.where(per_image(hit), self.operation(x), x)


class Pipeline(Augmentation):
    """The operations one after the other, at a probability p that stays.

    Args:
        p: with which each augmentation strikes an image.
        operations: blitting, geometry and colour unless given.
    """

    p: Tensor  # a scalar; a buffer, so that it is in the checkpoint

    def __init__(self, p: float, operations: Sequence[Operation] | None = None) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"{type(self).__name__}: p is a probability in [0, 1], got {p}")
        self.operations = [Blit(), Geometry(), ColourChange()] if operations is None else list(operations)
        self.full_p = float(p)
        self.register_buffer("p", torch.tensor(self.full_p))

    def change(self, x: Tensor) -> Tensor:
        """``x`` [N, C, H, W] after all operations."""
        for operation in self.operations:
            x = operation(x, self.p)
        return x

    def anneal(self, share: float) -> None:
        """Strike with a ``share`` of the p that was given.

        Raises:
            ValueError: that is no probability.
        """
        if not 0 <= share * self.full_p <= 1:
            raise ValueError(f"annealing: augment makes a probability of {share * self.full_p:g} of p {self.full_p:g}")
        self.p.fill_(share * self.full_p)


def struck(x: Tensor, p: Tensor, drawn: Tensor, still: float) -> Tensor:
    """``drawn`` [N] for the images of ``x`` that are struck with probability ``p``, ``still`` for the others."""
    return torch.where(torch.rand(len(x), device=x.device) < p, drawn, still)


def normal(x: Tensor) -> Tensor:
    """A number of N(0, 1) for each image of ``x``: [N]."""
    return torch.randn(len(x), device=x.device, dtype=x.dtype)


def angle(x: Tensor) -> Tensor:
    """An angle of U[-pi, pi) for each image of ``x``: [N]."""
    return pi * (2 * torch.rand(len(x), device=x.device, dtype=x.dtype) - 1)


def rotation(angles: Tensor) -> Tensor:
    """The matrices [N, 2, 2] of rotations by ``angles`` [N]."""
    cos, sin = angles.cos(), angles.sin()
    return torch.stack([torch.stack([cos, -sin], dim=1), torch.stack([sin, cos], dim=1)], dim=1)

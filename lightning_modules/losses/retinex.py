"""The losses of RetinexNet (Wei et al. 2018, sections 3.2 and 3.3): of an image's reflectance R and illumination L.

    decomposition of a bright and a dark image of one scene:
        |R L - image| of both  +  0.001 |R' L - image| of both, R' being the other's  +  0.01 |R - R'|
        + 0.1 smoothness of L under R, of both
    relighting of the dark one:  |R L' - bright image|  +  3 smoothness of L' under R

Distances are means over pixels. The weights are those of the released code, and so is the smoothness: steps of L count
less where grey(R) has steps of its own, on average over 3x3 px, |dL| exp(-10 mean |d grey(R)|). Deviation: a step from
the last pixel to nothing is none.
"""

from abc import abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, l1_loss, pad

from datamodules.functional.colour import GREY
from datamodules.functional.constants import constant
from lightning_modules.losses.terms import WeightedTerm


class Layers(NamedTuple):
    """An image and what it was taken apart into."""

    image: Tensor  # [N, 3, H, W]
    R: Tensor  # [N, 3, H, W]
    L: Tensor  # [N, 1, H, W]


class DecompositionLoss(WeightedTerm):
    """A term on two images of one scene in different light."""

    @abstractmethod
    def __call__(self, bright: Layers, dark: Layers) -> Tensor:
        """The term, a scalar, weighted."""


class Composition(DecompositionLoss):
    """R and L are to make the image that they were found in."""

    name = "composition"

    def __call__(self, bright: Layers, dark: Layers) -> Tensor:
        """weight * (mean |R L - image| of the bright one + that of the dark one)."""
        off_bright, off_dark = (l1_loss(one.R * one.L, one.image) for one in (bright, dark))
        return self.weight * (off_bright + off_dark)


class CrossComposition(DecompositionLoss):
    """R of the one and L of the other are to make the other.

    Args:
        weight: of the term.
    """

    name = "cross_composition"

    def __init__(self, weight: float = 0.001) -> None:
        super().__init__(weight)

    def __call__(self, bright: Layers, dark: Layers) -> Tensor:
        """weight * the sum over both of mean |R of the other * L - image|."""
        off_bright, off_dark = l1_loss(dark.R * bright.L, bright.image), l1_loss(bright.R * dark.L, dark.image)
        return self.weight * (off_bright + off_dark)


class InvariableReflectance(DecompositionLoss):
    """R is the scene's, whatever light falls on it.

    Args:
        weight: of the term.
    """

    name = "reflectance"

    def __init__(self, weight: float = 0.01) -> None:
        super().__init__(weight)

    def __call__(self, bright: Layers, dark: Layers) -> Tensor:
        """weight * mean |R - R'|."""
        return self.weight * l1_loss(bright.R, dark.R)


class Smoothness(DecompositionLoss):
    """L of both images is to be smooth but for the edges of R.

    Args:
        weight: of the term.
        steepness: of its fall with the steps of R.

    Raises:
        ValueError: a steepness below 0.
    """

    name = "smoothness"

    def __init__(self, weight: float = 0.1, steepness: float = 10.0) -> None:
        super().__init__(weight)
        if steepness < 0:
            raise ValueError(f"Smoothness: steepness is {steepness:g}: give 0 or more, or edges would have to be rough")
        self.steepness = steepness

    def __call__(self, bright: Layers, dark: Layers) -> Tensor:
        """The sum over both of ``of``."""
        return self.of(bright.L, bright.R) + self.of(dark.L, dark.R)

    def of(self, L: Tensor, R: Tensor) -> Tensor:
        """weight * the ``smoothness`` of ``L`` [N, 1, H, W] under ``R`` [N, 3, H, W]: a scalar."""
        return self.weight * smoothness(L, R, self.steepness)


def smoothness(L: Tensor, R: Tensor, steepness: float = 10.0) -> Tensor:
    """Mean |dL| exp(-steepness * mean over 3x3 |d grey(R)|), down and to the right: a scalar.

    Args:
        L: [N, 1, H, W].
        R: [N, 3, H, W].
        steepness: of the fall.
    """
    grey = (R * constant(GREY, R.device, R.dtype)[:, None, None]).sum(1, keepdim=True)
    total = L.new_zeros(())
    for dim in (2, 3):
        edges = avg_pool2d(steps(grey, dim), 3, 1, 1, count_include_pad=False)
        total = total + (steps(L, dim) * torch.exp(-steepness * edges)).mean()
    return total


def steps(image: Tensor, dim: int) -> Tensor:
    """|difference| of each pixel of ``image`` [N, C, H, W] from the next one along ``dim``, 0 for the last."""
    return pad(image.diff(dim=dim).abs(), (0, 0, 0, 1) if dim == 2 else (0, 1, 0, 0))

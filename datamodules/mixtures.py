"""Two-dimensional Gaussian mixtures, generated: the mode coverage tests of GANs.

The defaults are PacGAN's (Lin et al. 2018): 100,000 stored training points. Ring: eight modes at the angles 2
pi i / 8 on radius 1, deviation .01. Grid: 25 modes at {-4, -2, 0, 2, 4}^2, deviation .05. Each mode has
exactly the same number of points, and all centres are distinct (Unrolled GAN's demo closes the circle and
doubles one). ``Ring.preset`` and ``Grid.preset`` make those of other papers by name.
"""

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from datamodules.functional.keys import key
from datamodules.functional.mixtures import GridForm, RingForm, grid_form, ring_form
from datamodules.memory import InMemoryDataModule, LabelledSet
from datamodules.stream import SPLITS

TRAIN_POINTS = 100_000
TEST_POINTS_PER_MODE = 1000
_POINTS = int.from_bytes(b"points")


@dataclass(frozen=True)
class PointSet(LabelledSet):
    """One split of a mixture in fixed order: ``s[i:j]`` is float32 [n, 2]."""

    name: str
    split: str
    points: Tensor  # float32 [N, 2]
    labels: Tensor  # int64 [N], the mode

    @property
    def x(self) -> Tensor:
        """The points."""
        return self.points

    def to(self, device: str) -> Self:
        """The same set on ``device``."""
        return replace(self, points=self.points.to(device), labels=self.labels.to(device))


class Mixture(InMemoryDataModule[PointSet]):
    """Equally weighted Gaussians in the plane. Feeds x float32 [N, 2] and y int64 [N], the mode.

    Args:
        centres: one row a mode, distinct: float32 [K, 2].
        std: standard deviation along each axis.
        points_per_mode: stored training points of each mode.
        draw: which points; not ``seed``, which is the run's, so that runs of several seeds are scored on the same data.

    The other arguments are InMemoryDataModule's.

    Raises:
        ValueError: negative std, or fewer than one point a mode.
    """

    def __init__(
        self,
        centres: Tensor,
        std: float,
        points_per_mode: int,
        batch_size: int,
        seed: int,
        device: str,
        val_images: int | None,
        draw: int,
    ) -> None:
        super().__init__(batch_size, seed, device, val_images)
        if std < 0:
            raise ValueError(f"std is {std}: set data.init_args.std to 0 or more.")
        if points_per_mode < 1:
            raise ValueError(f"points_per_mode is {points_per_mode}: set data.init_args.points_per_mode to 1 or more.")
        self.centres = centres
        self.std = std
        self.points_per_mode, self.draw = points_per_mode, draw
        self.num_classes = len(centres)

    @property
    def out_shape(self) -> tuple[int]:
        """(2,)"""
        return (2,)

    def read(self, split: str) -> PointSet:
        """Draw ``split`` ("train" or "test"); consecutive points belong to consecutive modes."""
        per_mode = self.points_per_mode if split == "train" else TEST_POINTS_PER_MODE
        generator = torch.Generator().manual_seed(key(self.draw, _POINTS, SPLITS.index(split)))
        mode = torch.arange(len(self.centres)).repeat(per_mode)
        points = self.centres[mode] + self.std * torch.randn(len(mode), 2, generator=generator)
        return PointSet(self.name, split, points, mode)


class Ring(Mixture):
    """``modes`` Gaussians, evenly on a circle around the origin. The other arguments are Mixture's.

    Raises:
        ValueError: fewer than one mode, or a radius that is not positive.
    """

    name = "ring"

    def __init__(
        self,
        modes: int = 8,
        radius: float = 1.0,
        std: float = 0.01,
        points_per_mode: int = 12_500,
        batch_size: int = 64,
        seed: int = 0,
        device: str = "cpu",
        val_images: int | None = 64,
        draw: int = 0,
    ) -> None:
        centres = RingForm(modes, radius, std).centres()
        super().__init__(centres.float(), std, points_per_mode, batch_size, seed, device, val_images, draw)

    @classmethod
    def preset(
        cls,
        name: str = "pacgan",
        points: int = TRAIN_POINTS,
        batch_size: int = 64,
        seed: int = 0,
        device: str = "cpu",
        val_images: int | None = 64,
        draw: int = 0,
    ) -> "Ring":
        """The ring of a paper: ``pacgan``, ``veegan``, ``unrolled``, ``self-conditioned`` or ``presgan``.

        Args:
            name: of the paper.
            points: stored training points of all modes together.
            batch_size: and the rest: see Mixture.

        Raises:
            ValueError: if there is no such ring, or the points are no multiple of its modes.
        """
        modes, radius, std = ring_form(name)
        return cls(modes, radius, std, _per_mode(points, modes), batch_size, seed, device, val_images, draw)


class Grid(Mixture):
    """``side`` x ``side`` Gaussians, ``spacing`` apart, around the origin. The other arguments are Mixture's.

    Raises:
        ValueError: a side below one, or a spacing that is not positive.
    """

    name = "grid"

    def __init__(
        self,
        side: int = 5,
        spacing: float = 2.0,
        std: float = 0.05,
        points_per_mode: int = 4_000,
        batch_size: int = 64,
        seed: int = 0,
        device: str = "cpu",
        val_images: int | None = 64,
        draw: int = 0,
    ) -> None:
        centres = GridForm(side, spacing, std).centres()
        super().__init__(centres.float(), std, points_per_mode, batch_size, seed, device, val_images, draw)

    @classmethod
    def preset(
        cls,
        name: str = "pacgan",
        points: int = TRAIN_POINTS,
        batch_size: int = 64,
        seed: int = 0,
        device: str = "cpu",
        val_images: int | None = 64,
        draw: int = 0,
    ) -> "Grid":
        """The grid of a paper: ``pacgan``, ``veegan`` or ``self-conditioned``. The arguments are Ring.preset's.

        Raises:
            ValueError: if there is no such grid, or the points are no multiple of its modes.
        """
        side, spacing, std = grid_form(name)
        return cls(side, spacing, std, _per_mode(points, side * side), batch_size, seed, device, val_images, draw)


def _per_mode(points: int, modes: int) -> int:
    if points < 1 or points % modes:
        raise ValueError(f"{points} points cannot be shared equally by {modes} modes: give a multiple of {modes}.")
    return points // modes

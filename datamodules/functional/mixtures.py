"""Where the modes of the published two-dimensional mixtures lie: one table for the data and for its metric.

The centres of a ring stand at the angles 2 pi i / K, i < K. Unrolled GAN's demo divides the closed interval [0, 2 pi]
instead, so that its eight modes are seven, one of double weight (poolio/unrolled_gan, issue 7): that is not repeated.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor


class RingForm(NamedTuple):
    """``modes`` centres, evenly on a circle of ``radius`` around the origin; ``std`` along each axis."""

    modes: int = 8
    radius: float = 1.0
    std: float = 0.01

    def centres(self) -> Tensor:
        """float64 [modes, 2].

        Raises:
            ValueError: fewer than one mode, or a radius that is not positive.
        """
        if self.modes < 1 or self.radius <= 0:
            raise ValueError(
                f"a ring of {self.modes} modes and radius {self.radius}: give at least one mode, a radius above 0."
            )
        angle = torch.arange(self.modes, dtype=torch.float64) * (2 * math.pi / self.modes)
        return self.radius * torch.stack([angle.cos(), angle.sin()], dim=1)


class GridForm(NamedTuple):
    """``side`` x ``side`` centres, ``spacing`` apart, around the origin; ``std`` along each axis."""

    side: int = 5
    spacing: float = 2.0
    std: float = 0.05

    def centres(self) -> Tensor:
        """float64 [side * side, 2].

        Raises:
            ValueError: a side below one, or a spacing that is not positive.
        """
        if self.side < 1 or self.spacing <= 0:
            raise ValueError(
                f"a grid of side {self.side} and spacing {self.spacing}: give at least one mode, a spacing above 0."
            )
        line = self.spacing * (torch.arange(self.side, dtype=torch.float64) - (self.side - 1) / 2)
        return torch.cartesian_prod(line, line).view(-1, 2)


# VEEGAN's paper states neither radius nor deviations: they are those of PacGAN, which repeats its experiment.
RINGS = {
    "pacgan": RingForm(modes=8, radius=1.0, std=0.01),
    "veegan": RingForm(modes=8, radius=1.0, std=0.01),
    "unrolled": RingForm(modes=8, radius=1.0, std=0.01),
    "self-conditioned": RingForm(modes=8, radius=2.0, std=0.01),
    "presgan": RingForm(modes=10, radius=3.0, std=0.05),
}
GRIDS = {
    "pacgan": GridForm(side=5, spacing=2.0, std=0.05),
    "veegan": GridForm(side=5, spacing=2.0, std=0.05),
    "self-conditioned": GridForm(side=5, spacing=2.0, std=0.05),
}


def ring_form(preset: str) -> RingForm:
    """The ring of a paper.

    Raises:
        ValueError: if there is none of that name.
    """
    if preset not in RINGS:
        raise ValueError(f"There is no ring preset {preset!r}: choose one of {', '.join(RINGS)}.")
    return RINGS[preset]


def grid_form(preset: str) -> GridForm:
    """The grid of a paper.

    Raises:
        ValueError: if there is none of that name; not every paper has a grid.
    """
    if preset not in GRIDS:
        raise ValueError(f"There is no grid preset {preset!r}: choose one of {', '.join(GRIDS)}.")
    return GRIDS[preset]

"""Learning-rate schedules as pure functions of progress: nothing to step, nothing to save, nothing to drift.

Lightning steps no scheduler under manual optimisation. A schedule here maps the share of the run that is done to a
factor of the optimizer's learning rate; the base applies it before each step. A resumed run therefore continues
exactly, and the horizon is the run's own length, whatever unit the experiment gives it in.
"""

from abc import ABC, abstractmethod
from bisect import bisect_right
from itertools import accumulate
from math import cos, pi
from typing import NamedTuple

from torch.optim import Optimizer


class Rates(NamedTuple):
    """What a group of an optimizer's weights starts with, and schedules and annealing scale."""

    lr: float
    beta2: float | None  # of Adam and its like


def rates_of(opt: Optimizer) -> list[Rates]:
    """Those of each group of ``opt``."""
    return [Rates(float(group["lr"]), group["betas"][1] if "betas" in group else None) for group in opt.param_groups]


class Schedule(ABC):
    """A factor of the learning rate over the run."""

    @abstractmethod
    def factor(self, progress: float) -> float:
        """The factor when the share ``progress`` in [0, 1] of the run's steps is done."""


class Linear(Schedule):
    """1 until ``start``, then straight to ``final`` at the end (SNGAN, WGAN-GP: from 1 to 0 over the whole run)."""

    def __init__(self, start: float = 0.0, final: float = 0.0) -> None:
        if not 0 <= start < 1:
            raise ValueError(f"Linear: start is a share of the run in [0, 1), got {start}")
        self.start, self.final = start, final

    def factor(self, progress: float) -> float:
        """Piecewise linear in ``progress``."""
        done = max(0.0, progress - self.start) / (1 - self.start)
        return 1.0 + (self.final - 1.0) * min(done, 1.0)


class Cosine(Schedule):
    """From 1 to ``final`` along half a cosine (Loshchilov and Hutter 2017, eq. 5), after a linear warm-up."""

    def __init__(self, final: float = 0.0, warm_up: float = 0.0) -> None:
        if not 0 <= warm_up < 1:
            raise ValueError(f"Cosine: warm_up is a share of the run in [0, 1), got {warm_up}")
        self.final, self.warm_up = final, warm_up

    def factor(self, progress: float) -> float:
        """Linear from 0 to 1 during the warm-up, then the half cosine."""
        if progress < self.warm_up:
            return progress / self.warm_up
        done = (progress - self.warm_up) / (1 - self.warm_up)
        return self.final + (1 - self.final) * 0.5 * (1 + cos(pi * min(done, 1.0)))


class Drop(Schedule):
    """1 until ``at``, then ``final`` (SinGAN: a tenth after 1,600 of 2,000 iterations)."""

    def __init__(self, at: float = 0.8, final: float = 0.1) -> None:
        if not 0 < at < 1:
            raise ValueError(f"Drop: at is a share of the run in (0, 1), got {at}")
        self.at, self.final = at, final

    def factor(self, progress: float) -> float:
        """Constant before and after."""
        return 1.0 if progress < self.at else self.final


class Staircase(Schedule):
    """10^(-i / per_decade) for growth^i units of the run, i = 0 .. stages - 1 (Burda et al. 2016, section 5).

    At the paper's 8 stages a unit is an epoch where the run has 3280 of them; a shorter run passes all stages faster.

    Args:
        stages: how many.
        growth: how much longer each is than the one before.
        per_decade: stages in which the rate falls to a tenth.
    """

    def __init__(self, stages: int = 8, growth: int = 3, per_decade: float = 7.0) -> None:
        if stages < 1 or growth < 1 or per_decade <= 0:
            raise ValueError(
                f"Staircase: give 1 or more stages, a growth of 1 or more and a per_decade above 0, got {stages}, "
                f"{growth} and {per_decade}"
            )
        self.stages, self.per_decade = stages, per_decade
        lengths = [growth**i for i in range(stages)]
        self.units = sum(lengths)
        self.starts = [end / self.units for end in accumulate(lengths[:-1])]  # of the second stage and those after it

    def factor(self, progress: float) -> float:
        """Constant within a stage."""
        return 10 ** (-bisect_right(self.starts, progress) / self.per_decade)

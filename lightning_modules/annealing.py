"""Annealing: settings of a GAN that change as it learns, as pure functions of the images that it has seen.

R3GAN (Huang et al. 2024; numbers from its published code) moves five of them, each along half a cosine over one horizon
that is counted in images, and holds them after it. Here each is a factor of what the experiment gives, so that all of
the published presets have the same ones and differ in the horizon. Nothing is stepped and nothing is saved: a resumed
run goes on exactly. All are numbers of the host, so that none waits for the device.
"""

from dataclasses import dataclass
from math import cos, isfinite, pi
from typing import NamedTuple

from torch.optim import Optimizer

from lightning_modules.schedules import Rates


class Span(NamedTuple):
    """Where a factor starts and where it ends; (1, 1) leaves a setting alone."""

    first: float = 1.0
    last: float = 1.0

    def at(self, progress: float) -> float:
        """The factor when the share ``progress`` of the horizon is done; 1 and more are its end."""
        return self.first + (self.last - self.first) * 0.5 * (1 - cos(pi * min(progress, 1.0)))


STILL, TO_A_QUARTER, TO_A_TENTH, FROM_NOTHING = Span(), Span(1.0, 0.25), Span(1.0, 0.1), Span(0.0, 1.0)


class Factors(NamedTuple):
    """What the settings are multiplied with at one moment; see ``Annealing``."""

    lr: float
    one_minus_beta2: float
    penalties: float
    augment: float
    half_life: float


@dataclass(frozen=True)
class Annealing:
    """Factors of settings over the first ``kimg`` thousand images, each from its first to its last value.

    Args:
        kimg: the horizon; 20,000 for CIFAR-10 and FFHQ, 200,000 for ImageNet.
        lr: of both players' learning rates.
        one_minus_beta2: of 1 - beta2, by which Adam's second moment forgets: 0.9 becomes 0.99.
        penalties: of the penalties' weights.
        augment: of the probability with which images are augmented.
        half_life: of that of G's average.

    Raises:
        ValueError: no horizon, or a factor that is negative or not finite.
    """

    kimg: float = 20_000.0
    lr: Span = TO_A_QUARTER
    one_minus_beta2: Span = TO_A_TENTH
    penalties: Span = TO_A_TENTH
    augment: Span = FROM_NOTHING
    half_life: Span = FROM_NOTHING

    def __post_init__(self) -> None:
        if not self.kimg > 0:
            raise ValueError(f"annealing: kimg is the horizon in thousands of images, above 0, got {self.kimg}")
        for name, span in zip(Factors._fields, self.spans(), strict=True):
            if not all(isfinite(factor) and factor >= 0 for factor in span):
                raise ValueError(f"annealing: {name} goes from one factor of 0 or more to another, got {list(span)}")

    def spans(self) -> tuple[Span, ...]:
        """All of them, in the order of ``Factors``."""
        return self.lr, self.one_minus_beta2, self.penalties, self.augment, self.half_life

    def at(self, images: int) -> Factors:
        """The factors for the step that ``images`` reals came before, over all ranks."""
        return Factors(*(span.at(images / (1000 * self.kimg)) for span in self.spans()))

    def check_rates(self, rates: list[Rates]) -> None:
        """Raise ValueError where an optimizer that started with ``rates`` has no beta2, or gets an impossible one."""
        for rate in rates if self.one_minus_beta2 != STILL else ():
            if rate.beta2 is None or not all(0 < factor * (1 - rate.beta2) <= 1 for factor in self.one_minus_beta2):
                raise ValueError(
                    f"annealing: one_minus_beta2 makes nothing in [0, 1) of a beta2 of {rate.beta2}: choose Adam and "
                    "factors above 0, or set annealing.one_minus_beta2 to [1, 1]"
                )

    def set_rates(self, opt: Optimizer, rates: list[Rates], now: Factors) -> None:
        """Give each group of ``opt``, which started with ``rates``, those of the moment ``now``."""
        for group, rate in zip(opt.param_groups, rates, strict=True):
            if self.lr != STILL:  # else a schedule may have set it
                group["lr"] = now.lr * rate.lr
            if self.one_minus_beta2 != STILL and rate.beta2 is not None:
                group["betas"] = (group["betas"][0], 1 - now.one_minus_beta2 * (1 - rate.beta2))

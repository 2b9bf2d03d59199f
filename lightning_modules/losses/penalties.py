"""Gradient penalties on D. A family asks each: when is it due, and where does it differentiate D?

A ``PointPenalty`` looks at D where the adversarial loss looks at it too (at reals or at fakes): the adversarial pass
runs with inputs that require a gradient and hands over (logits, inputs), so the penalty costs no forward of its own.
A ``BetweenPenalty`` picks points of its own and runs D there. Families scale both by ``every``, since they are applied
lazily (Karras et al. 2020, section 3.1). Unless ``autocast`` is set D runs in fp32 for a penalty: in bf16 an R1 was
2 % off. Of a packed D (Lin et al. 2018), which judges several samples at once, the gradient is that of the whole pack.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

Critic = Callable[[Tensor, Tensor | None], Tensor]


def input_gradient(logits: Tensor, inputs: Tensor) -> Tensor:
    """d(sum of ``logits``) / d(``inputs``), differentiable: [number of logits, inputs that each judges, ...].

    Of patches [N, h, w] an image's logit is their mean, as in the losses: weights mean the same whatever their number.
    """
    verdict = logits.flatten(1).mean(1) if logits.ndim > 1 else logits
    (gradient,) = torch.autograd.grad(verdict.sum(), inputs, create_graph=True)
    return gradient.unflatten(0, (len(logits), -1))


def squared_norm(gradient: Tensor) -> Tensor:
    """The squared Euclidean norm of each sample of ``gradient`` [N, ...]: [N], in fp32."""
    return gradient.float().square().flatten(1).sum(1)


class Penalty(ABC):
    """A term of D's objective that differentiates D with respect to its inputs.

    Args:
        weight: its factor in the objective (gamma or lambda of the papers).
        every: applied on each ``every``-th D step and scaled by ``every``.
        autocast: let D run in the trainer's precision for this penalty instead of fp32.
        after_augment: differentiate with respect to D's augmented inputs. False, as Karras et al. (2020) have R1: with
            respect to the images before.
    """

    name: ClassVar[str]

    def __init__(self, weight: float, every: int = 1, autocast: bool = False, after_augment: bool = False) -> None:
        if weight < 0:
            raise ValueError(f"{type(self).__name__}: weight must not be negative, got {weight}")
        if every < 1:
            raise ValueError(f"{type(self).__name__}: every must be 1 or more, got {every}")
        self.weight, self.every, self.autocast, self.after_augment = weight, every, autocast, after_augment
        self.full_weight = weight

    def anneal(self, share: float) -> None:
        """Go on with a ``share`` of the weight that was given."""
        self.weight = share * self.full_weight

    def due(self, step: int) -> bool:
        """Whether the D step numbered ``step`` (from 0) applies this penalty."""
        return step % self.every == 0


class PointPenalty(Penalty):
    """Differentiates D at the reals (``at_real``) or at the fakes."""

    at_real: ClassVar[bool]

    @abstractmethod
    def __call__(self, logits: Tensor, inputs: Tensor) -> Tensor:
        """The term, a scalar, from D's ``logits`` at ``inputs`` [N, ...], which require a gradient."""


class BetweenPenalty(Penalty):
    """Differentiates D at points of its own choice."""

    @abstractmethod
    def __call__(self, D: Critic, real: Tensor, fake: Tensor, y: Tensor | None) -> Tensor:
        """The term, a scalar, for images ``real`` and ``fake`` [N, ...] and the condition ``y``."""


class ZeroCentred(PointPenalty):
    """weight / 2 * E |grad D|^2 where the adversarial pass looked; 10 as in Mescheder et al. (2018)."""

    def __init__(
        self, weight: float = 10.0, every: int = 1, autocast: bool = False, after_augment: bool = False
    ) -> None:
        super().__init__(weight, every, autocast, after_augment)

    def __call__(self, logits: Tensor, inputs: Tensor) -> Tensor:
        """weight / 2 times the mean squared norm of D's input gradient."""
        return self.weight / 2 * squared_norm(input_gradient(logits, inputs)).mean()


class R1(ZeroCentred):
    """gamma/2 E |grad D(x)|^2 at the reals (Mescheder et al. 2018, eq. 9)."""

    name, at_real = "r1", True


class R2(ZeroCentred):
    """gamma/2 E |grad D(G(z))|^2 at the fakes (Mescheder et al. 2018, eq. 10)."""

    name, at_real = "r2", False


class UnitGradient(BetweenPenalty):
    """lambda E (|grad D(x^)| - target)^2 at points x^ that a subclass chooses.

    Args:
        target: norm that the gradient is drawn to.
    """

    def __init__(
        self,
        weight: float = 10.0,
        every: int = 1,
        autocast: bool = False,
        target: float = 1.0,
        after_augment: bool = False,
    ) -> None:
        super().__init__(weight, every, autocast, after_augment)
        self.target = target

    @abstractmethod
    def points(self, real: Tensor, fake: Tensor) -> Tensor:
        """Where D is differentiated: fp32, [N, ...], for images ``real`` and ``fake`` [N, ...]."""

    def __call__(self, D: Critic, real: Tensor, fake: Tensor, y: Tensor | None) -> Tensor:
        """weight times the mean squared distance of the gradient's norm from ``target``."""
        points = self.points(real.detach().float(), fake.detach().float()).requires_grad_()
        gradient = input_gradient(D(points, y), points).float()
        norm = torch.linalg.vector_norm(gradient.flatten(1), dim=1)  # sqrt would be NaN backwards at 0
        return self.weight * (norm - self.target).square().mean()


class GradientPenalty(UnitGradient):
    """x^ uniform on the line from a real to a fake, one mixing factor a sample (Gulrajani et al. 2017, eq. 3)."""

    name = "gp"

    def points(self, real: Tensor, fake: Tensor) -> Tensor:
        """alpha x + (1 - alpha) G(z)."""
        return torch.lerp(real, fake, per_sample_uniform(real))


class MaxGradientPenalty(GradientPenalty):
    """lambda max |grad D(x^)|^2 over the points of the batch (LGAN, Zhou et al. 2019, section 4.3): D's steepest place.

    Points are those of ``GradientPenalty``; with micro-batches the largest is taken in each.
    """

    name = "max_gp"

    def __init__(
        self, weight: float = 10.0, every: int = 1, autocast: bool = False, after_augment: bool = False
    ) -> None:
        super().__init__(weight, every, autocast, 0.0, after_augment)

    def __call__(self, D: Critic, real: Tensor, fake: Tensor, y: Tensor | None) -> Tensor:
        """weight times the largest squared norm."""
        points = self.points(real.detach().float(), fake.detach().float()).requires_grad_()
        return self.weight * squared_norm(input_gradient(D(points, y), points)).max()


class PixelGradientPenalty(GradientPenalty):
    """The same for a D of patches: the gradient of the sum of all logits is to have norm 1 in each pixel.

    So Shaham et al. (2019) have it in their code, with weight 0.1: the norm is over channels, the mean over pixels.
    """

    def __init__(
        self,
        weight: float = 0.1,
        every: int = 1,
        autocast: bool = False,
        target: float = 1.0,
        after_augment: bool = False,
    ) -> None:
        super().__init__(weight, every, autocast, target, after_augment)

    def __call__(self, D: Critic, real: Tensor, fake: Tensor, y: Tensor | None) -> Tensor:
        """weight times the mean over images and pixels of (norm - ``target``)^2."""
        points = self.points(real.detach().float(), fake.detach().float()).requires_grad_()
        (gradient,) = torch.autograd.grad(D(points, y).sum(), points, create_graph=True)
        return self.weight * (torch.linalg.vector_norm(gradient.float(), dim=1) - self.target).square().mean()


class DRAGAN(UnitGradient):
    """x^ on the line from a real to its perturbation by half the batch's deviation (Kodali et al. 2017, algorithm 1).

    The noise is U[0, 1) in each pixel, as in its authors' code; the paper writes a normal one. The deviation is that of
    the samples judged together: one rank's, one micro-batch's.
    """

    name = "dragan"

    def points(self, real: Tensor, fake: Tensor) -> Tensor:
        """x + alpha * std(x) / 2 * U."""
        return real + per_sample_uniform(real) * 0.5 * real.std() * torch.rand_like(real)


def per_sample_uniform(x: Tensor) -> Tensor:
    """One number of U[0, 1) for each sample of ``x`` [N, ...], shaped [N, 1, ...]."""
    return torch.rand(len(x), *[1] * (x.ndim - 1), device=x.device)

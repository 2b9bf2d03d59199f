"""Unrolled GAN (Metz et al. 2017): G learns against the D that D would become, and sees how D would react to it.

Before G's loss is taken, D makes k steps of its own on this batch's reals and fakes, each a differentiable function of
the fakes (eq. 7 to 9). G's gradient (eq. 10) has two parts: that of G's loss against the D of k steps later, and what
the fakes did to that D, through which all of D's objective changes, its reals' term too. Then D is as it was before.
The steps are those of D's optimizer, from its present learning rate and moments, as in the authors' code, which also
keeps one batch for all of them. Deviations: G's loss may be another than D's with the opposite sign, the
non-saturating one above all; the look-ahead follows the adversarial term alone, not penalties; ranks look ahead each on
its own batch.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.optim import SGD, Adam, Optimizer

from lightning_modules.adversarial import Terms
from lightning_modules.gan import GAN
from lightning_modules.networks.base import Discriminator, Generator
from lightning_modules.verdicts import Made

Weights = dict[str, Tensor]
T = TypeVar("T")

UNKNOWN = ("momentum", "weight_decay", "amsgrad", "maximize")  # settings of SGD and Adam that have no twin


class LookAhead(ABC):
    """A differentiable twin of an optimizer that has one group of weights.

    Args:
        opt: the optimizer, which stays as it is.
        weights: those that it steps, by name.
    """

    def __init__(self, opt: Optimizer, weights: dict[str, nn.Parameter]) -> None:
        (self.group,) = opt.param_groups
        beyond = [name for name in UNKNOWN if self.group.get(name)]
        if beyond:
            raise ValueError(f"unrolling knows no {type(opt).__name__} with {beyond[0]}: leave it out of d_optimizer")
        self.state = {name: opt.state.get(weight, {}) for name, weight in weights.items()}

    @abstractmethod
    def step(self, weights: Weights, gradients: Weights) -> Weights:
        """The weights after the next step."""


class SGDLookAhead(LookAhead):
    """w - lr g."""

    def step(self, weights: Weights, gradients: Weights) -> Weights:
        """As in the class."""
        return {name: weight - self.group["lr"] * gradients[name] for name, weight in weights.items()}


class AdamLookAhead(LookAhead):
    """Adam's step (Kingma and Ba 2015, algorithm 1), going on from the moments that the optimizer has."""

    least = 1e-30  # second moment whose root is taken: at 0 it has no derivative

    def __init__(self, opt: Optimizer, weights: dict[str, nn.Parameter]) -> None:
        super().__init__(opt, weights)
        zeros = {name: torch.zeros_like(weight) for name, weight in weights.items()}
        self.first: Weights = {name: self.state[name].get("exp_avg", zero) for name, zero in zeros.items()}
        self.second: Weights = {name: self.state[name].get("exp_avg_sq", zero) for name, zero in zeros.items()}
        self.steps = int(max((state.get("step", 0) for state in self.state.values()), default=0))

    def step(self, weights: Weights, gradients: Weights) -> Weights:
        """As in the class."""
        (b1, b2), lr, eps = self.group["betas"], self.group["lr"], self.group["eps"]
        self.steps += 1
        self.first = {name: b1 * self.first[name] + (1 - b1) * g for name, g in gradients.items()}
        self.second = {name: b2 * self.second[name] + (1 - b2) * g.square() for name, g in gradients.items()}
        after = {}
        for name, weight in weights.items():
            mean = self.first[name] / (1 - b1**self.steps)
            root = (self.second[name] / (1 - b2**self.steps)).clamp_min(self.least).sqrt()
            after[name] = weight - lr * mean / (root + eps)
        return after


TWINS: dict[type[Optimizer], type[LookAhead]] = {SGD: SGDLookAhead, Adam: AdamLookAhead}


class UnrolledGAN(GAN):
    """A GAN whose G looks ``unroll`` steps of D ahead.

    Args:
        generator: G(z, y) -> x.
        discriminator: D(x, y) -> logits.
        unroll: k, steps of D that G looks ahead; 0 is the plain GAN.
        **settings: the arguments of ``GAN``; D's optimizer is Adam, or SGD, without weight decay.

    Raises:
        ValueError: k below 0, or what changes D's steps otherwise: clipping.
    """

    def __init__(self, generator: Generator, discriminator: Discriminator, unroll: int = 5, **settings: Any) -> None:
        super().__init__(generator, discriminator, **settings)
        if unroll < 0:
            raise ValueError(f"unroll must not be negative, got {unroll}")
        if unroll and (self.weight_clip is not None or self.d_clip is not None):
            raise ValueError("unrolling knows no weight_clip and no d_clip: leave them out")
        self.unroll = unroll

    def g_terms(self, x: Tensor, fake: Tensor, y: Tensor, y_fake: Tensor, made: Made | None = None) -> Terms:
        """G's objective on ``fake`` [M, ...] against the D of ``unroll`` steps later."""
        if not self.unroll:
            return super().g_terms(x, fake, y, y_fake, made)
        # compiled networks have no double backward, and half precision loses the small steps of D
        with torch.compiler.set_stance("force_eager"), torch.autocast(self.device.type, enabled=False):
            fake = fake.float()
            weights = self.look_ahead(x, fake, y, y_fake)
            then = {name: weight.detach() for name, weight in weights.items()}
            terms = with_weights(self.D, then, lambda: super(UnrolledGAN, self).g_terms(x, fake, y, y_fake, made))
            reaction = -with_weights(self.D, weights, lambda: self.adversary(x, fake.detach(), y, y_fake))
            return terms | {"g/adv": terms["g/adv"] + (reaction - reaction.detach())}

    def look_ahead(self, x: Tensor, fake: Tensor, y: Tensor, y_fake: Tensor) -> Weights:
        """D's weights after ``unroll`` steps on these reals and fakes, as a function of the fakes."""
        opt = self.trained_optimizers()[0]
        moving = {id(weight) for group in opt.param_groups for weight in group["params"]}
        named = {name: weight for name, weight in self.D.named_parameters() if id(weight) in moving}
        twin = twin_of(opt, named)
        weights: Weights = {name: weight.detach().requires_grad_() for name, weight in named.items()}
        for _ in range(self.unroll):
            loss = with_weights(self.D, weights, lambda: self.adversary(x, fake, y, y_fake))
            gradients = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
            weights = twin.step(weights, dict(zip(weights, gradients, strict=True)))
        return weights

    def adversary(self, x: Tensor, fake: Tensor, y: Tensor, y_fake: Tensor) -> Tensor:
        """D's adversarial term, differentiable in ``fake`` too."""
        x, fake = self.augment(x), self.augment(fake)
        if self.one_pass:
            return self.loss.d(
                *self.ask(torch.cat([x, fake]), torch.cat([y, y_fake])).logits.split([len(x), len(fake)])
            )
        return self.loss.d(self.ask(x, y).logits, self.ask(fake, y_fake).logits)


def twin_of(opt: Optimizer, weights: dict[str, nn.Parameter]) -> LookAhead:
    """The differentiable twin of ``opt``.

    Raises:
        ValueError: there is none.
    """
    if type(opt) not in TWINS:
        known = " or ".join(kind.__name__ for kind in TWINS)
        raise ValueError(f"unrolling knows no twin of {type(opt).__name__}: make d_optimizer {known}")
    return TWINS[type(opt)](opt, weights)


class Inside(nn.Module):
    """Lets any work be done while the weights of ``net`` are others."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, work: Callable[[], T]) -> T:
        """What ``work`` gives."""
        return work()


def with_weights(net: nn.Module, weights: Weights, work: Callable[[], T]) -> T:
    """What ``work`` gives while ``net`` has these ``weights`` and copies of its buffers; then it is as before."""
    buffers = {name: buffer.clone() for name, buffer in net.named_buffers()}
    state = {f"net.{name}": tensor for name, tensor in (weights | buffers).items()}
    return functional_call(Inside(net), state, (work,))

"""The generative adversarial network (Goodfellow et al. 2014, algorithm 1), with its loss and penalties from YAML.

The same file is DCGAN, WGAN, WGAN-GP, DRAGAN, LSGAN, SNGAN and their like: what differs stands in the experiment. Where
a relativistic loss asks for reals in G's step they are those of D's last step.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer

from lightning_modules.adversarial import AdversarialModule, Terms
from lightning_modules.losses.adversarial import AdversarialLoss, NonSaturating
from lightning_modules.losses.penalties import BetweenPenalty, Penalty, PointPenalty
from lightning_modules.losses.weights import WeightTerm
from lightning_modules.networks.base import Discriminator, Generator


class Judged(NamedTuple):
    """D's logits and the inputs they came from, which require a gradient where a penalty asks for it."""

    real: Tensor
    fake: Tensor
    x: Tensor
    fake_x: Tensor


class GAN(AdversarialModule):
    """G and D against each other under one loss and any number of penalties.

    Args:
        generator: G(z, y) -> x.
        discriminator: D(x, y) -> logits.
        loss: the objective of both; the paper's non-saturating one unless given.
        penalties: gradient penalties on D, each of another name.
        one_pass: run reals and fakes through D as one batch; batch statistics are then shared.
        weight_clip: largest magnitude of D's weights, enforced after each of its steps (Arjovsky et al. 2017,
            algorithm 1: 0.01).
        g_batch_factor: fakes in G's step for each real of the batch; 2 in the published code of SNGAN and WGAN-GP.
        d_weight_terms: terms of D's objective that look at its weights, each of another name.
        g_weight_terms: terms of G's.
        **players: the arguments of ``AdversarialModule``.
    """

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator,
        loss: AdversarialLoss | None = None,
        penalties: Sequence[Penalty] = (),
        one_pass: bool = False,
        weight_clip: float | None = None,
        g_batch_factor: int = 1,
        d_weight_terms: Sequence[WeightTerm] = (),
        g_weight_terms: Sequence[WeightTerm] = (),
        **players: Any,
    ) -> None:
        super().__init__(generator, discriminator, **players)
        require_once("penalties", penalties)
        require_once("d_weight_terms", d_weight_terms)
        require_once("g_weight_terms", g_weight_terms)
        self.loss = loss or NonSaturating()
        self.penalties, self.one_pass = list(penalties), one_pass
        if weight_clip is not None and weight_clip <= 0:
            raise ValueError(f"weight_clip must be above 0, got {weight_clip}")
        if g_batch_factor < 1 or (g_batch_factor > 1 and self.loss.relativistic):
            raise ValueError(f"g_batch_factor must be 1 or more, and 1 under a relativistic loss, got {g_batch_factor}")
        self.weight_clip, self.g_batch_factor = weight_clip, g_batch_factor
        self.d_weight_terms, self.g_weight_terms = list(d_weight_terms), list(g_weight_terms)

    def configure_optimizers(self) -> list[Optimizer]:
        """The base's; D's clips its weights after each step where asked to."""
        optimizers = super().configure_optimizers()
        limit = self.weight_clip
        if limit is not None:
            optimizers[0].register_step_post_hook(lambda opt, *_: clip_weights(opt, limit))
        return optimizers

    def d_loss(self, x: Tensor, y: Tensor) -> Terms:
        """D's loss on the reals ``x`` [N, ...] and as many fakes, and the penalties that are due."""
        with torch.no_grad():
            fake = self.G(self.G.sample_z(len(x)), y)
        due = [penalty for penalty in self.penalties if penalty.due(self.global_step)]
        judged = self.judge(x, fake, y, [penalty for penalty in due if isinstance(penalty, PointPenalty)])
        self.watch("d/real", judged.real)
        self.watch("d/fake", judged.fake)
        self.watch("d/gap", judged.real - judged.fake)
        terms = {"d/adv": self.loss.d(judged.real, judged.fake)}
        for penalty in due:
            terms[f"d/{penalty.name}"] = penalty.every * self.penalise(penalty, judged, y)
        return terms | {f"d/{term.name}": term(self.D) for term in self.d_weight_terms}

    def g_loss(self, x: Tensor, y: Tensor) -> Terms:
        """G's loss on ``g_batch_factor`` fakes for each of the reals ``x``."""
        y_fake = torch.cat([y] * self.g_batch_factor)
        fake = self.D(self.G(self.G.sample_z(len(y_fake)), y_fake), y_fake).float()
        real = None
        if self.loss.relativistic:
            with torch.no_grad():
                real = self.D(x, y).float()
        return {"g/adv": self.loss.g(real, fake)} | {f"g/{term.name}": term(self.G) for term in self.g_weight_terms}

    def judge(self, x: Tensor, fake: Tensor, y: Tensor, points: Sequence[PointPenalty]) -> Judged:
        """D on reals and fakes, in the way that the penalties at these ``points`` need it."""
        x = x.detach().requires_grad_(any(penalty.at_real for penalty in points))
        fake = fake.detach().to(x.dtype).requires_grad_(any(not penalty.at_real for penalty in points))
        D = self.D.forward if points else self.D  # a compiled network has no double backward, its forward has
        with self.precision(points):
            if self.one_pass:
                real_logits, fake_logits = D(torch.cat([x, fake]), torch.cat([y, y])).split(len(x))
            else:
                real_logits, fake_logits = D(x, y), D(fake, y)
        return Judged(real_logits.float(), fake_logits.float(), x, fake)  # half-precision losses overflow

    def penalise(self, penalty: Penalty, judged: Judged, y: Tensor) -> Tensor:
        """The term of one penalty, a scalar."""
        with self.precision([penalty]):
            if isinstance(penalty, PointPenalty):
                return penalty(*((judged.real, judged.x) if penalty.at_real else (judged.fake, judged.fake_x)))
            assert isinstance(penalty, BetweenPenalty)
            return penalty(self.D.forward, judged.x, judged.fake_x, y)

    def precision(self, penalties: Sequence[Penalty]) -> AbstractContextManager[Any]:
        """Full precision where one of the penalties asks for it, else the trainer's."""
        if all(penalty.autocast for penalty in penalties):
            return nullcontext()
        return torch.autocast(self.device.type, enabled=False)


def require_once(where: str, terms: Sequence[Penalty | WeightTerm]) -> None:
    """Raise ValueError where two ``terms`` bear one name: the second would take the first one's place."""
    names = [term.name for term in terms]
    if len(set(names)) < len(names):
        raise ValueError(f"{where}: each may stand once, got {', '.join(names)}")


@torch.no_grad()
def clip_weights(opt: Optimizer, limit: float) -> None:
    """Clip every weight of ``opt`` to [-limit, limit], in place."""
    weights = [weight for group in opt.param_groups for weight in group["params"]]
    torch._foreach_clamp_min_(weights, -limit)
    torch._foreach_clamp_max_(weights, limit)

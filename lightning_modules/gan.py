"""The generative adversarial network (Goodfellow et al. 2014, algorithm 1), with its loss and penalties from YAML.

The same file is DCGAN, WGAN-GP, hinge GANs and their like: what differs stands in the experiment. Where a relativistic
loss asks for reals in G's step they are those of D's last step.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lightning_modules.adversarial import AdversarialModule, Terms
from lightning_modules.losses.adversarial import AdversarialLoss, NonSaturating
from lightning_modules.losses.penalties import BetweenPenalty, Penalty, PointPenalty
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
        **players: the arguments of ``AdversarialModule``.
    """

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator,
        loss: AdversarialLoss | None = None,
        penalties: Sequence[Penalty] = (),
        one_pass: bool = False,
        **players: Any,
    ) -> None:
        super().__init__(generator, discriminator, **players)
        names = [penalty.name for penalty in penalties]
        if len(set(names)) < len(names):
            raise ValueError(f"penalties: each may stand once, got {', '.join(names)}")
        self.loss = loss or NonSaturating()
        self.penalties, self.one_pass = list(penalties), one_pass

    def d_loss(self, x: Tensor, y: Tensor) -> Terms:
        """D's loss on the reals ``x`` [N, ...] and as many fakes, and the penalties that are due."""
        with torch.no_grad():
            fake = self.G(self.G.sample_z(len(x)), y)
        due = [penalty for penalty in self.penalties if penalty.due(self.global_step)]
        judged = self.judge(x, fake, y, [penalty for penalty in due if isinstance(penalty, PointPenalty)])
        self.watch("d/real", judged.real)
        self.watch("d/fake", judged.fake)
        terms = {"d/adv": self.loss.d(judged.real, judged.fake)}
        for penalty in due:
            terms[f"d/{penalty.name}"] = penalty.every * self.penalise(penalty, judged, y)
        return terms

    def g_loss(self, x: Tensor, y: Tensor) -> Terms:
        """G's loss on as many fakes as there are reals ``x``."""
        fake = self.D(self.G(self.G.sample_z(len(x)), y), y).float()
        real = None
        if self.loss.relativistic:
            with torch.no_grad():
                real = self.D(x, y).float()
        return {"g/adv": self.loss.g(real, fake)}

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

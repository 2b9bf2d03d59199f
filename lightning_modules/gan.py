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

from lightning_modules.adversarial import AdversarialModule, Terms, TwoPlayerModule
from lightning_modules.annealing import STILL, Annealing
from lightning_modules.augment.base import Augmentation, Unchanged
from lightning_modules.contract import StatesItsData
from lightning_modules.losses.adversarial import AdversarialLoss, NonSaturating
from lightning_modules.losses.classification import ClassificationTerm
from lightning_modules.losses.penalties import BetweenPenalty, Penalty, PointPenalty
from lightning_modules.losses.terms import require_once
from lightning_modules.losses.weights import WeightTerm
from lightning_modules.networks.base import Discriminator, Generator, Network, TwoHeadedDiscriminator, Verdict


class Shown(NamedTuple):
    """D's inputs before and after augmentation; both require a gradient where a penalty asks for it."""

    plain: Tensor
    changed: Tensor


class Judged(NamedTuple):
    """D's logits and the inputs they came from."""

    real: Tensor
    fake: Tensor
    x: Shown
    fake_x: Shown
    real_classes: Tensor  # what a second head says; of width 0 where there is none
    fake_classes: Tensor


class JudgedModule(TwoPlayerModule):
    """D's and G's terms under one adversarial loss and any number of penalties, of whatever images G has made.

    Args:
        generator: G.
        discriminator: D(x, y) -> logits.
        loss: the objective of both; the non-saturating one unless given.
        penalties: gradient penalties on D, each of another name.
        one_pass: run reals and fakes through D as one batch; batch statistics are then shared.
        weight_clip: largest magnitude of D's weights, enforced after each of its steps (Arjovsky et al. 2017,
            algorithm 1: 0.01).
        d_weight_terms: terms of D's objective that look at its weights, each of another name.
        g_weight_terms: terms of G's.
        classification: a term on the answer of D's second head, which D then must have.
        augment: a change of all that D sees, reals and fakes; none unless given.
        annealing: how rates, penalties, augmentation and average change with the images seen; not at all unless given.
        **players: the arguments of ``TwoPlayerModule``.
    """

    def __init__(
        self,
        generator: Network,
        discriminator: Discriminator,
        loss: AdversarialLoss | None = None,
        penalties: Sequence[Penalty] = (),
        one_pass: bool = False,
        weight_clip: float | None = None,
        d_weight_terms: Sequence[WeightTerm] = (),
        g_weight_terms: Sequence[WeightTerm] = (),
        classification: ClassificationTerm | None = None,
        augment: Augmentation | None = None,
        annealing: Annealing | None = None,
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
        if (classification is not None) != isinstance(discriminator, TwoHeadedDiscriminator):
            raise ValueError(
                "a classification term and a discriminator of two heads need each other, and here is one alone: give "
                "both, or neither"
            )
        self.classification, self.augment, self.weight_clip = classification, augment or Unchanged(), weight_clip
        self.d_weight_terms, self.g_weight_terms = list(d_weight_terms), list(g_weight_terms)
        self.annealing = annealing
        if annealing is not None:
            self.check_annealing(annealing)

    @property
    def judgements(self) -> int:
        """How often D judges each real of a batch in a step."""
        return 1

    def configure_optimizers(self) -> list[Optimizer]:
        """The base's; D's clips its weights after each step where asked to."""
        optimizers = super().configure_optimizers()
        if self.annealing is not None:
            for rates in self._first_rates:
                self.annealing.check_rates(rates)
        limit = self.weight_clip
        if limit is not None:
            optimizers[0].register_step_post_hook(lambda opt, *_: clip_weights(opt, limit))
        return optimizers

    def check_annealing(self, annealing: Annealing) -> None:
        """Raise ValueError where two would set the same thing, or there is nothing to set."""
        if annealing.lr != STILL and (self.d_schedule or self.g_schedule):
            raise ValueError(
                "annealing and a schedule would both set the learning rate: leave out d_schedule and g_schedule, or "
                "set annealing.lr to [1, 1]"
            )
        if annealing.half_life != STILL and self.ema_settings is not None and self.ema_settings.half_life_kimg is None:
            raise ValueError(
                "annealing changes the average's half-life, and this one has none: give ema.half_life_kimg, or set "
                "annealing.half_life to [1, 1]"
            )
        for share in reversed(annealing.augment):
            self.augment.anneal(share)

    def apply_schedules(self) -> None:
        """The base's; and what is annealed, by the images seen so far."""
        super().apply_schedules()
        if self.annealing is None:
            return
        now = self.annealing.at(self.images_seen)
        for opt, rates in zip(self.trained_optimizers(), self._first_rates, strict=True):
            self.annealing.set_rates(opt, rates, self.images_seen)
        for penalty in self.penalties:
            penalty.anneal(now.penalties)
        self.augment.anneal(now.augment)
        if self.ema is not None:
            self.ema.share = now.half_life

    @property
    def lazy_terms(self) -> list[str]:
        """The penalties that not every step has."""
        return [f"d/{penalty.name}" for penalty in self.penalties if penalty.every > 1]

    def due_penalties(self) -> list[Penalty]:
        """Those that D's objective has in this step."""
        return [penalty for penalty in self.penalties if penalty.due(self.global_step)]

    def d_terms(self, x: Tensor, fake: Tensor, y: Tensor) -> Terms:
        """D's objective on the reals ``x`` [N, ...] and ``fake`` [N, ...], both of ``y``."""
        due = self.due_penalties()
        judged = self.judge(x, fake, y, [penalty for penalty in due if isinstance(penalty, PointPenalty)])
        self.augment.observe(judged.real, len(y) // self.judgements)
        self.watch("d/real", judged.real)
        self.watch("d/fake", judged.fake)
        self.watch("d/gap", judged.real - judged.fake)
        terms = {"d/adv": self.loss.d(judged.real, judged.fake)}
        if self.classification is not None:
            term = self.classification.d(judged.real_classes, judged.fake_classes, y)
            terms[f"d/{self.classification.name}"] = term
        for penalty in due:
            terms[f"d/{penalty.name}"] = penalty.every * self.penalise(penalty, judged, y)
        return terms | {f"d/{term.name}": term(self.D) for term in self.d_weight_terms}

    def g_terms(self, x: Tensor, fake: Tensor, y: Tensor, y_fake: Tensor) -> Terms:
        """G's objective on ``fake`` [M, ...] of ``y_fake``, beside the reals ``x`` [N, ...] of ``y``."""
        fake_logits, classes = self.ask(self.augment(fake), y_fake)
        real = None
        if self.loss.relativistic:
            with torch.no_grad():
                real = self.ask(self.augment(x), y).logits
        terms = {"g/adv": self.loss.g(real, fake_logits)}
        if self.classification is not None:
            terms[f"g/{self.classification.name}"] = self.classification.g(classes, y_fake)
        return terms | {f"g/{term.name}": term(self.G) for term in self.g_weight_terms}

    def ask(self, x: Tensor, y: Tensor, eager: bool = False) -> Verdict:
        """D on ``x`` [N, ...] in fp32, as half-precision losses overflow; a second head is eager even if compiled."""
        if isinstance(self.D, TwoHeadedDiscriminator):
            logits, classes = self.D.judge(x, y)
            return Verdict(logits.float(), classes.float())
        logits = (self.D.forward if eager else self.D)(x, y).float()
        return Verdict(logits, logits.new_empty(len(x), 0))

    def judge(self, x: Tensor, fake: Tensor, y: Tensor, points: Sequence[PointPenalty]) -> Judged:
        """D on reals and fakes, in the way that the penalties at these ``points`` need it."""
        shown = self.show(x, [penalty for penalty in points if penalty.at_real])
        shown_fake = self.show(fake.to(x.dtype), [penalty for penalty in points if not penalty.at_real])
        eager = bool(points)  # a compiled network has no double backward, its forward has
        with self.precision(points):
            if self.one_pass:
                both = self.ask(torch.cat([shown.changed, shown_fake.changed]), torch.cat([y, y]), eager)
                real, fakes = (Verdict(*parts) for parts in zip(*(part.chunk(2) for part in both), strict=True))
            else:
                real, fakes = self.ask(shown.changed, y, eager), self.ask(shown_fake.changed, y, eager)
        return Judged(real.logits, fakes.logits, shown, shown_fake, real.classes, fakes.classes)

    def show(self, x: Tensor, points: Sequence[PointPenalty]) -> Shown:
        """``x`` [N, ...] augmented, with gradients as the penalties at these ``points`` need them."""
        plain = x.detach().requires_grad_(any(not penalty.after_augment for penalty in points))
        changed = self.augment(plain)
        return Shown(plain, changed if changed.requires_grad else changed.requires_grad_(bool(points)))

    def penalise(self, penalty: Penalty, judged: Judged, y: Tensor) -> Tensor:
        """The term of one penalty, a scalar."""
        with self.precision([penalty]):
            if isinstance(penalty, PointPenalty):
                logits, shown = (judged.real, judged.x) if penalty.at_real else (judged.fake, judged.fake_x)
                return penalty(logits, shown.changed if penalty.after_augment else shown.plain)
            assert isinstance(penalty, BetweenPenalty)
            if penalty.after_augment:
                return penalty(self.D.forward, judged.x.changed, judged.fake_x.changed, y)
            return penalty(lambda x, y: self.D.forward(self.augment(x), y), judged.x.plain, judged.fake_x.plain, y)

    def finish_step(self) -> None:
        """Let the augmentation follow D, then as the base does."""
        self.note(self.augment.adapt(self.global_step))
        super().finish_step()

    def precision(self, penalties: Sequence[Penalty]) -> AbstractContextManager[Any]:
        """Full precision where one of the penalties asks for it, else the trainer's."""
        if all(penalty.autocast for penalty in penalties):
            return nullcontext()
        return torch.autocast(self.device.type, enabled=False)


class GAN(AdversarialModule, JudgedModule):
    """G and D against each other under one loss and any number of penalties.

    Args:
        generator: G(z, y) -> x.
        discriminator: D(x, y) -> logits.
        loss: the objective of both; the paper's non-saturating one unless given.
        g_batch_factor: fakes in G's step for each real of the batch; 2 in the published code of SNGAN and WGAN-GP.
        **judged: the arguments of ``JudgedModule``.
    """

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator,
        loss: AdversarialLoss | None = None,
        g_batch_factor: int = 1,
        **judged: Any,
    ) -> None:
        super().__init__(generator, discriminator, loss=loss, **judged)
        if g_batch_factor < 1 or (g_batch_factor > 1 and self.loss.relativistic):
            raise ValueError(f"g_batch_factor must be 1 or more, and 1 under a relativistic loss, got {g_batch_factor}")
        self.g_batch_factor = g_batch_factor

    def check_data(self, data: StatesItsData) -> None:
        """The base's; D's classes too."""
        super().check_data(data)
        self.check_classes(self.D.num_classes, data)

    def d_loss(self, x: Tensor, y: Tensor) -> Terms:
        """D's loss on the reals ``x`` [N, ...] and as many fakes, and the penalties that are due."""
        with torch.no_grad():
            fake = self.make_fakes(y)
        return self.d_terms(x, fake, y)

    def g_loss(self, x: Tensor, y: Tensor) -> Terms:
        """G's loss on ``g_batch_factor`` fakes for each of the reals ``x``."""
        y_fake = torch.cat([y] * self.g_batch_factor)
        return self.g_terms(x, self.make_fakes(y_fake), y, y_fake)

    def make_fakes(self, y: Tensor) -> Tensor:
        """G's samples of fresh noise for the labels ``y`` [N]: [N, *out_shape]."""
        images: Tensor = self.G(self.G.sample_z(len(y)), y)
        return images


@torch.no_grad()
def clip_weights(opt: Optimizer, limit: float) -> None:
    """Clip every weight of ``opt`` to [-limit, limit], in place."""
    weights = [weight for group in opt.param_groups for weight in group["params"]]
    torch._foreach_clamp_min_(weights, -limit)
    torch._foreach_clamp_max_(weights, limit)

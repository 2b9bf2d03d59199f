"""D's and G's terms under one adversarial loss, penalties and regularisers, whatever G makes its images of."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lightning_modules.adversarial import Terms, TwoPlayerModule
from lightning_modules.annealing import STILL, Annealing
from lightning_modules.augment.base import Augmentation, PseudoReals, Unchanged
from lightning_modules.losses.adversarial import AdversarialLoss, NonSaturating, TopK
from lightning_modules.losses.classification import ClassificationTerm
from lightning_modules.losses.penalties import BetweenPenalty, Penalty, PointPenalty
from lightning_modules.losses.regularisers import Regulariser, Scene
from lightning_modules.losses.terms import require_once
from lightning_modules.losses.weights import WeightTerm
from lightning_modules.networks.base import Discriminator, Network, TwoHeadedDiscriminator, Verdict
from lightning_modules.verdicts import Judged, Made, Shown, check_code, check_second_head, present


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
        regularisers: further terms of both players, each of another name.
        augment: a change of all that D sees, reals and fakes; none unless given.
        annealing: how rates, penalties, augmentation and average change with the images seen; not at all unless given.
        pseudo_reals: shows D some fakes as reals; none unless given.
        top_k: which of its fakes G learns from; all unless given.
        **players: the arguments of ``TwoPlayerModule``.
    """

    makes_of_noise = False  # whether the family says what its fakes were made of

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
        regularisers: Sequence[Regulariser] = (),
        augment: Augmentation | None = None,
        annealing: Annealing | None = None,
        pseudo_reals: PseudoReals | None = None,
        top_k: TopK | None = None,
        **players: Any,
    ) -> None:
        super().__init__(generator, discriminator, **players)
        require_once("penalties", penalties)
        require_once("d_weight_terms", d_weight_terms)
        require_once("g_weight_terms", g_weight_terms)
        require_once("regularisers", regularisers)
        self.loss = loss or NonSaturating()
        self.penalties, self.one_pass = list(penalties), one_pass
        if weight_clip is not None and weight_clip <= 0:
            raise ValueError(f"weight_clip must be above 0, got {weight_clip}")
        if top_k is not None and self.loss.relativistic:
            raise ValueError("top_k: a relativistic loss compares each fake with a real: leave top_k out")
        check_second_head(discriminator, classification, regularisers)
        for regulariser in regularisers:
            if regulariser.reads_noise and not self.makes_of_noise:
                raise ValueError(f"{type(regulariser).__name__}: {type(self).__name__} makes no image of noise alone")
            check_code(regulariser, generator)
        self.classification, self.augment, self.weight_clip = classification, augment or Unchanged(), weight_clip
        self.regularisers = cast(list[Regulariser], nn.ModuleList(regularisers))  # some have a state
        self.pseudo_reals, self.top_k = pseudo_reals, top_k
        self.d_weight_terms, self.g_weight_terms = list(d_weight_terms), list(g_weight_terms)
        self.annealing = annealing
        if annealing is not None:
            self.check_annealing(annealing)

    def maker(self, term: str) -> object:
        """The loss, penalty, regulariser or other part whose ``term`` it is, else this family."""
        named: list[Any] = [*self.penalties, *self.regularisers, *self.d_weight_terms, *self.g_weight_terms]
        named += [] if self.classification is None else [self.classification]
        return {"adv": self.loss, **{part.name: part for part in named}}.get(term.partition("/")[2], self)

    @property
    def judgements(self) -> int:
        """How often D judges each real of a batch in a step."""
        return 1

    def configure_optimizers(self) -> list[Optimizer]:
        """The base's; D's clips its weights after each step where asked to."""
        optimizers = super().configure_optimizers()
        limit = self.weight_clip
        if limit is not None:
            optimizers[0].register_step_post_hook(lambda opt, *_: clip_weights(opt, limit))
        return optimizers

    def remember_rates(self, optimizers: list[Optimizer]) -> list[Optimizer]:
        """The base's, of whichever players there are, all of which must be such as can be annealed."""
        optimizers = super().remember_rates(optimizers)
        if self.annealing is not None:
            for rates in self._first_rates:
                self.annealing.check_rates(rates)
        return optimizers

    def check_annealing(self, annealing: Annealing) -> None:
        """Raise ValueError where two would set the same thing, or there is nothing to set."""
        if annealing.lr != STILL and any(self.schedules):
            raise ValueError(
                "annealing and a schedule would both set the learning rate: leave out the players' schedules, or set "
                "annealing.lr to [1, 1]"
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
            self.annealing.set_rates(opt, rates, now)
        for penalty in self.penalties:
            penalty.anneal(now.penalties)
        self.augment.anneal(now.augment)
        if self.ema is not None:
            self.ema.share = now.half_life

    @property
    def lazy_terms(self) -> list[str]:
        """The penalties that not every step has."""
        return [f"d/{penalty.name}" for penalty in self.penalties if penalty.every > 1]

    @property
    def adaptive(self) -> list[Augmentation | PseudoReals]:
        """What changes D's inputs by what D says of the reals."""
        return [self.augment] if self.pseudo_reals is None else [self.augment, self.pseudo_reals]

    @property
    def reads_features(self) -> bool:
        """Whether a regulariser needs D's features."""
        return any(term.reads_features for term in self.regularisers)

    def due_penalties(self) -> list[Penalty]:
        """Those that D's objective has in this step."""
        return [penalty for penalty in self.penalties if penalty.due(self.global_step)]

    def d_terms(self, x: Tensor, fake: Tensor, y: Tensor, made: Made | None = None) -> Terms:
        """D's objective on the reals ``x`` [N, ...] and ``fake`` [N, ...], both of ``y``."""
        due = self.due_penalties()
        shown = x if self.pseudo_reals is None else self.pseudo_reals(x, fake)
        judged = self.judge(shown, fake, y, [penalty for penalty in due if isinstance(penalty, PointPenalty)])
        real, fakes = judged.real, judged.fake
        for adaptive in self.adaptive:
            adaptive.observe(real.logits, len(y) // self.judgements)
        self.watch("d/real", real.logits)
        self.watch("d/fake", fakes.logits)
        self.watch("d/gap", real.logits - fakes.logits)
        terms = {"d/adv": self.loss.d(real.logits, fakes.logits)}
        if self.classification is not None:
            terms[f"d/{self.classification.name}"] = self.classification.d(real.classes, fakes.classes, y)
        for penalty in due:
            terms[f"d/{penalty.name}"] = penalty.every * self.penalise(penalty, judged, y)
        scene = Scene(self.ask, judged.x.changed, y, real, judged.fake_x.changed, y, fakes, *(made or ()))
        terms |= present({f"d/{term.name}": term.d(scene, self.global_step) for term in self.regularisers})
        return terms | {f"d/{term.name}": term(self.D) for term in self.d_weight_terms}

    def g_terms(self, x: Tensor, fake: Tensor, y: Tensor, y_fake: Tensor, made: Made | None = None) -> Terms:
        """G's objective on ``fake`` [M, ...] of ``y_fake``, beside the reals ``x`` [N, ...] of ``y``."""
        shown, real = self.augment(fake), None
        fakes = self.ask(shown, y_fake)
        if self.loss.relativistic or any(term.compares for term in self.regularisers):
            with torch.no_grad():
                real = self.ask(self.augment(x), y)
        chosen = fakes.logits if self.top_k is None else self.top_k(fakes.logits, self.images_seen)
        terms = {"g/adv": self.loss.g(None if real is None else real.logits, chosen)}
        if self.classification is not None:
            terms[f"g/{self.classification.name}"] = self.classification.g(fakes.classes, y_fake)
        scene = Scene(self.ask, x, y, real, shown, y_fake, fakes, *(made or ()))
        terms |= present({f"g/{term.name}": term.g(scene) for term in self.regularisers})
        return terms | {f"g/{term.name}": term(self.G) for term in self.g_weight_terms}

    def ask(self, x: Tensor, y: Tensor, eager: bool = False) -> Verdict:
        """D on ``x`` [N, ...] in fp32, as half-precision losses overflow.

        Features are there where a second head or a regulariser reads them; D is eager then, even if compiled.
        """
        if self.reads_features or isinstance(self.D, TwoHeadedDiscriminator):
            return Verdict(*(part.float() for part in self.D.judge(x, y)))
        logits = (self.D.forward if eager else self.D)(x, y).float()
        nothing = logits.new_empty(len(x), 0)
        return Verdict(logits, nothing, nothing)

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
        return Judged(real, fakes, shown, shown_fake)

    def show(self, x: Tensor, points: Sequence[PointPenalty]) -> Shown:
        """``x`` [N, ...] augmented, with gradients as the penalties at these ``points`` need them."""
        plain = x.detach().requires_grad_(any(not penalty.after_augment for penalty in points))
        changed = self.augment(plain)
        return Shown(plain, changed if changed.requires_grad else changed.requires_grad_(bool(points)))

    def penalise(self, penalty: Penalty, judged: Judged, y: Tensor) -> Tensor:
        """The term of one penalty, a scalar."""
        with self.precision([penalty]):
            if isinstance(penalty, PointPenalty):
                said, shown = (judged.real, judged.x) if penalty.at_real else (judged.fake, judged.fake_x)
                return penalty(said.logits, shown.changed if penalty.after_augment else shown.plain)
            assert isinstance(penalty, BetweenPenalty)
            if penalty.after_augment:
                return penalty(self.D.forward, judged.x.changed, judged.fake_x.changed, y)
            return penalty(lambda x, y: self.D.forward(self.augment(x), y), judged.x.plain, judged.fake_x.plain, y)

    def finish_step(self) -> None:
        """Let what follows D move, then as the base does."""
        for adaptive in self.adaptive:
            self.note(adaptive.adapt(self.global_step))
        for regulariser in self.regularisers:
            regulariser.adapt()
        super().finish_step()

    def precision(self, penalties: Sequence[Penalty]) -> AbstractContextManager[Any]:
        """Full precision where one of the penalties asks for it, else the trainer's."""
        if all(penalty.autocast for penalty in penalties):
            return nullcontext()
        return torch.autocast(self.device.type, enabled=False)


@torch.no_grad()
def clip_weights(opt: Optimizer, limit: float) -> None:
    """Clip every weight of ``opt`` to [-limit, limit], in place."""
    weights = [weight for group in opt.param_groups for weight in group["params"]]
    torch._foreach_clamp_min_(weights, -limit)
    torch._foreach_clamp_max_(weights, limit)

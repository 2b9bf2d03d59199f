"""The two-player base: the only code in which two optimizers step.

Manual optimisation, one clock (steps of D, which are batches), alternation by ``n_critic`` and ``n_gen``,
micro-batches, and one verb, ``update``. Families give ``d_loss`` and ``g_loss``; a third player overrides
``update_generator`` on the same verb.
Two private hooks of Lightning 2.6 (``_on_before_step``, ``_on_after_step``) keep its step counter on D's clock.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer, do_nothing_closure
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from lightning_modules.base import AtelierModule, OptimizerCallable
from lightning_modules.batches import channels_last, rebuild
from lightning_modules.generative import GenerativeModule
from lightning_modules.networks.base import Discriminator, Generator, Network
from lightning_modules.scaling import refuse_to_clip, unscaled
from lightning_modules.schedules import Schedule

Terms = dict[str, Tensor]


class TwoPlayerModule(AtelierModule):
    """Alternating updates of a discriminator D and a generator G, whatever G makes its images of.

    Args:
        generator: G.
        discriminator: D(x, y) -> logits.
        d_optimizer: D's optimizer; Adam with DCGAN's learning rate and betas unless given.
        g_optimizer: G's optimizer.
        d_schedule: factor of D's learning rate over the run.
        g_schedule: factor of G's learning rate over the run.
        n_critic: steps of D, each on a fresh batch, before G is updated.
        n_gen: updates of G each time.
        micro_batch: largest number of reals in one forward; larger batches are split and their gradients summed.
        d_clip: largest norm of D's gradient.
        g_clip: largest norm of G's gradient.
        freeze_d: number of D's first blocks that stay as they are (Mo et al. 2020).
        **shared: the arguments of ``AtelierModule``.
    """

    leaves_idle = True
    G: Any  # a Network; each family says which, and what it asks of it
    simultaneous = False  # whether G's update comes first, before D has moved

    def __init__(
        self,
        generator: Network,
        discriminator: Discriminator,
        *,
        d_optimizer: OptimizerCallable = lambda p: Adam(p, lr=2e-4, betas=(0.5, 0.999)),
        g_optimizer: OptimizerCallable = lambda p: Adam(p, lr=2e-4, betas=(0.5, 0.999)),
        d_schedule: Schedule | None = None,
        g_schedule: Schedule | None = None,
        n_critic: int = 1,
        n_gen: int = 1,
        micro_batch: int | None = None,
        d_clip: float | None = None,
        g_clip: float | None = None,
        freeze_d: int = 0,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        for name, value in {"n_critic": n_critic, "n_gen": n_gen, "micro_batch": micro_batch}.items():
            if value is not None and value < 1:
                raise ValueError(f"{name} must be 1 or more, got {value}")
        if freeze_d and not 0 < freeze_d <= len(discriminator.blocks):
            raise ValueError(f"freeze_d must lie between 0 and D's {len(discriminator.blocks)} blocks, got {freeze_d}")
        self.automatic_optimization = False
        self.G, self.D = generator, discriminator
        self.d_optimizer, self.g_optimizer = d_optimizer, g_optimizer
        self.d_schedule, self.g_schedule = d_schedule, g_schedule
        self.n_critic, self.n_gen, self.micro_batch = n_critic, n_gen, micro_batch
        self.d_clip, self.g_clip = d_clip, g_clip
        if freeze_d:
            self.D.blocks[:freeze_d].requires_grad_(False)
        self._share = 1.0  # of the batch, of the micro-batch in progress
        self.average(self.G)

    @property
    def net(self) -> nn.Module:
        """G."""
        return self.G

    @property
    def networks(self) -> list[nn.Module]:
        """G and D."""
        return [self.G, self.D]

    @property
    def schedules(self) -> list[Schedule | None]:
        """D's and G's."""
        return [self.d_schedule, self.g_schedule]

    # --- to be said by a family -----------------------------------------------------------------------------

    d_loss: Callable[..., Terms]  # (*batch) -> named scalar terms of D's objective on one (micro-)batch, ``d/...``
    g_loss: Callable[..., Terms]  # (*batch) -> G's, ``g/...``

    def watch(self, name: str, value: Tensor) -> None:
        """Log ``value`` beside the terms; it takes no part in the objective."""
        self.note({name: value.mean()}, self._share)

    # --- training -------------------------------------------------------------------------------------------

    @property
    def batches_for_round(self) -> int:
        """D's steps between two updates of G."""
        return self.n_critic

    def batches_for(self, g_steps: int) -> int:
        """D's steps until G has been updated ``g_steps`` times; the last round is completed."""
        return -(-g_steps // self.n_gen) * self.n_critic

    def configure_optimizers(self) -> list[Optimizer]:
        """D's and G's, over what is not frozen."""
        optimizers = [
            make(p for p in net.parameters() if p.requires_grad)
            for make, net in ((self.d_optimizer, self.D), (self.g_optimizer, self.G))
        ]
        return self.remember_rates(optimizers)

    def on_fit_start(self) -> None:
        """As in the base; what clips must be given gradients free of a scale."""
        for opt, (name, limit) in zip(self.trained_optimizers(), self.clips.items(), strict=False):
            if limit is not None:
                refuse_to_clip(f"{name}_clip", opt, f"{name}_optimizer", self.trainer)
        super().on_fit_start()

    @property
    def clips(self) -> dict[str, float | None]:
        """The largest norms of D's and G's gradients, in the order of their optimizers."""
        return {"d": self.d_clip, "g": self.g_clip}

    def training_step(self, batch: Sequence[Tensor], batch_idx: int) -> None:
        """One step of D; after each ``n_critic``-th, ``n_gen`` updates of G."""
        self.stop_clock(*self.players()[1:])
        batch = channels_last(batch) if self.uses_channels_last else batch
        if self.simultaneous:
            self.take_turn_of_g(batch)
        self.update_discriminator(batch)
        self.count_images(len(batch[0]))
        if self.global_step % self.n_critic == 0:  # not batch_idx, which restarts each epoch
            if not self.simultaneous:
                self.take_turn_of_g(batch)
            self.update_ema()
        self.finish_step()

    def take_turn_of_g(self, batch: Sequence[Tensor]) -> None:
        """G's turn: ``n_gen`` updates."""
        for _ in range(self.n_gen):
            self.update_generator(batch)
            self.g_step += 1

    def update_discriminator(self, batch: Sequence[Tensor]) -> None:
        """One update of D, which moves the clock."""
        self.update(self.players()[0], self.d_loss, batch)

    def update_generator(self, batch: Sequence[Tensor]) -> None:
        """One update of G; a third player's stands beside it."""
        self.update(self.players()[1], self.g_loss, batch)

    def players(self) -> list[LightningOptimizer]:
        """The optimizers in the order of ``configure_optimizers``, as Lightning wraps them."""
        return cast(list[LightningOptimizer], self.optimizers())

    def stop_clock(self, *opts: LightningOptimizer) -> None:
        """Keep the steps of ``opts`` out of ``global_step``; the loop re-installs its hooks before each batch."""
        for opt in opts:
            opt._on_before_step = opt._on_after_step = do_nothing_closure

    def update(self, opt: LightningOptimizer, loss_fn: Callable[..., Terms], batch: Sequence[Tensor]) -> None:
        """Minimise the sum of ``loss_fn``'s terms over ``batch`` by one step of ``opt``; only its player learns."""
        chunks = self.micro_batches(batch)
        row, self.row = self.row, {}
        opt.zero_grad()
        for i, chunk in enumerate(chunks):
            self._share = len(chunk[0]) / len(batch[0])
            with self.playing(opt, sync_grad=i == len(chunks) - 1):
                terms = loss_fn(*chunk)
                self._first_look.check(terms, self, loss_fn.__name__)
                loss = torch.stack(list(terms.values())).sum()
                self.manual_backward(loss * self._share if len(chunks) > 1 else loss)
            self.guard_terms(terms)
            self.note(terms, self._share)
        self.row = row | self.row  # of a player's many updates in one step the last is logged, not their sum
        opt.step()

    def micro_batches(self, batch: Sequence[Tensor]) -> list[Sequence[Tensor]]:
        """``batch`` in parts of at most ``micro_batch`` reals, every tensor split alike."""
        if self.micro_batch is None or len(batch[0]) <= self.micro_batch:
            return [batch]
        parts = zip(*(tensor.split(self.micro_batch) for tensor in batch), strict=True)
        return [rebuild(batch, part) for part in parts]

    @contextmanager
    def playing(self, opt: LightningOptimizer, sync_grad: bool = True) -> Iterator[None]:
        """Freeze the other players; un-freeze them even after an exception. Ranks reduce where ``sync_grad``."""
        try:
            with opt.toggle_model(sync_grad=sync_grad):
                yield
        except BaseException:
            self.untoggle_optimizer(opt)
            raise

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Clip and watch the gradient's norm here, where a scaler has un-scaled it, but for a fused optimizer."""
        for opt, (name, limit) in zip(self.trained_optimizers(), self.clips.items(), strict=False):
            if opt is optimizer and (self.is_logged or limit is not None):
                weights = [weight for group in opt.param_groups for weight in group["params"]]
                norm = nn.utils.get_total_norm([weight.grad for weight in weights if weight.grad is not None])
                self.row[f"{name}/grad_norm"] = unscaled(norm, opt, self.trainer)
                if limit is not None:
                    nn.utils.clip_grads_with_norm_(weights, limit, norm)


class AdversarialModule(GenerativeModule, TwoPlayerModule):
    """Two players of which G makes samples of noise, G(z, y) -> x."""

    def __init__(self, generator: Generator, discriminator: Discriminator, **players: Any) -> None:
        super().__init__(generator, discriminator, **players)

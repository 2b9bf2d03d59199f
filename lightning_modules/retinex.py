"""RetinexNet (Wei et al. 2018): an image is taken apart into reflectance and illumination, and its light is changed.

    y -> R, L = decomposition(y),  L' = relighting(R, L),  x = R * L'

Two phases, strictly after each other: the decomposition learns from pairs in two lights, neither of whose layers is
known, what both have in common; then the relighting learns to make x, with the decomposition held still. Which phase it
is follows from the step and the run's length alone, so that a resumed run goes on in it; a run that is made longer
begins its second phase later. The schedule runs through in each phase. What is scored during the first phase went
through a relighting that has learnt nothing yet. Deviations: the paper takes the noise out of R by BM3D in proportion
to the light, which its published training code leaves out and which stays in R here; one optimizer for both networks.
"""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from lightning_modules.evaluating import evaluating
from lightning_modules.losses.reconstruction import L1, ReconstructionLoss
from lightning_modules.losses.retinex import (
    Composition,
    CrossComposition,
    DecompositionLoss,
    InvariableReflectance,
    Layers,
    Smoothness,
)
from lightning_modules.losses.terms import require_once
from lightning_modules.networks.base import Network
from lightning_modules.one_player import OnePlayerModule
from lightning_modules.restoring import PICTURES, Restoring
from lightning_modules.schedules import Schedule


class Explained(Network):
    """Both networks as one from y to x.

    Args:
        decomposition: y -> R, L.
        relighting: R, L -> another L.
    """

    def __init__(self, decomposition: Network, relighting: Network) -> None:
        super().__init__()
        self.decomposition, self.relighting, self.multiple = decomposition, relighting, relighting.multiple

    def forward(self, y: Tensor) -> Tensor:
        """``y`` [N, 3, H, W] in better light."""
        R, _, relit = self.layers(y)
        return R * relit

    def layers(self, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """R [N, 3, H, W] of ``y`` [N, 3, H, W], its L and its new L, [N, 1, H, W] each."""
        R, L = self.decomposition(y)
        return R, L, self.relighting(R, L)


class InEachPhase(Schedule):
    """Another schedule, once through before a run's ``share`` is done and once after it."""

    def __init__(self, schedule: Schedule, share: float) -> None:
        self.schedule, self.share = schedule, share

    def factor(self, progress: float) -> float:
        """That of the progress in the phase."""
        if progress < self.share:
            return self.schedule.factor(progress / self.share)
        return self.schedule.factor((progress - self.share) / (1 - self.share))


class Retinex(Restoring, OnePlayerModule):
    """A decomposition, and a relighting that stands on it.

    Args:
        decomposition: an image in [0, 1] -> R [N, 3, H, W], L [N, 1, H, W].
        relighting: R, L -> another L.
        decomposition_losses: of the first phase, each of another name; RetinexNet's four unless given.
        losses: between R L' and x, of the second phase, each of another name; L1 unless given.
        relit_smoothness: of L' under R, in the second phase; of weight 3 unless given.
        share: of the run's steps that the first phase takes.
        schedule: factor of the learning rate over each phase.
        **shared: the other arguments of ``OnePlayerModule``.

    Raises:
        ValueError: a share that leaves a phase without steps, or a loss twice.
    """

    leaves_idle = True
    network: Explained

    def __init__(
        self,
        decomposition: Network,
        relighting: Network,
        decomposition_losses: Sequence[DecompositionLoss] | None = None,
        losses: Sequence[ReconstructionLoss] | None = None,
        relit_smoothness: Smoothness | None = None,
        share: float = 0.5,
        schedule: Schedule | None = None,
        **shared: Any,
    ) -> None:
        if not 0 < share < 1:
            raise ValueError(f"share is {share:g}: the first phase takes a part of the run between 0 and 1")
        super().__init__(schedule=schedule and InEachPhase(schedule, share), **shared)
        self.decomposition_losses: list[DecompositionLoss] = (
            [Composition(), CrossComposition(), InvariableReflectance(), Smoothness()]
            if decomposition_losses is None
            else list(decomposition_losses)
        )
        require_once("decomposition_losses", self.decomposition_losses)
        self.compare_by([L1()] if losses is None else losses)
        self.relit_smoothness, self.share = relit_smoothness or Smoothness(3.0), share
        self.network = Explained(decomposition, relighting)
        self.average(self.network)

    @property
    def net(self) -> nn.Module:
        """Both networks."""
        return self.network

    @property
    def networks(self) -> list[nn.Module]:
        """The decomposition and the relighting."""
        return [self.network.decomposition, self.network.relighting]

    # --- training -------------------------------------------------------------------------------------------

    def on_fit_start(self) -> None:
        """As in the base; phases need the run's length."""
        if self.trainer.max_steps < 1:
            raise ValueError("two phases need the run's length: give clock.g_steps, clock.kimg or clock.epochs")
        super().on_fit_start()

    @property
    def relights(self) -> bool:
        """Whether it is the second phase."""
        return self.global_step / self.trainer.max_steps >= self.share

    def terms(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """The terms of the phase; the network of the other one gets no gradient at all, and so stays as it is."""
        return self.relighting_terms(x, y) if self.relights else self.decomposition_terms(x, y)

    def decomposition_terms(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """The decomposition's losses on bright images ``x`` and dark ones ``y`` of the same scenes, [N, 3, H, W]."""
        R, L = self.network.decomposition(torch.cat([x, y]))
        bright, dark = (Layers(*parts) for parts in zip((x, y), R.chunk(2), L.chunk(2), strict=True))
        return {loss.name: loss(bright, dark) for loss in self.decomposition_losses}

    def relighting_terms(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """The losses between R L' of ``y`` and ``x``, [N, 3, H, W] each, and the smoothness of L'."""
        with torch.no_grad():
            R, L = self.network.decomposition(y)
        relit = self.network.relighting(R, L)
        terms = {f"relit_{name}": term for name, term in self.compare(R * relit, x).items()}
        return terms | {"relit_smoothness": self.relit_smoothness.of(relit, R)}

    # --- pictures -------------------------------------------------------------------------------------------

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """As in the base; in the pictures R, L and the new L stand between y and the answer."""
        answer = super().validation_step(batch, batch_idx, dataloader_idx)
        if dataloader_idx == 0 and batch_idx < PICTURES:
            *front, image, x = self._shown[-1]
            with evaluating(self.evaluated) as net:
                layers = cast(Explained, net).layers(batch[1][:1])
            self._shown = (*self._shown[:-1], (*front, *(layer.float() for layer in layers), image, x))
        return answer

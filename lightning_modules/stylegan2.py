"""StyleGAN2 (Karras et al. 2020, "Analyzing and improving the image quality of StyleGAN", sections 3.1 and 3.2).

StyleGAN with path length regularisation and regularisers that are steps of their own: after each
``every``-th update of a player its regulariser, times ``every``, is minimised by one more step of the same optimizer.
Adam would then take i + 1 steps for i updates, so that its learning rate and betas are corrected (appendix B):

    c = i / (i + 1),   lr <- c lr,   beta <- beta^c

Fakes, their statistics, and augmentation (ADA, DiffAugment) are the GAN's.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from lightning_modules.adversarial import Terms
from lightning_modules.base import OptimizerCallable
from lightning_modules.losses.path_length import PathLength
from lightning_modules.losses.penalties import R1, Penalty, PointPenalty
from lightning_modules.networks.base import Discriminator, StyledGenerator
from lightning_modules.stylegan import StyleGAN

RATE, BETAS = 2.5e-3, (0.0, 0.99)


class StyleGAN2(StyleGAN):
    """G of styles and D under the non-saturating loss, R1 and path length.

    Args:
        generator: G, whose layers have styles.
        discriminator: D(x, y) -> logits.
        path_length: the regulariser of G; None leaves it out.
        penalties: of D, at the reals or at the fakes; R1 with weight 10 at each 16th step unless given.
        **judged: the arguments of ``StyleGAN``; Adam with 0.0025, 0 and 0.99 unless given.

    Raises:
        ValueError: penalties that choose points of their own, or such as are due at other steps
            than each other; an optimizer without betas to correct.
    """

    def __init__(
        self,
        generator: StyledGenerator,
        discriminator: Discriminator,
        path_length: PathLength | None,
        penalties: Sequence[Penalty] | None = None,
        d_optimizer: OptimizerCallable = lambda p: Adam(p, lr=RATE, betas=BETAS),
        g_optimizer: OptimizerCallable = lambda p: Adam(p, lr=RATE, betas=BETAS),
        **judged: Any,
    ) -> None:
        penalties = [R1(10.0, every=16)] if penalties is None else list(penalties)
        intervals = {penalty.every for penalty in penalties}
        if len(intervals) > 1 or not all(isinstance(penalty, PointPenalty) for penalty in penalties):
            raise ValueError(
                "StyleGAN2's penalties are one more step of D: give such as R1 and R2, all with the same `every`"
            )
        super().__init__(
            generator,
            discriminator,
            penalties=penalties,
            d_optimizer=lazily(d_optimizer, *intervals),
            g_optimizer=lazily(g_optimizer, *([] if path_length is None else [path_length.every])),
            **judged,
        )
        self.path_length = path_length

    # --- regularisers, each a step of its own --------------------------------------------------------------------

    @property
    def lazy_terms(self) -> list[str]:
        """The base's; and the path length."""
        return [*super().lazy_terms, "g/path", "g/path_length"]

    def due_penalties(self) -> list[Penalty]:
        """None within D's objective."""
        return []

    def update_discriminator(self, batch: Sequence[Tensor]) -> None:
        """D's update; where its penalties are due, one more that does not move the clock."""
        due = bool(self.penalties) and self.penalties[0].due(self.global_step)
        super().update_discriminator(batch)
        if due:
            opt = self.players()[0]
            self.stop_clock(opt)
            self.update(opt, self.d_regularisation, batch)

    def d_regularisation(self, x: Tensor, y: Tensor) -> Terms:
        """The penalties at the reals ``x`` [N, ...] and, where one looks there, at as many fakes, times ``every``.

        Pseudo reals stand among the reals here too, as in APA's code and StudioGAN's; the fakes are new ones.
        """
        terms = {}
        for penalty in self.penalties:
            assert isinstance(penalty, PointPenalty)
            looked = x
            if self.pseudo_reals is not None or not penalty.at_real:
                with torch.no_grad():
                    fake = self.make_fakes(y).images.to(x.dtype)
                looked = self.pseudo_reals(x, fake) if self.pseudo_reals is not None and penalty.at_real else fake
            with self.precision([penalty]):
                shown = self.show(looked, [penalty])
                logits = self.ask(shown.changed, y, eager=True).logits
                inputs = shown.changed if penalty.after_augment else shown.plain
                terms[f"d/{penalty.name}"] = penalty.every * penalty(logits, inputs)
        return terms

    def update_generator(self, batch: Sequence[Tensor]) -> None:
        """G's update; where the path length is due, one more."""
        super().update_generator(batch)
        if self.path_length is not None and self.g_step % self.path_length.every == 0:
            self.update(self.players()[1], self.g_regularisation, batch)

    def g_regularisation(self, x: Tensor, y: Tensor) -> Terms:
        """The path length of images for the first labels of ``y`` [N], times ``every``."""
        assert self.path_length is not None
        with self.precision([]) if self.path_length.autocast else torch.autocast(self.device.type, enabled=False):
            styles = self.styles(y[: self.path_length.share(len(y))])
            term = self.path_length(self.G.synthesis.forward(styles), styles)  # eager: it is differentiated twice
        self.watch("g/path_length", self.path_length.mean)
        return {"g/path": self.path_length.every * term}


def lazily(make: OptimizerCallable, *every: int) -> OptimizerCallable:
    """``make``, corrected for one more step after each so many updates; as it is where no number is given."""
    return corrected(make, every[0]) if every else make


def corrected(make: OptimizerCallable, every: int) -> Callable[[Iterable[nn.Parameter]], Optimizer]:
    """Optimizers of ``make`` with lr * c and betas^c, c = every / (every + 1).

    Raises:
        ValueError: when called, an optimizer without betas.
    """
    share = every / (every + 1)

    def made(weights: Iterable[nn.Parameter]) -> Optimizer:
        opt = make(weights)
        for group in opt.param_groups:
            if "betas" not in group:
                raise ValueError(
                    f"a regulariser that is a step of its own corrects Adam's betas, and {type(opt).__name__} has "
                    "none: choose Adam, or leave the regulariser out"
                )
            group["lr"] *= share
            group["betas"] = tuple(beta**share for beta in group["betas"])
        return opt

    return made

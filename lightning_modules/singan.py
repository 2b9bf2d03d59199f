"""SinGAN (Shaham et al. 2019): a pyramid of GANs that learns the patches of one photograph, scale after scale.

At each scale D_n and G_n play WGAN-GP on patches, and G_n is to make the photograph itself of the fixed noise z*:

    min_{G_n} max_{D_n}  L_adv(G_n, D_n) + 10 |x_n(z*) - x_n|^2           (eqs. 4 and 5)

The noise of a scale is weighed by 0.1 of how wrong the scale below is there (section 2.2). What has been trained stays
as it is; both players' optimizers begin anew with each scale, and end at a tenth of their rate.
Deviations: every update of G has fakes of its own; the noise has three channels at the coarsest scale too.
"""

from collections.abc import Sequence
from math import log
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, max_pool2d, mse_loss
from torch.optim import Adam

from datamodules.functional.keys import key
from datamodules.functional.quantise import to_uint8
from datamodules.functional.resample import resampled
from lightning_modules.adversarial import Terms
from lightning_modules.base import OptimizerCallable
from lightning_modules.contract import StatesItsData
from lightning_modules.evaluating import evaluating
from lightning_modules.gan import GAN
from lightning_modules.generative import PANEL_STREAM
from lightning_modules.losses.adversarial import AdversarialLoss, Wasserstein
from lightning_modules.losses.penalties import Penalty, PixelGradientPenalty
from lightning_modules.networks.base import PyramidDiscriminator, PyramidGenerator
from lightning_modules.schedules import Drop, Schedule
from lightning_modules.verdicts import Made

SHOWN, STARTS = 8, 4  # samples of a panel, and scales that others start from


class SinGAN(GAN):
    """G and D of one photograph.

    Args:
        generator: G, a pyramid.
        discriminator: D, one of as many scales.
        iterations: of each scale, of ``n_critic`` steps of D and ``n_gen`` of G.
        reconstruction: weight of the photograph's own error.
        noise: weight of a scale's noise, in root mean squared errors of the scale below.
        loss: Wasserstein's unless given.
        penalties: the gradient penalty of each pixel with weight 0.1 unless given.
        n_critic: steps of D in turn.
        n_gen: steps of G in turn.
        d_schedule: factor of D's rate over each scale; a tenth after 0.8 of it unless given.
        g_schedule: likewise.
        **judged: the arguments of ``GAN``; Adam with 5e-4, 0.5 and 0.999 unless given.

    Raises:
        ValueError: no iterations, or players of other scales.
    """

    G: PyramidGenerator
    D: PyramidDiscriminator
    makes_of_noise = False  # but of a noise for each scale

    def __init__(
        self,
        generator: PyramidGenerator,
        discriminator: PyramidDiscriminator,
        iterations: int = 2000,
        reconstruction: float = 10.0,
        noise: float = 0.1,
        loss: AdversarialLoss | None = None,
        penalties: Sequence[Penalty] | None = None,
        n_critic: int = 3,
        n_gen: int = 3,
        d_optimizer: OptimizerCallable = lambda p: Adam(p, lr=5e-4, betas=(0.5, 0.999)),
        g_optimizer: OptimizerCallable = lambda p: Adam(p, lr=5e-4, betas=(0.5, 0.999)),
        d_schedule: Schedule | None = None,
        g_schedule: Schedule | None = None,
        **judged: Any,
    ) -> None:
        super().__init__(
            generator,
            discriminator,
            loss=loss or Wasserstein(),
            penalties=[PixelGradientPenalty()] if penalties is None else penalties,
            n_critic=n_critic,
            n_gen=n_gen,
            d_optimizer=d_optimizer,
            g_optimizer=g_optimizer,
            d_schedule=d_schedule or Drop(),
            g_schedule=g_schedule or Drop(),
            **judged,
        )
        if iterations < 1:
            raise ValueError(f"iterations is {iterations}: give 1 or more for each scale")
        if self.ema_settings is not None:
            raise ValueError("ema: scales are trained one after the other and then stay as they are: omit it")
        if generator.sizes != discriminator.sizes:
            raise ValueError(
                f"G has scales {generator.sizes}, D {discriminator.sizes}: give both one size, coarsest and factor"
            )
        self.iterations, self.reconstruction, self.noise = iterations, reconstruction, noise
        self._below: Tensor | None = None  # the photograph of the finished scales, at the current one's size

    # --- training ---------------------------------------------------------------------------------------------

    @property
    def scale_steps(self) -> int:
        """Steps of D for which a scale is trained."""
        return self.iterations * self.n_critic

    @property
    def due_scale(self) -> int:
        """The scale that learns at this step; the last one from its turn on."""
        return min(self.global_step // self.scale_steps, len(self.G.sizes) - 1)

    @property
    def progress(self) -> float:
        """The share of the current scale's training that is done."""
        return min(1.0, (self.global_step - self.due_scale * self.scale_steps) / self.scale_steps)

    def check_data(self, data: StatesItsData) -> None:
        """The base's; first, the finest scale must have the photograph's shape."""
        (_, *have), (_, *due) = self.G.out_shape, data.out_shape
        if have != due:
            raise ValueError(
                f"the photograph is {due[0]} px high and {due[1]} wide, G's finest scale {have[0]} and {have[1]}: set"
                f" model.generator.size and model.discriminator.size to {due}"
            )
        super().check_data(data)

    def at_scale(self, x: Tensor, scale: int) -> Tensor:
        """``x`` [N, 3, H, W] at the size of ``scale``."""
        return resampled(x, self.G.sizes[scale])

    def training_step(self, batch: Sequence[Tensor], batch_idx: int) -> None:
        """Go to the next scale where it is time, then as the base, on the photograph at that scale's size."""
        x, *others = batch
        small = self.at_scale(x, self.due_scale)
        if self.due_scale != self.G.current:
            self.enter(self.due_scale, small)
        super().training_step((small, *others), batch_idx)

    @torch.no_grad()
    def enter(self, scale: int, x: Tensor) -> None:
        """Go to ``scale``, at which the photograph is ``x`` [N, 3, h, w]."""
        for opt in self.trained_optimizers():
            opt.state.clear()
        self.go_to(scale, inherit=True)
        self.G.noise_weights[scale] = self.noise * mse_loss(self.below(), x[:1]).sqrt()

    def go_to(self, scale: int, inherit: bool) -> None:
        """Let both players be at ``scale``."""
        self._below = None
        for player in (self.G, self.D):
            player.enter(scale, inherit)

    @torch.no_grad()
    def below(self) -> Tensor:
        """The photograph as the finished scales make it of z*, at the size of the current one: it stays the same."""
        if self._below is None:
            scale = self.G.current
            self._below = self.at_scale(self.G.reconstruction(scale - 1), scale)
        return self._below

    def reconstructed(self) -> Tensor:
        """The photograph as the current scale makes it of z*, [1, 3, h, w]."""
        if not self.G.current:
            return self.G.reconstruction(0)
        return self.G.finer(self.below(), self.G.current)

    def make_fakes(self, y: Tensor) -> Made:
        """Samples of the current scale, [N, 3, h, w]."""
        return Made(self.G.image(self.G.draw(len(y), self.G.sizes[: self.G.current + 1])))

    def g_loss(self, x: Tensor, y: Tensor) -> Terms:
        """The base's; and how far the image of z* is from the photograph ``x``."""
        error = mse_loss(self.reconstructed().float(), x[:1])
        return super().g_loss(x, y) | {"g/reconstruction": self.reconstruction * error}

    def finish_step(self) -> None:
        """Log the scale, then as the base."""
        self.note({"scale": torch.tensor(float(self.G.current))})
        super().finish_step()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The base's; and the scale."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["counters"]["scale"] = self.G.current

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The base's; and the scale."""
        super().on_load_checkpoint(checkpoint)
        self.go_to(checkpoint["counters"]["scale"], inherit=False)

    # --- what can be made of it -------------------------------------------------------------------------------

    def sample_at(self, n: int, H: int, W: int) -> Tensor:
        """``n`` samples of H x W px, uint8 [n, 3, H, W]; smaller where not all scales are trained yet."""
        with evaluating(self.G):
            return to_uint8(self.G.image(self.G.draw(n, self.G.sizes_of(H, W))), self.value_range)

    def start_from(self, x: Tensor, scale: int, n: int = 1) -> Tensor:
        """``n`` images of which ``x`` [1, 3, H, W] in [-1, 1] is the coarse part, up to ``scale``: [n, 3, H, W].

        With a painting, a composition or an edit for ``x`` it is section 4's painting to image, harmonisation, editing.

        Raises:
            ValueError: there is no such scale, or nothing below it.
        """
        if not 1 <= scale <= self.G.current:
            raise ValueError(f"there is no scale {scale} to start at: give 1 up to {self.G.current}")
        sizes = self.G.sizes_of(*x.shape[2:])
        with evaluating(self.G):
            coarse = resampled(x, sizes[scale - 1]).expand(n, -1, -1, -1)
            return self.G.image(self.G.draw(n, sizes[scale:]), scale, coarse).clamp(-1, 1)

    def harmonise(self, x: Tensor, mask: Tensor, scale: int, border: int = 7) -> Tensor:
        """``x`` [1, 3, H, W] in [-1, 1], made anew from ``scale`` on where ``mask`` [1, 1, H, W] is 1.

        The mask is grown by ``border`` px and blurred by as many, so that what is new has no seam.
        """
        side = 2 * border + 1
        soft = avg_pool2d(max_pool2d(mask, side, 1, border), side, 1, border, count_include_pad=False)
        made = self.start_from(x, scale)
        return torch.lerp(x, resampled(made, (x.shape[2], x.shape[3])), soft)

    def enlarge(self, x: Tensor, factor: float) -> Tensor:
        """``x`` [1, 3, H, W] in [-1, 1] so many times as large: the last scale and its noise again and again.

        Section 4, "Super-resolution"; the noise is of the global stream, as that of samples.

        Raises:
            ValueError: there is only one scale.
        """
        H, W = x.shape[2:]
        if len(self.G.sizes) < 2:
            raise ValueError("a pyramid of one scale has not learned to enlarge: give a larger photograph")
        (h, _), (larger, _) = self.G.sizes[-2:]
        steps = max(1, round(log(factor) / log(larger / h)))
        with evaluating(self.G):
            for i in range(1, steps + 1):
                size = (round(H * factor ** (i / steps)), round(W * factor ** (i / steps)))
                (z,) = self.G.draw(len(x), [size])
                x = self.G.finer(resampled(x, size), self.G.current, z)
        return x.clamp(-1, 1)

    def animate(self, frames: int, start: int = 0, alpha: float = 0.1, beta: float = 0.9) -> Tensor:
        """A walk through noise around z*, uint8 [frames, 3, H, W] (supplementary material, "Animation").

        Args:
            frames: how many.
            start: first scale whose noise walks; those below are the photograph's own.
            alpha: how strongly the walk is drawn back to z*.
            beta: how much of a step is the one before, with what drew it back, and not noise.
        """
        sizes = self.G.sizes[: self.G.current + 1]
        own = [self.G.fixed, *(torch.zeros(1, 3, h, w, device=self.device) for h, w in sizes[1:])]
        place, before = [z.clone() for z in own], [z.clone() for z in own]
        made = []
        with evaluating(self.G):
            for _ in range(frames):
                for i in range(start, len(own)):
                    step = beta * (place[i] - before[i]) + (1 - beta) * torch.randn_like(own[i])
                    before[i], place[i] = place[i], alpha * own[i] + (1 - alpha) * (place[i] + step)
                made.append(to_uint8(self.G.image(place), self.value_range))
        return torch.cat(made)

    def panels(self, n: int = SHOWN) -> dict[str, Tensor]:
        """``samples``; ``wide``: twice as wide; ``starts``: the photograph made anew from later and later scales."""
        shown = super().panels(n)
        H, W = cast(tuple[int, int], tuple(self.G.out_shape[1:]))
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(key(self.seed, PANEL_STREAM, 1))
            shown["wide"] = self.sample_at(2, H, 2 * W)
            with evaluating(self.G):
                own = resampled(self.G.reconstruction(self.G.current), (H, W))
            made = (self.start_from(own, i) for i in range(1, min(STARTS, self.G.current) + 1))
            shown["starts"] = to_uint8(torch.cat([own, *(resampled(x, (H, W)) for x in made)]), self.value_range)
        return shown

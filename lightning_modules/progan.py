"""ProGAN (Karras et al. 2018, "Progressive growing of GANs"): a GAN whose players grow together.

Each resolution is trained for a while, then the next one is faded in; both players' optimizers forget their moments
when that begins and when it ends, as in the published code. How far they have grown follows from the images seen alone,
so that a run can be resumed anywhere. Deviations: one batch size for all resolutions, and one length for all phases.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate
from torch.optim import Adam

from lightning_modules.base import OptimizerCallable
from lightning_modules.gan import GAN
from lightning_modules.losses.adversarial import AdversarialLoss, Wasserstein
from lightning_modules.losses.penalties import GradientPenalty, Penalty
from lightning_modules.networks.base import Discriminator, Generator, Growing


@dataclass(frozen=True)
class Growth:
    """When the players grow.

    Args:
        stable_kimg: thousands of images for which a resolution is trained before the next one comes.
        fade_kimg: thousands of images over which that one is faded in.

    Raises:
        ValueError: no images.
    """

    stable_kimg: float = 600.0
    fade_kimg: float = 600.0

    def __post_init__(self) -> None:
        if self.stable_kimg < 0 or self.fade_kimg <= 0:
            raise ValueError(
                f"growth: give a stable_kimg of 0 or more and a fade_kimg above 0, got {self.stable_kimg} and "
                f"{self.fade_kimg}"
            )

    def at(self, images: int, levels: int) -> float:
        """How far networks of ``levels`` resolutions have grown after so many images."""
        kimg = images / 1000
        phase = math.floor(kimg / (self.stable_kimg + self.fade_kimg))
        within = kimg - phase * (self.stable_kimg + self.fade_kimg)
        return min(phase + max(0.0, (within - self.stable_kimg) / self.fade_kimg), levels - 1.0)


class ProGAN(GAN):
    """G and D that grow, as critic and generator of WGAN-GP with drift.

    Args:
        generator: G, which grows.
        discriminator: D, which grows as much.
        growth: when.
        loss: Wasserstein's with a drift of 0.001 unless given.
        penalties: the gradient penalty with weight 10 unless given.
        **judged: the arguments of ``GAN``; Adam with 0.001, 0 and 0.99 unless given.

    Raises:
        ValueError: networks that do not grow, or not alike.
    """

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator,
        growth: Growth | None = None,
        loss: AdversarialLoss | None = None,
        penalties: Sequence[Penalty] | None = None,
        d_optimizer: OptimizerCallable = lambda p: Adam(p, lr=1e-3, betas=(0.0, 0.99)),
        g_optimizer: OptimizerCallable = lambda p: Adam(p, lr=1e-3, betas=(0.0, 0.99)),
        **judged: Any,
    ) -> None:
        super().__init__(
            generator,
            discriminator,
            loss=loss or Wasserstein(drift=1e-3),
            penalties=[GradientPenalty(10.0)] if penalties is None else penalties,
            d_optimizer=d_optimizer,
            g_optimizer=g_optimizer,
            **judged,
        )
        levels = {net.levels for net in (generator, discriminator) if isinstance(net, Growing)}
        if not (isinstance(generator, Growing) and isinstance(discriminator, Growing)) or len(levels) != 1:
            raise ValueError(
                "ProGAN's players grow together: give networks of lightning_modules.networks.progan, one size"
            )
        self.growth = growth or Growth()
        self.grow(0.0)

    @property
    def growing(self) -> list[Growing]:
        """All that grows: both players and the average of G."""
        nets = [self.G, self.D, *([] if self.ema is None else [self.ema.net])]
        return [net for net in nets if isinstance(net, Growing)]

    def grow(self, growth: float) -> None:
        """Let all be grown so far."""
        for net in self.growing:
            net.growth = growth

    def training_step(self, batch: Sequence[Tensor], batch_idx: int) -> None:
        """Grow, then as the base, on reals that are as sharp as the fakes."""
        net = self.growing[0]
        before, now = net.growth, self.growth.at(self.images_seen, net.levels)
        if (math.floor(before), math.ceil(before)) != (math.floor(now), math.ceil(now)):
            for opt in self.trained_optimizers():
                opt.state.clear()
        self.grow(now)
        x, *others = batch
        super().training_step((as_sharp(x, now, net.levels), *others), batch_idx)

    def finish_step(self) -> None:
        """Log how far all have grown, then as the base."""
        self.note({"growth": torch.tensor(self.growing[0].growth)})
        super().finish_step()


def as_sharp(x: Tensor, growth: float, levels: int) -> Tensor:
    """Reals ``x`` [N, C, H, W] as networks see them that have grown so far, enlarged again by repetition.

    They are averaged to the newest resolution; while it is faded in, so is what it has beyond the one before.
    """
    level = math.ceil(growth)
    small = avg_pool2d(x, 2 ** (levels - 1 - level))
    if growth < level:
        coarse = interpolate(avg_pool2d(small, 2), scale_factor=2)
        small = torch.lerp(coarse, small, growth - math.floor(growth))
    return interpolate(small, size=x.shape[2:])

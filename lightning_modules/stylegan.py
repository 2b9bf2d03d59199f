"""StyleGAN (Karras et al. 2019, "A style-based generator architecture for GANs", section 3.1).

A GAN whose generator has a style for each layer: in a share of the batches the later layers have the styles of another
z, so that layers do not rely on each other's (mixing regularisation).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam

from lightning_modules.base import OptimizerCallable
from lightning_modules.gan import GAN
from lightning_modules.losses.penalties import R1, Penalty
from lightning_modules.networks.base import Discriminator, StyledGenerator
from lightning_modules.verdicts import Made


class StyleGAN(GAN):
    """G of styles against D.

    Args:
        generator: G, whose layers have styles.
        discriminator: D(x, y) -> logits.
        mixing: share of the batches in which the later layers have the styles of another z.
        penalties: of D; R1 with weight 10 unless given.
        **judged: the arguments of ``GAN``; Adam with 0.001, 0 and 0.99 unless given.

    Raises:
        ValueError: a share that is none.
    """

    G: StyledGenerator

    makes_of_noise = False  # but of styles

    def __init__(
        self,
        generator: StyledGenerator,
        discriminator: Discriminator,
        mixing: float = 0.9,
        penalties: Sequence[Penalty] | None = None,
        d_optimizer: OptimizerCallable = lambda p: Adam(p, lr=1e-3, betas=(0.0, 0.99)),
        g_optimizer: OptimizerCallable = lambda p: Adam(p, lr=1e-3, betas=(0.0, 0.99)),
        **judged: Any,
    ) -> None:
        super().__init__(
            generator,
            discriminator,
            penalties=[R1(10.0)] if penalties is None else penalties,
            d_optimizer=d_optimizer,
            g_optimizer=g_optimizer,
            **judged,
        )
        if not 0 <= mixing <= 1:
            raise ValueError(f"mixing is {mixing}: give a share of the batches, from 0 to 1")
        self.mixing = mixing

    @property
    def networks(self) -> list[nn.Module]:
        """G's two, which are called by themselves, and D."""
        return [self.G.mapping, self.G.synthesis, self.D]

    def make_fakes(self, y: Tensor) -> Made:
        """G's samples of fresh noise for the labels ``y`` [N], their styles mixed or not."""
        return Made(self.G.synthesis(self.styles(y)))

    def styles(self, y: Tensor) -> Tensor:
        """Those of fresh noise for ``y`` [N]: [N, styles, w_dim]."""
        z = self.G.sample_z(len(y))
        if not self.mixing:
            return self.G.styles(z, y)
        layers = self.G.num_styles
        crossing = torch.randint(1, layers, (), device=y.device)
        mixed = torch.rand((), device=y.device) < self.mixing
        return self.G.mixed_styles(z, self.G.sample_z(len(y)), y, torch.where(mixed, crossing, layers))

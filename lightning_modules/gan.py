"""The generative adversarial network (Goodfellow et al. 2014, algorithm 1), with its loss and penalties from YAML.

The same file is DCGAN, WGAN, WGAN-GP, DRAGAN, LSGAN, SNGAN and their like: what differs stands in the experiment. Where
a relativistic loss asks for reals in G's step they are those of D's last step.
"""

from typing import Any

import torch
from torch import Tensor

from lightning_modules.adversarial import AdversarialModule, Terms
from lightning_modules.contract import StatesItsData
from lightning_modules.judged import JudgedModule
from lightning_modules.losses.adversarial import AdversarialLoss
from lightning_modules.networks.base import Discriminator, Generator
from lightning_modules.verdicts import Made


class GAN(AdversarialModule, JudgedModule):
    """G and D against each other under one loss and any number of penalties.

    Args:
        generator: G(z, y) -> x.
        discriminator: D(x, y) -> logits.
        loss: the objective of both; the paper's non-saturating one unless given.
        g_batch_factor: fakes in G's step for each real of the batch; 2 in the published code of SNGAN and WGAN-GP.
        **judged: the arguments of ``JudgedModule``.
    """

    makes_of_noise = True

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
            made = self.make_fakes(y)
        return self.d_terms(x, made.images, y, made)

    def g_loss(self, x: Tensor, y: Tensor) -> Terms:
        """G's loss on ``g_batch_factor`` fakes for each of the reals ``x``."""
        y_fake = torch.cat([y] * self.g_batch_factor)
        made = self.make_fakes(y_fake)
        return self.g_terms(x, made.images, y, y_fake, made)

    def make_fakes(self, y: Tensor) -> Made:
        """G's samples of fresh noise for the labels ``y`` [N]."""
        z = self.draw_z(y)
        return Made(self.G(z, y), z, lambda other: self.G(other, y))

    def draw_z(self, y: Tensor) -> Tensor:
        """Fresh noise [N, z_dim] for fakes of the labels ``y`` [N]."""
        return self.G.sample_z(len(y))

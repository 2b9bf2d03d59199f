"""R3GAN (Huang et al. 2024, "The GAN is dead; long live the GAN! A modern baseline GAN", section 2, eq. 2).

One well-behaved loss instead of tricks: each real is to score above its fake, and D's slope is to vanish at reals and
at fakes.

    D   E[softplus(D(G(z)) - D(x))] + gamma / 2 E|grad D(x)|^2 + gamma / 2 E|grad D(G(z))|^2
    G   E[softplus(D(x) - D(G(z)))]

at every step, with Adam without momentum, and with rates, gamma, augmentation and average that are annealed as in its
published code. Deviation: the reals of G's step are those of D's, not fresh ones.
"""

from collections.abc import Sequence
from typing import Any

from torch.optim import Adam

from lightning_modules.annealing import Annealing
from lightning_modules.base import OptimizerCallable
from lightning_modules.gan import GAN
from lightning_modules.losses.adversarial import AdversarialLoss, RelativisticPairing
from lightning_modules.losses.penalties import R1, R2, Penalty
from lightning_modules.networks.base import Discriminator, Generator

GAMMA = 0.05  # of CIFAR-10; 0.5 and 1 for ImageNet at 32 and 64 px, 2 and 150 for FFHQ at 64 and 256 px


class R3GAN(GAN):
    """G and D under the relativistic pairing loss, R1 and R2, annealed.

    Args:
        generator: G.
        discriminator: D(x, y) -> logits.
        loss: of both; the relativistic pairing one unless given.
        penalties: on D; R1 and R2 with gamma 0.05 unless given, in the trainer's precision as in the published code.
        annealing: of their weights and all else; over 20,000 kimg unless given.
        d_optimizer: D's; Adam with 0.0002, 0 and 0.9 unless given.
        g_optimizer: G's, likewise.
        **judged: the arguments of ``GAN``.
    """

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator,
        loss: AdversarialLoss | None = None,
        penalties: Sequence[Penalty] | None = None,
        annealing: Annealing | None = None,
        d_optimizer: OptimizerCallable = lambda p: Adam(p, lr=2e-4, betas=(0.0, 0.9)),
        g_optimizer: OptimizerCallable = lambda p: Adam(p, lr=2e-4, betas=(0.0, 0.9)),
        **judged: Any,
    ) -> None:
        super().__init__(
            generator,
            discriminator,
            loss=loss or RelativisticPairing(),
            penalties=[R1(GAMMA, autocast=True), R2(GAMMA, autocast=True)] if penalties is None else penalties,
            annealing=annealing or Annealing(),
            d_optimizer=d_optimizer,
            g_optimizer=g_optimizer,
            **judged,
        )

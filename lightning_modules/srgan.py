"""SRGAN (Ledig et al. 2017) and ESRGAN (Wang et al. 2018): super-resolution that is to look real, not to be near.

G enlarges y, D tells large patches x from G(y), and G minimises

    sum of the named losses between G(y) and x  +  weight * g(D(x), D(G(y)))

SRGAN's (eq. 3) has the distance of VGG's features for the first and the non-saturating loss for the second; ESRGAN's
(eq. 3) adds L1 and takes the relativistic average. Features need a network's weights: without them a distance of pixels
stands in. Both begin with a G that was trained for PSNR alone: ``init_from`` is a checkpoint of ``SuperResolution``.
Deviation: values are in [0, 1], where SRGAN's x is in [-1, 1].
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch.optim import Adam

from lightning_modules.base import OptimizerCallable
from lightning_modules.losses.reconstruction import ReconstructionLoss
from lightning_modules.networks.base import Discriminator, Upscaler
from lightning_modules.restoring_gan import RestoringGAN
from lightning_modules.super_resolution import Enlarging


class SRGAN(Enlarging, RestoringGAN):
    """An enlarging G against a D of large patches.

    Args:
        generator: G(y, scale) -> x.
        discriminator: D(x) -> logits; it sees x alone, not y.
        losses: terms of G's objective between G(y) and x, each of another name.
        adversarial_weight: of D's verdict in G's objective: 1e-3 in SRGAN, 5e-3 in ESRGAN.
        **judged: the arguments of ``JudgedModule``; Adam with 1e-4 unless given.
    """

    other_names: ClassVar[Mapping[str, str]] = {"network.": "G."}  # what SuperResolution calls it

    def __init__(
        self,
        generator: Upscaler,
        discriminator: Discriminator,
        losses: Sequence[ReconstructionLoss] = (),
        adversarial_weight: float = 1e-3,
        d_optimizer: OptimizerCallable = lambda p: Adam(p, lr=1e-4),
        g_optimizer: OptimizerCallable = lambda p: Adam(p, lr=1e-4),
        **judged: Any,
    ) -> None:
        super().__init__(
            generator,
            discriminator,
            losses=losses,
            adversarial_weight=adversarial_weight,
            d_optimizer=d_optimizer,
            g_optimizer=g_optimizer,
            **judged,
        )

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

import torch
from torch import Tensor

from lightning_modules.adversarial import Terms
from lightning_modules.contract import StatesItsData
from lightning_modules.gan import JudgedModule
from lightning_modules.losses.reconstruction import ReconstructionLoss
from lightning_modules.networks.base import Discriminator, Upscaler
from lightning_modules.super_resolution import Enlarging


class SRGAN(Enlarging, JudgedModule):
    """An enlarging G against a D of large patches.

    Args:
        generator: G(y, scale) -> x.
        discriminator: D(x) -> logits; it sees x alone, not y.
        losses: terms of G's objective between G(y) and x, each of another name.
        adversarial_weight: of D's verdict in G's objective: 1e-3 in SRGAN, 5e-3 in ESRGAN.
        **judged: the arguments of ``JudgedModule``.
    """

    other_names: ClassVar[Mapping[str, str]] = {"network.": "G."}  # what SuperResolution calls it

    def __init__(
        self,
        generator: Upscaler,
        discriminator: Discriminator,
        losses: Sequence[ReconstructionLoss] = (),
        adversarial_weight: float = 1e-3,
        **judged: Any,
    ) -> None:
        super().__init__(generator, discriminator, **judged)
        if adversarial_weight <= 0:
            raise ValueError(f"adversarial_weight must be above 0, got {adversarial_weight}: without D it is no GAN")
        self.compare_by(losses)
        self.adversarial_weight = adversarial_weight

    def check_data(self, data: StatesItsData) -> None:
        """The base's; and D must know the patches."""
        super().check_data(data)
        known, given = self.D.image_shape, tuple(data.out_shape)
        if known is not None and known != given:
            raise ValueError(
                f"{type(self.D).__name__} judges patches of {'x'.join(map(str, known))}, the data module gives "
                f"{'x'.join(map(str, given))}: set size and channels of the discriminator, or data.init_args.patch"
            )

    def d_loss(self, x: Tensor, y: Tensor) -> Terms:
        """D's loss on the patches ``x`` [N, C, H, W] and what G makes of ``y`` [N, C, h, w]."""
        with torch.no_grad():
            fake = self.G(*self.inputs(x, y))
        return self.d_terms(x, fake, y)

    def g_loss(self, x: Tensor, y: Tensor) -> Terms:
        """The losses between G(``y``) and ``x``, and the weighted verdict of D."""
        fake = self.G(*self.inputs(x, y))
        terms = self.g_terms(x, fake, y, y)
        terms["g/adv"] = self.adversarial_weight * terms["g/adv"]
        return terms | {f"g/{name}": term for name, term in self.compare(fake.float(), x).items()}

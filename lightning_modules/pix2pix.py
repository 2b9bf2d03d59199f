"""pix2pix (Isola et al. 2017): an image x of one kind is made of an image y of another, and D judges the pair.

    G* = arg min_G max_D  L_cGAN(G, D) + lambda L1(G),  lambda = 100

(eq. 4) with the non-saturating loss for G. Noise is the dropout of G, on at test, too, unless the network is told
otherwise (``UNet.test_as_trained``). ``PatchGAN`` of one pixel, 16, 70 or 286 makes the rows of the paper's table 2;
``Translation`` is the row "L1" of its table 1.
Deviations: D is updated before G, on a fake of its own draw of dropout. The paper halves D's loss, which Adam hardly
notices; here it is whole.
"""

from collections.abc import Sequence
from typing import Any

from lightning_modules.losses.reconstruction import L1, ReconstructionLoss
from lightning_modules.networks.base import Discriminator, Network
from lightning_modules.reconstruction import ReconstructionModule
from lightning_modules.restoring_gan import RestoringGAN

RANGE = (-1.0, 1.0)


class Translation(ReconstructionModule):
    """G(y) by its distance from x alone, without D.

    Args:
        network: G: y -> x.
        losses: terms of the objective, each of another name; L1 unless given.
        **shared: the arguments of ``ReconstructionModule``.
    """

    value_range = RANGE

    def __init__(self, network: Network, losses: Sequence[ReconstructionLoss] | None = None, **shared: Any) -> None:
        super().__init__(network, [L1()] if losses is None else losses, **shared)


class Pix2Pix(RestoringGAN):
    """G(y) against D(x, y).

    Args:
        generator: G: y -> x.
        discriminator: D(x, y) -> logits.
        losses: terms of G's objective between G(y) and x; 100 times L1 unless given.
        **judged: the arguments of ``RestoringGAN``.
    """

    value_range = RANGE

    def __init__(
        self,
        generator: Network,
        discriminator: Discriminator,
        losses: Sequence[ReconstructionLoss] | None = None,
        **judged: Any,
    ) -> None:
        super().__init__(generator, discriminator, [L1(100.0)] if losses is None else losses, **judged)

"""A GAN whose G makes an image x of a condition y: G minimises

    sum of the named losses between G(y) and x  +  weight * g(D(x, y), D(G(y), y))

Whether D looks at y is its own affair. pix2pix, SRGAN and the inpainting families stand on it.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lightning_modules.adversarial import Terms
from lightning_modules.augment.base import Unchanged
from lightning_modules.contract import StatesItsData
from lightning_modules.judged import JudgedModule
from lightning_modules.losses.reconstruction import ReconstructionLoss
from lightning_modules.networks.base import Discriminator, Network
from lightning_modules.restoring import Reads, Restoring


class RestoringGAN(Restoring, JudgedModule):
    """G(y) against D(x, y).

    Args:
        generator: G, of what ``inputs`` makes of a batch.
        discriminator: D(x, y) -> logits.
        losses: terms of G's objective between G(y) and x, each of another name.
        adversarial_weight: of D's verdict in G's objective.
        colour: what y is for ``atelier restore``: three channels, BT.601 luma in 16/255 to 235/255, or full-range grey.
        **judged: the arguments of ``JudgedModule``.

    Raises:
        ValueError: losses of one name, a weight that is not above 0, or what shows D an image otherwise than its
            condition.
    """

    def __init__(
        self,
        generator: Network,
        discriminator: Discriminator,
        losses: Sequence[ReconstructionLoss] = (),
        adversarial_weight: float = 1.0,
        colour: Reads = "rgb",
        **judged: Any,
    ) -> None:
        super().__init__(generator, discriminator, **judged)
        if adversarial_weight <= 0:
            raise ValueError(f"adversarial_weight must be above 0, got {adversarial_weight}: without D it is no GAN")
        moving = [] if isinstance(self.augment, Unchanged) else [self.augment]
        for part in [*moving, *(term for term in self.regularisers if term.moves)]:
            if not discriminator.blocks_take_images:
                raise ValueError(
                    f"{type(part).__name__} changes what {type(discriminator).__name__} sees of an image, and not the "
                    "image that is its condition: leave it out, or the condition"
                )
        self.compare_by(losses)
        self.adversarial_weight, self.colour = adversarial_weight, colour

    def check_data(self, data: StatesItsData) -> None:
        """The base's; and D must know the patches."""
        super().check_data(data)
        known, given = self.D.image_shape, tuple(data.out_shape)
        if known is not None and known != given:
            raise ValueError(
                f"{type(self.D).__name__} judges patches of {'x'.join(map(str, known))}, the data module gives "
                f"{'x'.join(map(str, given))}: set size and channels of the discriminator, or data.init_args.patch"
            )

    def d_loss(self, x: Tensor, y: Tensor, *parts: Tensor) -> Terms:
        """D's loss on the images ``x`` [N, C, H, W] and what G makes of ``y`` [N, D, h, w]."""
        with torch.no_grad():
            fake = self.answer(x, y, *parts)
        return self.d_terms(x, fake, y)

    def g_loss(self, x: Tensor, y: Tensor, *parts: Tensor) -> Terms:
        """The losses between G(``y``) and ``x``, and the weighted verdict of D."""
        return self.made_terms(self.inputs(x, y, *parts), x, y, *parts)[1]

    def made_terms(self, given: tuple[Any, ...], x: Tensor, y: Tensor, *parts: Tensor) -> tuple[Tensor, Terms]:
        """What G makes of ``given`` in training, and the same terms of it."""
        fake: Tensor = self.G(*given)
        return fake, self.answer_terms(fake, x, y, *parts)

    def answer_terms(self, fake: Tensor, x: Tensor, y: Tensor, *parts: Tensor) -> Terms:
        """The same, of an image ``fake`` [N, C, H, W] that G has made of ``y``."""
        terms = self.g_terms(x, fake, y, y)
        terms["g/adv"] = self.adversarial_weight * terms["g/adv"]
        return terms | {f"g/{name}": term for name, term in self.compare(fake.float(), x).items()}

    def answer(self, *batch: Tensor) -> Tensor:
        """G's image of a batch, in training."""
        image: Tensor = self.G(*self.inputs(*batch))
        return image

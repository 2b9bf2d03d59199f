"""Matting: the alpha of a picture between the parts that its trimap is sure of (Xu et al. 2017, Lutz et al. 2018).

The network's alpha counts in the unknown band alone; elsewhere the trimap's stands, in losses, scores and answers. Two
sums of losses look at it, each a mean over the band (Xu et al., eqs. 1 and 2: Charbonnier's error, weight 1/2 each):

- ``alpha_losses``: between it and the right alpha;
- ``composition_losses``: between the picture composed with it, of the right foreground and background, and the picture.

``AlphaGAN`` adds a D that looks at compositions beside the trimap (Lutz et al., eq. 6), both real and made ones on the
background of the batch's next picture, so that D learns no more of pictures than the cut.
Deviations: errors of pixels are of [0, 1], where Xu et al. leave theirs open.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam

from datamodules.functional.borders import mirrored
from datamodules.functional.matting import composed, is_unknown
from lightning_modules.adversarial import Terms
from lightning_modules.base import OptimizerCallable
from lightning_modules.contract import StatesItsData
from lightning_modules.losses.reconstruction import Charbonnier, ReconstructionLoss
from lightning_modules.losses.terms import require_once
from lightning_modules.networks.base import Discriminator, Network
from lightning_modules.reconstruction import ReconstructionModule
from lightning_modules.restoring import Restoring
from lightning_modules.restoring_gan import RestoringGAN

Losses = Sequence[ReconstructionLoss]
EPSILON = 1e-6  # Xu et al.'s, below eq. 1


class MakesMattes(Restoring):
    """What the families of one and of two players share: their answer, and where losses look.

    Attributes:
        alpha_losses: terms between alpha and the right one.
        composition_losses: terms between the picture made with it and the picture.
    """

    alpha_losses: Losses = ()
    composition_losses: Losses = ()

    def compare_in_band(self, alpha_losses: Losses | None, composition_losses: Losses | None) -> None:
        """Take these losses; Charbonnier's with weight 1/2 where they are None.

        Raises:
            ValueError: two losses of one kind bear one name, or there are losses of an image, which alpha is not.
        """
        if self.losses or self.margin:
            raise ValueError(
                f"{type(self).__name__} has alpha_losses and composition_losses: leave losses and margin out"
            )
        half = [Charbonnier(0.5, EPSILON)]
        self.alpha_losses = half if alpha_losses is None else list(alpha_losses)
        self.composition_losses = half if composition_losses is None else list(composition_losses)
        require_once("alpha_losses", self.alpha_losses)
        require_once("composition_losses", self.composition_losses)

    def restore(self, batch: Sequence[Tensor]) -> Tensor:
        """Alpha [N, 1, H, W] in [0, 1] of a batch (x, y), what the trimap is sure of as it says."""
        return self.matte(batch[1])

    def matte(self, y: Tensor) -> Tensor:
        """Alpha [N, 1, H, W] in [0, 1] of ``y`` [N, 4, H, W] of any size."""
        H, W = y.shape[2:]
        multiple = self.net.multiple if isinstance(self.net, Network) else 1
        alpha = self(mirrored(y, multiple))[:, :, :H, :W].float().clamp(0, 1)
        return within(alpha, y)

    def compare_mattes(self, alpha: Tensor, x: Tensor, y: Tensor, foreground: Tensor, background: Tensor) -> Terms:
        """All losses of a network's ``alpha`` [N, 1, H, W] on a batch, by their names."""
        alpha = within(alpha.float(), y)
        share = is_unknown(y).mean(dtype=torch.float32).clamp(min=1 / y[:, 3:].numel())
        picture = composed(foreground, alpha, background)
        terms = {f"alpha_{loss.name}": loss(alpha, x) / share for loss in self.alpha_losses}
        made = {f"composition_{loss.name}": loss(picture, y[:, :3]) / share for loss in self.composition_losses}
        return terms | made

    def examples(self, n: int) -> dict[str, Tensor | int]:
        """``n`` pictures of noise with nothing known of them."""
        y = torch.rand(n, 4, self.example_side, self.example_side)
        y[:, 3] = 128 / 255
        return {"y": y}


class DeepMatting(MakesMattes, ReconstructionModule):
    """A network that finds alpha, by its errors in the band.

    Args:
        network: y -> alpha.
        alpha_losses: terms on alpha, each of another name; Charbonnier's with weight 1/2 unless given.
        composition_losses: terms on the composed picture; likewise.
        optimizer: of the network.
        **shared: the arguments of ``OnePlayerModule``.
    """

    def __init__(
        self,
        network: Network,
        alpha_losses: Losses | None = None,
        composition_losses: Losses | None = None,
        optimizer: OptimizerCallable = lambda p: Adam(p, lr=1e-5),
        **shared: Any,
    ) -> None:
        super().__init__(network, optimizer=optimizer, **shared)
        self.compare_in_band(alpha_losses, composition_losses)

    def terms(self, x: Tensor, y: Tensor, *parts: Tensor) -> dict[str, Tensor]:
        """Named scalar terms on a batch: alpha, picture and trimap, foreground and background."""
        return self.compare_mattes(self.network(y), x, y, *parts)


class AlphaGAN(MakesMattes, RestoringGAN):
    """G finds alpha, and D judges compositions beside their trimap.

    Args:
        generator: G: y -> alpha.
        discriminator: D(picture, trimap) -> logits, with a condition of one channel.
        alpha_losses: terms on alpha, each of another name; Charbonnier's with weight 1/2 unless given.
        composition_losses: terms on the composed picture; likewise.
        **judged: the arguments of ``RestoringGAN``.
    """

    def __init__(
        self,
        generator: Network,
        discriminator: Discriminator,
        alpha_losses: Losses | None = None,
        composition_losses: Losses | None = None,
        **judged: Any,
    ) -> None:
        super().__init__(generator, discriminator, **judged)
        self.compare_in_band(alpha_losses, composition_losses)

    def check_data(self, data: StatesItsData) -> None:
        """The base's but one: D judges pictures, not alpha."""
        super(RestoringGAN, self).check_data(data)

    def shown(self, alpha: Tensor, y: Tensor, foreground: Tensor, background: Tensor) -> Tensor:
        """What D sees of ``alpha``: each foreground on the background of the batch's next picture."""
        return composed(foreground, within(alpha, y), background.roll(1, 0))

    def d_loss(self, x: Tensor, y: Tensor, *parts: Tensor) -> Terms:
        """D's loss on the right compositions and on G's, both beside the trimap."""
        with torch.no_grad():
            answer = self.answer(x, y, *parts)
        return self.d_terms(self.shown(x, y, *parts), self.shown(answer.to(x.dtype), y, *parts), y[:, 3:])

    def answer_terms(self, fake: Tensor, x: Tensor, y: Tensor, *parts: Tensor) -> Terms:
        """The losses of G's alpha ``fake``, and D's weighted verdict on its composition."""
        trimap, right = y[:, 3:], self.shown(x, y, *parts)
        terms = self.g_terms(right, self.shown(fake.to(x.dtype), y, *parts), trimap, trimap)
        terms["g/adv"] = self.adversarial_weight * terms["g/adv"]
        return terms | {f"g/{name}": term for name, term in self.compare_mattes(fake, x, y, *parts).items()}


def within(alpha: Tensor, y: Tensor) -> Tensor:
    """``alpha`` [N, 1, H, W] where the trimap of ``y`` [N, 4, H, W] is unsure, what it says elsewhere."""
    return torch.where(is_unknown(y), alpha, y[:, 3:])

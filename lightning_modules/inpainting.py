"""Inpainting: an image with a hole is to become whole, and what is known of it stays as it is.

The network is given y and the hole. Its answer is composed: the network's pixels in the hole, y's elsewhere. That is
what is scored, pictured and, in a GAN, shown to D beside the hole, as Yu et al. 2019 have it. Objectives look at the
network's own image in three ways, each with losses of its own; every mean is over the whole image, so that a small hole
counts little (Liu et al. 2018, eqs. 3 and 4: L1 with weight 6 in the hole and 1 outside of it):

- ``losses``: on the image as it is;
- ``hole_losses``: on the composed image, which is wrong in the hole alone;
- ``valid_losses``: on x with the network's known pixels, which is wrong outside of the hole alone.

Of a network of two stages they look at the coarse image, too, with the same weights (Yu et al. 2019, section 3.4).
Total variation among the hole's losses is Liu et al.'s, up to what the network cannot change.
The context encoder (Pathak et al. 2016) is ``InpaintingGAN`` with squared errors in the hole, LaMa (Suvorov et al.
2022) with L1 outside of it. Deviations: D sees the whole composed image, the context encoder's sees the filled square;
no border of the hole weighs more, as there; LaMa's D is not told which of its patches hold made pixels.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lightning_modules.adversarial import Terms
from lightning_modules.contract import StatesItsData
from lightning_modules.losses.reconstruction import L1, ReconstructionLoss
from lightning_modules.losses.terms import require_once
from lightning_modules.networks.base import Discriminator, Filler, Network, TwoStageFiller
from lightning_modules.reconstruction import ReconstructionModule
from lightning_modules.restoring import Restoring
from lightning_modules.restoring_gan import RestoringGAN

Losses = Sequence[ReconstructionLoss]


class Filling(Restoring):
    """What the families of one and of two players share: their inputs, their composed answer, and where losses look.

    Attributes:
        hole_losses: terms between the composed answer and x.
        valid_losses: terms between x and it with the network's known pixels.
    """

    hole_losses: Losses = ()
    valid_losses: Losses = ()

    def compare_within(self, hole_losses: Losses | None, valid_losses: Losses | None) -> None:
        """Take these losses; L1 with weight 6 and 1 where they are None.

        Raises:
            ValueError: two losses of one kind bear one name.
        """
        self.hole_losses = [L1(6.0)] if hole_losses is None else list(hole_losses)
        self.valid_losses = [L1(1.0)] if valid_losses is None else list(valid_losses)
        require_once("hole_losses", self.hole_losses)
        require_once("valid_losses", self.valid_losses)

    def check_data(self, data: StatesItsData) -> None:
        """The base's; and the network must know the patches."""
        super().check_data(data)
        if isinstance(self.net, Filler):
            self.net.check(*data.out_shape[1:])

    def inputs(self, x: Tensor, y: Tensor, *parts: Tensor) -> tuple[Any, ...]:
        """The condition and its hole.

        Raises:
            ValueError: the batch has none.
        """
        if not parts:
            raise ValueError(f"{type(self).__name__} fills holes: choose a data module with some, such as HoledImages")
        return y, parts[0]

    def restore(self, batch: Sequence[Tensor]) -> Tensor:
        """The evaluated network's image of a batch (x, y, hole), y's pixels where they are known."""
        return composed(super().restore(batch), batch[1], batch[2])

    def examples(self, n: int) -> dict[str, Tensor | int]:
        """``n`` pictures of noise with a hole in the middle."""
        side = (isinstance(self.net, Filler) and self.net.size) or self.example_side
        hole = torch.zeros(n, 1, side, side, dtype=torch.bool)
        hole[:, :, side // 4 : side // 2, side // 4 : side // 2] = True
        return {"y": torch.rand(n, 3, side, side), "hole": hole}

    def compare_filled(self, answer: Tensor, x: Tensor, hole: Tensor) -> dict[str, Tensor]:
        """All losses of the network's own ``answer`` [N, 3, H, W] to ``x``, by their names."""
        inside, outside = composed(answer, x, hole), composed(x, answer, hole)
        terms = self.compare(answer, x)
        terms |= {f"hole_{loss.name}": loss(inside, x) for loss in self.hole_losses}
        return terms | {f"valid_{loss.name}": loss(outside, x) for loss in self.valid_losses}

    def fill(self, network: Network, given: tuple[Any, ...], x: Tensor, hole: Tensor) -> tuple[Tensor, Terms]:
        """The ``network``'s image of ``given`` in training; and all losses of its coarse one, where it makes one."""
        if not isinstance(network, TwoStageFiller):
            return network(*given), {}
        coarse, answer = network.stages(*given)
        terms = self.compare_filled(coarse.float(), x, hole)
        return answer, {f"coarse_{name}": term for name, term in terms.items()}


class Inpainting(Filling, ReconstructionModule):
    """A network that fills holes, by its distance from x alone.

    Args:
        network: y, hole -> x.
        losses: terms on its image as it is, each of another name.
        hole_losses: terms that look at the hole; L1 with weight 6 unless given.
        valid_losses: terms that look at what is known; L1 unless given.
        **shared: the arguments of ``ReconstructionModule``.
    """

    def __init__(
        self,
        network: Filler,
        losses: Losses = (),
        hole_losses: Losses | None = None,
        valid_losses: Losses | None = None,
        **shared: Any,
    ) -> None:
        super().__init__(network, losses, **shared)
        self.compare_within(hole_losses, valid_losses)

    def terms(self, x: Tensor, y: Tensor, *parts: Tensor) -> dict[str, Tensor]:
        """Named scalar terms of the objective on images ``x`` [N, 3, H, W], ``y`` of them, and the hole."""
        given = self.inputs(x, y, *parts)
        answer, coarse = self.fill(self.network, given, x, parts[0])
        return self.compare_filled(answer.float(), x, parts[0]) | coarse


class InpaintingGAN(Filling, RestoringGAN):
    """G fills holes, D judges the composed image, and sees the hole where it takes a condition of one channel.

    Args:
        generator: G: y, hole -> x.
        discriminator: D(x, hole) -> logits.
        losses: terms on G's image as it is, each of another name.
        hole_losses: terms that look at the hole; L1 with weight 6 unless given.
        valid_losses: terms that look at what is known; L1 unless given.
        **judged: the arguments of ``RestoringGAN``.
    """

    def __init__(
        self,
        generator: Filler,
        discriminator: Discriminator,
        losses: Losses = (),
        hole_losses: Losses | None = None,
        valid_losses: Losses | None = None,
        **judged: Any,
    ) -> None:
        super().__init__(generator, discriminator, losses, **judged)
        self.compare_within(hole_losses, valid_losses)

    def d_loss(self, x: Tensor, y: Tensor, *parts: Tensor) -> Terms:
        """D's loss on the images ``x`` [N, 3, H, W] and the composed ones, both beside the hole."""
        with torch.no_grad():
            answer = self.answer(x, y, *parts)
        (hole,) = parts
        return self.d_terms(x, composed(answer, y, hole), hole.to(x.dtype))

    def made_terms(self, given: tuple[Any, ...], x: Tensor, y: Tensor, *parts: Tensor) -> tuple[Tensor, Terms]:
        """The base's; and the losses between the coarse image and ``x``, if G makes one."""
        fake, coarse = self.fill(self.G, given, x, parts[0])
        terms = self.answer_terms(fake, x, y, *parts)
        return fake, terms | {f"g/{name}": term for name, term in coarse.items()}

    def answer_terms(self, fake: Tensor, x: Tensor, y: Tensor, *parts: Tensor) -> Terms:
        """The losses between G's image ``fake`` and ``x``, and D's weighted verdict on the composed one."""
        (hole,) = parts
        shown = hole.to(x.dtype)
        terms = self.g_terms(x, composed(fake, y, hole), shown, shown)
        terms["g/adv"] = self.adversarial_weight * terms["g/adv"]
        return terms | {f"g/{name}": term for name, term in self.compare_filled(fake.float(), x, hole).items()}


def composed(inside: Tensor, outside: Tensor, hole: Tensor) -> Tensor:
    """``inside`` [N, C, H, W] in the ``hole`` [N, 1, H, W], ``outside`` elsewhere; in the type of ``outside``."""
    return torch.where(hole, inside.to(outside.dtype), outside)

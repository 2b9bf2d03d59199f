"""The generative adversarial network (Goodfellow et al. 2014, algorithm 1), with its loss and penalties from YAML.

The same file is DCGAN, WGAN, WGAN-GP, DRAGAN, LSGAN, SNGAN and their like: what differs stands in the experiment. Where
a relativistic loss asks for reals in G's step they are those of D's last step.
"""

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor

from lightning_modules.adversarial import AdversarialModule, Terms
from lightning_modules.contract import StatesItsClasses, StatesItsData
from lightning_modules.evaluating import evaluating
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
        share_fakes: let G's first update after D's judge D's fakes again: one forward of G less.
        simultaneous: with shared fakes, take both gradients before either player moves, as PacGAN's code does.
        **judged: the arguments of ``JudgedModule``.

    Raises:
        ValueError: ``share_fakes`` where the fakes of the two steps are not the same, or ``simultaneous`` without them
            or where the players do not take turns one by one, or a regulariser asks G again in D's.
    """

    makes_of_noise = True

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator,
        loss: AdversarialLoss | None = None,
        g_batch_factor: int = 1,
        share_fakes: bool = False,
        simultaneous: bool = False,
        **judged: Any,
    ) -> None:
        super().__init__(generator, discriminator, loss=loss, **judged)
        if g_batch_factor < 1 or (g_batch_factor > 1 and self.loss.relativistic):
            raise ValueError(f"g_batch_factor must be 1 or more, and 1 under a relativistic loss, got {g_batch_factor}")
        if share_fakes and not self.makes_of_noise:
            raise ValueError(f"share_fakes: {type(self).__name__} makes no image of noise alone: leave it out")
        if share_fakes and (g_batch_factor > 1 or self.micro_batch is not None):
            raise ValueError("share_fakes: D's fakes are G's whole batch: leave out g_batch_factor and micro_batch")
        if simultaneous and not (share_fakes and self.n_critic == self.n_gen == 1):
            raise ValueError("simultaneous: give share_fakes too, and leave n_critic and n_gen at 1")
        if simultaneous and (asking := [term.name for term in self.regularisers if term.asks_g]):
            raise ValueError(f"simultaneous: in D's turn G has moved, and {asking[0]} asks it again: leave one out")
        self.g_batch_factor, self.share_fakes, self.simultaneous = g_batch_factor, share_fakes, simultaneous
        self._shared: Made | None = None  # the fakes of this step, from the first player's update to the second's

    def check_data(self, data: StatesItsData) -> None:
        """The base's; D's classes too, and whether it can judge such samples, where their condition is a class."""
        super().check_data(data)
        self.check_classes(self.D.num_classes, data)
        if isinstance(data, StatesItsClasses):
            self.check_judge(tuple(data.out_shape))

    def check_judge(self, shape: tuple[int, ...]) -> None:
        """Ask D once, in evaluation mode; raise ValueError where samples of ``shape`` are none for it."""
        packs = prod(net.pack_size for net in self.D.modules() if isinstance(net, Discriminator))
        x, y = torch.zeros(packs, *shape, device=self.device), torch.zeros(packs, dtype=torch.long, device=self.device)
        said = f"model.init_args.discriminator: {type(self.D).__name__} "
        advice = "set its size and channels (or its inner network's) to those of the data, with what is put beside them"
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), evaluating(self):
            reals = self.reals(x)
            try:
                logits = self.ask(reals, y).logits
            except RuntimeError as error:
                raise ValueError(
                    f"{said}cannot judge samples of shape {shape}, which the data module gives: {advice} ({error})"
                ) from error
        if logits.ndim == 0 or len(logits) != 1:
            raise ValueError(
                f"{said}gives logits of shape {tuple(logits.shape)} for {packs} of the data's samples of shape {shape},"
                f" where [1] or patches [1, h, w] belong: {advice}"
            )

    def update_discriminator(self, batch: Sequence[Tensor]) -> None:
        """The base's, on fakes that G's update will judge again where they are shared: G still learns here."""
        if self.share_fakes and not self.simultaneous and (self.global_step + 1) % self.n_critic == 0:
            self._shared = self.make_fakes(batch[1])
        super().update_discriminator(batch)

    def d_loss(self, x: Tensor, y: Tensor) -> Terms:
        """D's loss on the reals ``x`` [N, ...] and as many fakes, and the penalties that are due."""
        with torch.no_grad():
            made = self._shared or self.make_fakes(y)
        if self.simultaneous:
            self._shared = None
        made = made._replace(images=made.images.detach())
        return self.d_terms(x, made.images, y, made)

    def g_loss(self, x: Tensor, y: Tensor) -> Terms:
        """G's loss on ``g_batch_factor`` fakes for each of the reals ``x``."""
        y_fake = torch.cat([y] * self.g_batch_factor)
        made = self._shared or self.make_fakes(y_fake)
        self._shared = made if self.simultaneous else None
        return self.g_terms(x, made.images, y, y_fake, made)

    def reals(self, x: Tensor) -> Tensor:
        """What D judges of the reals ``x`` [N, ...]: them."""
        return x

    def make_fakes(self, y: Tensor) -> Made:
        """G's samples of fresh noise for the labels ``y`` [N]."""
        z = self.draw_z(y)
        return Made(self.G(z, y), z, lambda other: self.G(other, y))

    def draw_z(self, y: Tensor) -> Tensor:
        """Fresh noise [N, z_dim] for fakes of the labels ``y`` [N]."""
        return self.G.sample_z(len(y))

"""VAE-GAN (Larsen et al. 2016, algorithm 1): reconstructions are compared by what D's lower blocks make of them.

Three players on one batch: D tells images from reconstructions and samples; E minimises KL(q(z | x) || N(0, I)) and the
distance of D's features of an image and its reconstruction, half their squared difference (eq. 7); G minimises that
distance and the adversarial loss.
Deviations: the players move one after the other, each on a fresh draw, not all from one pass; half of the fakes that D
sees are reconstructions and half samples, as many as there are images. Where D's inputs are augmented its features are
compared without.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from lightning_modules.adversarial import Terms
from lightning_modules.autoencoding import AutoencodingModule, Pair
from lightning_modules.base import OptimizerCallable
from lightning_modules.gan import GAN
from lightning_modules.losses.bounds import gaussian_kl
from lightning_modules.networks.base import Discriminator, Encoder, Generator, draw_normal
from lightning_modules.schedules import Schedule


class VAEGAN(AutoencodingModule, GAN):
    """A GAN whose generator is the decoder of a variational autoencoder.

    Args:
        encoder: E(x, y) -> mean and log-variance of z.
        generator: G(z, y) -> x, the decoder.
        discriminator: D(x, y) -> logits, whose lower ``blocks`` are the features.
        level: how many of D's blocks, counted from the image, the features come from.
        feature_weight: of the distance in G's objective; 1e-5 in the authors' experiment on faces. In E's it is 1.
        kl_weight: of KL in E's objective.
        e_optimizer: E's optimizer; Adam with DCGAN's learning rate and betas unless given.
        e_schedule: factor of E's learning rate over the run.
        **gan: the arguments of ``GAN``.
    """

    makes_of_noise = False  # alone: of codes too
    e_schedule: Schedule | None = None

    def __init__(
        self,
        encoder: Encoder,
        generator: Generator,
        discriminator: Discriminator,
        level: int = 3,
        feature_weight: float = 1e-5,
        kl_weight: float = 1.0,
        e_optimizer: OptimizerCallable = lambda p: Adam(p, lr=2e-4, betas=(0.5, 0.999)),
        e_schedule: Schedule | None = None,
        **gan: Any,
    ) -> None:
        super().__init__(generator, discriminator, **gan)
        if not 1 <= level <= len(discriminator.blocks):
            raise ValueError(f"level must lie between 1 and D's {len(discriminator.blocks)} blocks, got {level}")
        if feature_weight <= 0 or kl_weight < 0:
            raise ValueError(
                f"feature_weight must be above 0 and kl_weight not negative, got {feature_weight} and {kl_weight}"
            )
        if not discriminator.blocks_take_images:
            raise ValueError(
                "VAE-GAN compares what D's blocks make of single images, and those of"
                f" {type(discriminator).__name__} take more than one: give another"
            )
        if self.g_batch_factor != 1:
            raise ValueError(f"g_batch_factor must be 1, as VAE-GAN has one fake an image, got {self.g_batch_factor}")
        self.level, self.feature_weight, self.kl_weight = level, feature_weight, kl_weight
        self.e_optimizer, self.e_schedule = e_optimizer, e_schedule
        if self.annealing is not None:
            self.check_annealing(self.annealing)  # again, since E's schedule is there now
        self.pair_up(Pair(encoder, generator))

    @property
    def networks(self) -> list[nn.Module]:
        """E, G and D."""
        return [self.E, self.G, self.D]

    @property
    def schedules(self) -> list[Schedule | None]:
        """D's, G's and E's."""
        return [*super().schedules, self.e_schedule]

    def configure_optimizers(self) -> list[Optimizer]:
        """D's, G's and E's."""
        return self.remember_rates([*super().configure_optimizers(), self.e_optimizer(self.E.parameters())])

    def update_generator(self, batch: Sequence[Tensor]) -> None:
        """One update of E, then one of G."""
        self.update(self.players()[2], self.e_loss, batch)
        super().update_generator(batch)

    def d_loss(self, x: Tensor, y: Tensor) -> Terms:
        """D's loss on the images ``x`` [N, ...], the first half's reconstructions and as many samples as are left."""
        half = (len(x) + 1) // 2
        with torch.no_grad():
            fake = self.G(torch.cat([self.draw(x[:half], y[:half]), self.G.sample_z(len(x) - half)]), y)
        return self.d_terms(x, fake, y)

    def e_loss(self, x: Tensor, y: Tensor) -> Terms:
        """KL and the distance of features, in nats an image."""
        mean, log_variance = self.net.encode(x, y)
        kl = gaussian_kl(mean, log_variance).sum(1).mean()
        return {"e/kl": self.kl_weight * kl, "e/features": self.distance(self.G(draw_normal(mean, log_variance), y), x)}

    def g_loss(self, x: Tensor, y: Tensor) -> Terms:
        """The adversarial loss on fakes as D sees them, and the distance of all reconstructions' features."""
        half = (len(x) + 1) // 2
        with torch.no_grad():
            z = torch.cat([self.draw(x, y), self.G.sample_z(len(x) - half)])
        made = self.G(z, torch.cat([y, y[half:]]))
        terms = self.g_terms(x, torch.cat([made[:half], made[len(x) :]]), y, y)
        return terms | {"g/features": self.feature_weight * self.distance(made[: len(x)], x)}

    def draw(self, x: Tensor, y: Tensor) -> Tensor:
        """Codes [N, z_dim] from q(z | x, y)."""
        return draw_normal(*self.net.encode(x, y))

    def distance(self, reconstruction: Tensor, x: Tensor) -> Tensor:
        """-log N(f(x); f(reconstruction), I) without its constant, a mean over images."""
        features = self.D.blocks[: self.level]
        with torch.no_grad():
            wanted = features(x)
        return 0.5 * (features(reconstruction) - wanted).float().square().flatten(1).sum(1).mean()

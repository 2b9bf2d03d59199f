"""Families of which one image y has many answers x: noise z says which of them, and an encoder finds it out.

- ``ImageVAE``: the conditional variational autoencoder (Sohn et al. 2015, section 3) with an image for its condition:
  q(z | x, y), p(x | z, y), and z is N(0, I) for every y.
- ``ImageLatentCycle``: the cyclic GAN with one, BicycleGAN's cLR-GAN (Zhu et al. 2017, "Toward multimodal
  image-to-image translation", section 3.2): G(z, y) against D(x, y), and E(G(z, y), y) is to be z. Deviation: E is
  shown y beside the image.

``VAE`` and ``LatentCycle`` know conditions that are classes: they draw them to sample, and their E is shown x alone.
Here nothing is sampled without a y, and what is scored is the answer of z = 0, where the prior is densest.
"""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from lightning_modules.adversarial import Terms
from lightning_modules.evaluating import evaluating
from lightning_modules.losses.bounds import ELBO, Bound
from lightning_modules.losses.likelihoods import Gaussian, Likelihood
from lightning_modules.losses.reconstruction import L1, ReconstructionLoss
from lightning_modules.many_answers import ManyAnswers
from lightning_modules.networks.base import Discriminator, Encoder, Generator, LatentEncoder, Network
from lightning_modules.one_player import OnePlayerModule
from lightning_modules.restoring_gan import RestoringGAN
from lightning_modules.vae import Autoencoder


class Answers(Network):
    """A decoder and an encoder as one network from y.

    Args:
        decoder: z, y -> x.
        encoder: of z.

    Raises:
        ValueError: their z are of two lengths.
    """

    def __init__(self, decoder: Generator, encoder: Encoder | LatentEncoder) -> None:
        super().__init__()
        if encoder.z_dim != decoder.z_dim:
            raise ValueError(
                f"the encoder's z has {encoder.z_dim} numbers, the generator's {decoder.z_dim}: set both to the same"
            )
        self.decoder, self.encoder, self.multiple = decoder, encoder, decoder.multiple

    def forward(self, y: Tensor) -> Tensor:
        """The image of ``y`` [N, C, H, W] at z = 0."""
        return self.decoder(y.new_zeros(len(y), self.decoder.z_dim), y)

    def draws(self, y: Tensor, n: int) -> Tensor:
        """``n`` images of each of ``y`` [N, C, H, W], z from the global stream: [n, N, C, H, W]."""
        z = self.decoder.sample_z(n * len(y))
        images: Tensor = self.decoder(z, y.repeat(n, 1, 1, 1))
        return images.unflatten(0, (n, len(y)))


class Answering(ManyAnswers):
    """A family whose evaluated network is an ``Answers``."""

    def draws(self, batch: Sequence[Tensor], n: int) -> Tensor:
        """As the base."""
        with evaluating(self.evaluated) as net:
            return cast(Answers, net).draws(batch[1], n)


class ImageVAE(Answering, OnePlayerModule):
    """Encoder and decoder under one bound of log p(x | y).

    Args:
        encoder: E(x, y) -> mean and log-variance of z.
        generator: G(z, y) -> x, the decoder.
        likelihood: p(x | z, y); Gaussian with a learned variance unless given.
        bound: what is maximised; the ELBO unless given.
        samples: codes drawn for each pair.
        **shared: the arguments of ``OnePlayerModule``.

    Raises:
        ValueError: networks that do not belong together, or no samples.
    """

    network: Answers

    def __init__(
        self,
        encoder: Encoder,
        generator: Generator,
        likelihood: Likelihood | None = None,
        bound: Bound | None = None,
        samples: int = 1,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        if samples < 1:
            raise ValueError(f"samples must be 1 or more, got {samples}")
        self.bound, self.samples = bound or ELBO(), samples
        self.likelihood = likelihood or Gaussian(learned=True)
        self._inference = (Autoencoder(encoder, generator, self.likelihood),)  # a tuple hides what is registered below
        self.network = Answers(generator, encoder)
        self.average(self.network)

    @property
    def net(self) -> nn.Module:
        """Decoder and encoder."""
        return self.network

    @property
    def networks(self) -> list[nn.Module]:
        """Those, and the likelihood, which may learn its variance."""
        return [self.network.decoder, self.network.encoder, self.likelihood]

    def on_fit_start(self) -> None:
        """As in the base; a warm-up needs the run's length."""
        if self.bound.warm_up and self.trainer.max_steps < 1:
            raise ValueError("a KL warm-up needs the run's length: give clock.g_steps, clock.kimg or clock.epochs")
        super().on_fit_start()

    def terms(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """The negative bound of ``x`` under ``y``, [N, C, H, W] each, in nats an image."""
        inference = self._inference[0](self.likelihood.observe(x), y, self.samples)
        if self.is_logged:
            reconstruction, kl = -inference.log_px.mean(), inference.kl.sum(1).mean()
            self.note({"nats/reconstruction": reconstruction, "nats/kl": kl})
        return self.bound(inference, self.progress if self.bound.warm_up else 1.0)


class ImageLatentCycle(Answering, RestoringGAN):
    """G(z, y) against D(x, y), with an encoder that finds z again.

    Args:
        generator: G: z, y -> x.
        discriminator: D(x, y) -> logits.
        encoder: E of the image and y side by side, [N, 2 C, H, W] -> z.
        latent_loss: the distance of E(G(z, y), y) from z; half of L1 unless given.
        losses: terms between G(z, y) and x, each of another name; each pulls all answers towards one.
        adversarial_weight: of D's verdict in G's objective.
        **judged: the arguments of ``JudgedModule``.

    Raises:
        ValueError: networks that do not belong together.
    """

    G: Answers

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator,
        encoder: LatentEncoder,
        latent_loss: ReconstructionLoss | None = None,
        losses: Sequence[ReconstructionLoss] = (),
        adversarial_weight: float = 1.0,
        **judged: Any,
    ) -> None:
        super().__init__(Answers(generator, encoder), discriminator, losses, adversarial_weight, **judged)
        self.latent_loss = latent_loss or L1(0.5)

    @property
    def networks(self) -> list[nn.Module]:
        """G, E and D."""
        return [self.G.decoder, self.G.encoder, self.D]

    def answer(self, *batch: Tensor) -> Tensor:
        """An image of drawn noise, in training."""
        return self.G.decoder(self.G.decoder.sample_z(len(batch[0])), batch[1])

    def g_loss(self, x: Tensor, y: Tensor, *parts: Tensor) -> Terms:
        """As in the base, of drawn noise; and what E makes of the image against that noise."""
        z = self.G.decoder.sample_z(len(x))
        fake = self.G.decoder(z, y)
        code = self.G.encoder(torch.cat([fake, y.to(fake.dtype)], dim=1)).float()
        self.watch("g/latent_error", (code.detach() - z).abs())
        latent = {f"g/latent_{self.latent_loss.name}": self.latent_loss(code, z)}
        return self.answer_terms(fake, x, y, *parts) | latent

"""The cyclic GAN: a decoder from noise, and an encoder E that maps its image back to that noise.

G's objective is the adversarial loss plus a distance between E(G(z)) and z, which E learns from, too. Two settings make
the published relatives of it, both with a joint discriminator of the pairs (x, E(x)) and (G(z), z):

* VEEGAN (Srivastava et al. 2017, algorithm 1): E learns to reconstruct z, and nothing else;
* ALI and BiGAN (Dumoulin et al. 2017, eq. 1; Donahue et al. 2017, eq. 2): E plays beside G against D, that is both
  minimise D's objective with the two kinds of pairs exchanged; without the distance.

With a ``Feedback`` the decoder makes a second image of the same noise, under what is said of the first one: E's code of
it, or D's spatial scores (Huh et al. 2019). Each of the two is judged, and reconstructed, like any other fake.
E is a part of G: it learns in G's updates and is averaged with it.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from lightning_modules.adversarial import Terms
from lightning_modules.evaluating import evaluating
from lightning_modules.feedback import Feedback
from lightning_modules.gan import GAN
from lightning_modules.losses.reconstruction import ReconstructionLoss
from lightning_modules.networks.base import (
    Discriminator,
    FeedbackGenerator,
    Generator,
    JointDiscriminator,
    LatentEncoder,
)


class Cycle(Generator):
    """A decoder and the encoder that inverts it, as the one network G.

    Args:
        decoder: z, y -> x.
        encoder: x -> z.
    """

    def __init__(self, decoder: Generator, encoder: LatentEncoder) -> None:
        super().__init__()
        if encoder.z_dim != decoder.z_dim:
            raise ValueError(
                f"the encoder's codes have {encoder.z_dim} numbers, the generator's noise {decoder.z_dim}: give both "
                "the same z_dim"
            )
        self.decoder, self.encoder = decoder, encoder
        self.z_dim, self.out_shape, self.num_classes = decoder.z_dim, decoder.out_shape, decoder.num_classes
        self.latent = decoder.latent

    def sample_z(self, n: int) -> Tensor:
        """The decoder's noise [n, z_dim]."""
        return self.decoder.sample_z(n)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """The decoder's images of ``z`` [N, z_dim]."""
        return self.decoder(z, y)


class Passes(Generator):
    """``cycle`` looking at its image again, if there is a ``feedback``: z, y -> the last image.

    Args:
        cycle: decoder and encoder.
        discriminator: of the images.
        feedback: what is said of the first image; None leaves it at that.
    """

    def __init__(self, cycle: Cycle, discriminator: Discriminator, feedback: Feedback | None) -> None:
        super().__init__()
        self.cycle, self.discriminator, self.feedback = cycle, discriminator, feedback
        self.z_dim, self.out_shape, self.num_classes = cycle.z_dim, cycle.out_shape, cycle.num_classes
        self.latent = cycle.latent

    def images(self, z: Tensor, y: Tensor | None = None) -> list[Tensor]:
        """The image [N, *out_shape] of each pass."""
        first = self.cycle(z, y)
        if self.feedback is None:
            return [first]
        signal = self.feedback(first, z, self.cycle.encoder, self.discriminator, y)
        return [first, cast(FeedbackGenerator, self.cycle.decoder).again(z, signal, y)]

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """The last image [N, *out_shape] of ``z`` [N, z_dim]."""
        return self.images(z, y)[-1]


class LatentCycle(GAN):
    """A GAN whose G comes with an encoder that inverts it.

    Args:
        generator: the decoder, z, y -> x; one that takes a feedback where there is one.
        discriminator: D(x, y) -> logits, or a joint one of pairs.
        encoder: E: x -> z.
        latent_loss: the distance of E(G(z)) from z, in G's objective.
        encoder_plays: whether E, too, plays against a joint discriminator.
        feedback: what the decoder is told of its first image for a second one.
        evaluated_pass: the image that is evaluated and sampled: 1, or 2 where there is a feedback, the last by default.
        **gan: the arguments of ``GAN``.
    """

    G: Cycle
    makes_of_noise = False  # alone: of two passes, or judged in pairs

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator,
        encoder: LatentEncoder,
        latent_loss: ReconstructionLoss | None = None,
        encoder_plays: bool = False,
        feedback: Feedback | None = None,
        evaluated_pass: int | None = None,
        **gan: Any,
    ) -> None:
        super().__init__(Cycle(generator, encoder), discriminator, **gan)
        joint = isinstance(discriminator, JointDiscriminator)
        if encoder_plays and not joint:
            raise ValueError("encoder_plays: the encoder plays against a joint discriminator only, give one")
        if latent_loss is None and not encoder_plays:
            raise ValueError("the encoder learns nothing: give latent_loss, or a joint discriminator and encoder_plays")
        if encoder_plays and (self.regularisers or self.top_k is not None or self.classification is not None):
            raise ValueError(
                "encoder_plays: G and E have the exchanged objective alone; omit regularisers, top_k and classification"
            )
        if joint and feedback is not None:
            raise ValueError("feedback: is of images, and a joint discriminator judges pairs; choose one of the two")
        self.latent_loss, self.encoder_plays, self.feedback = latent_loss, encoder_plays, feedback
        if feedback is not None:
            check_signal(generator, feedback)
        count = 1 if feedback is None else 2
        self.evaluated_pass = count if evaluated_pass is None else evaluated_pass
        if not 1 <= self.evaluated_pass <= count:
            raise ValueError(
                f"evaluated_pass must lie between 1 and {count}, the number of images, got {evaluated_pass}"
            )

    @property
    def networks(self) -> list[nn.Module]:
        """Decoder, E and D."""
        return [self.G.decoder, self.G.encoder, self.D]

    @property
    def judgements(self) -> int:
        """Once for each pass."""
        return 1 if self.feedback is None else 2

    # --- training -------------------------------------------------------------------------------------------

    def d_loss(self, x: Tensor, y: Tensor) -> Terms:
        """D's loss on the reals ``x`` [N, ...], or their pairs, and as many fakes of each pass."""
        with torch.no_grad():
            z = self.G.sample_z(len(x))
            images = self.images(z, y)
            real, fake = self.reals(x), self.fakes(images, z)
        times = len(images)
        return self.d_terms(torch.cat([real] * times), fake, torch.cat([y] * times))

    def g_loss(self, x: Tensor, y: Tensor) -> Terms:
        """G's and E's loss on ``g_batch_factor`` fakes of each pass for each of the reals ``x``."""
        y_fake = torch.cat([y] * self.g_batch_factor)
        z = self.G.sample_z(len(y_fake))
        images = self.images(z, y_fake)
        x, y, y_fake = (torch.cat([part] * len(images)) for part in (x, y, y_fake))
        terms = self.adversarial(x, self.fakes(images, z), y, y_fake)
        with torch.set_grad_enabled(self.latent_loss is not None):
            code, z = self.G.encoder(torch.cat(images)).float(), torch.cat([z] * len(images))
        self.watch("g/latent_error", (code.detach() - z).abs())
        if self.latent_loss is not None:
            terms[f"g/latent_{self.latent_loss.name}"] = self.latent_loss(code, z)
        return terms

    def adversarial(self, x: Tensor, fake: Tensor, y: Tensor, y_fake: Tensor) -> Terms:
        """What D's verdict adds to G's objective, and to E's where it plays."""
        if not self.encoder_plays:
            with torch.no_grad():
                real = self.reals(x)
            return self.g_terms(real, fake, y, y_fake)
        real_logits, fake_logits = self.ask(self.reals(x), y).logits, self.ask(fake, y_fake).logits
        terms = {"g/adv": self.loss.exchanged(real_logits, fake_logits)}
        return terms | {f"g/{term.name}": term(self.G) for term in self.g_weight_terms}

    def images(self, z: Tensor, y: Tensor | None) -> list[Tensor]:
        """The image [N, *out_shape] of each pass, of the networks in training."""
        return Passes(self.G, self.D, self.feedback).images(z, y)

    def reals(self, x: Tensor) -> Tensor:
        """What D judges of the reals ``x`` [N, ...]: them, or (x, E(x))."""
        return self.D.pair(x, self.G.encoder.draw(x)) if isinstance(self.D, JointDiscriminator) else x

    def fakes(self, images: list[Tensor], z: Tensor) -> Tensor:
        """What D judges of the ``images`` of ``z`` [N, z_dim], pass after pass: them, or (G(z), z)."""
        return self.D.pair(images[0], z) if isinstance(self.D, JointDiscriminator) else torch.cat(images)

    # --- evaluation -----------------------------------------------------------------------------------------

    @property
    def variants(self) -> Mapping[str, Callable[[int], tuple[Tensor, Tensor | None]]]:
        """``first``: the first image where the second is evaluated."""
        return {} if self.evaluated_pass == 1 else {"first": self.sample_first}

    def sample_first(self, n: int) -> tuple[Tensor, Tensor | None]:
        """``sample_labelled``'s first images of the same noise."""
        with self.evaluating_pass(1):
            return self.sample_labelled(n)

    @contextmanager
    def evaluating_pass(self, number: int) -> Iterator[None]:
        """Inside, the image of pass ``number`` is what is sampled."""
        usual, self.evaluated_pass = self.evaluated_pass, number
        try:
            yield
        finally:
            self.evaluated_pass = usual

    def panels(self, n: int = 64) -> dict[str, Tensor]:
        """``samples``, and where there are two images of a noise the ``first`` ones too."""
        panels = super().panels(n)
        if self.evaluated_pass > 1:
            with self.evaluating_pass(1):
                panels["first"] = super().panels(n)["samples"]
        return panels

    def codes(self, n: int) -> tuple[Tensor, Tensor]:
        """Noise z and the code E(G(z)) of its first image, [n, z_dim] each, of the evaluated networks."""
        z, y = self.G.sample_z(n), self.sample_labels(n)
        with evaluating(self.evaluated) as cycle:
            return z, cast(Cycle, cycle).encoder(cycle(z, y))

    def find_codes(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """E(x) [N, z_dim] of ``x`` [N, C, H, W] by the evaluated networks; E knows no labels ``y``."""
        with evaluating(self.evaluated) as cycle:
            codes: Tensor = cast(Cycle, cycle).encoder(x)
        return codes

    @property
    def evaluated_generator(self) -> Generator:
        """z, y -> the image of the evaluated pass, of the averaged networks where there are; D has no average."""
        cycle = cast(Cycle, self.evaluated)
        return cycle if self.evaluated_pass == 1 else Passes(cycle, self.D, self.feedback)


def check_signal(generator: Generator, feedback: Feedback) -> None:
    """Raise ValueError where ``generator`` does not take what ``feedback`` says."""
    if not isinstance(generator, FeedbackGenerator):
        raise ValueError(f"feedback: {type(generator).__name__} makes no second image, choose a generator that does")
    if generator.signal != feedback.channels(generator):
        raise ValueError(
            f"feedback: {type(feedback).__name__} has {feedback.channels(generator)} channels, the generator reads "
            f"{generator.signal}: set its signal to that number"
        )

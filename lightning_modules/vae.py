"""The variational autoencoder (Kingma and Welling 2014, algorithm 1), with its likelihood and its bound from YAML.

The same file is beta-VAE (Higgins et al. 2017: ``ELBO`` with another beta), the conditional VAE (Sohn et al. 2015:
networks that know classes) and the importance-weighted autoencoder (Burda et al. 2016: ``ImportanceWeighted`` of k
samples). Deviation from Sohn et al.: z is N(0, I) for every class.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn

from datamodules.functional.quantise import from_uint8
from lightning_modules.autoencoding import AutoencodingModule, Pair
from lightning_modules.contract import GivesReference
from lightning_modules.evaluating import evaluating
from lightning_modules.losses.bounds import ELBO, Bound, Inference
from lightning_modules.losses.likelihoods import Bernoulli, Likelihood
from lightning_modules.networks.base import Decoder, Encoder, Generator, draw_normal
from lightning_modules.one_player import OnePlayerModule

CHUNK = 10_000  # images read at once for their mean
LEAST, MOST = 0.001, 0.999  # what a mean pixel counts as at the ends, whose logits are infinite


class Autoencoder(Pair):
    """Encoder, decoder and likelihood.

    Args:
        encoder: E(x, y) -> mean and log-variance.
        generator: G(z, y) -> x, the decoder.
        likelihood: p(x | z).
    """

    def __init__(self, encoder: Encoder, generator: Generator, likelihood: Likelihood) -> None:
        super().__init__(encoder, generator)
        likelihood.check(generator)
        self.likelihood = likelihood

    def forward(self, x: Tensor, y: Tensor | None, samples: int) -> Inference:
        """Encode ``x`` [N, ...], draw so many codes of each, and weigh x under each."""
        mean, log_variance = self.encode(x, y)
        noise = torch.randn(samples, *mean.shape, device=mean.device)
        z = draw_normal(mean, log_variance, noise)
        many = y if y is None or samples == 1 else y.repeat(samples, *[1] * (y.ndim - 1))
        parameters = self.likelihood.decode(self.G, z.flatten(0, 1), many).float().unflatten(0, (samples, -1))
        return Inference(self.likelihood.log_prob(parameters, x.float()), z, noise, mean, log_variance)


class VAE(AutoencodingModule, OnePlayerModule):
    """Encoder and decoder under one bound of log p(x).

    Args:
        encoder: E(x, y) -> mean and log-variance of z.
        generator: G(z, y) -> x, the decoder; one that states logits where the likelihood asks for them.
        likelihood: p(x | z); Bernoulli unless given.
        bound: what is maximised; the ELBO unless given.
        samples: codes drawn for each image.
        centre: start the decoder's output bias at the logits of the training images' mean (as Burda et al.'s code).
        **shared: the arguments of ``OnePlayerModule``.
    """

    def __init__(
        self,
        encoder: Encoder,
        generator: Generator,
        likelihood: Likelihood | None = None,
        bound: Bound | None = None,
        samples: int = 1,
        centre: bool = False,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        if samples < 1:
            raise ValueError(f"samples must be 1 or more, got {samples}")
        if centre and not (isinstance(generator, Decoder) and generator.output_bias is not None):
            raise ValueError(f"{type(generator).__name__} has no output bias to centre: leave out centre")
        self.likelihood = likelihood or Bernoulli()
        self.bound, self.samples, self.centre = bound or ELBO(), samples, centre
        self.pair_up(Autoencoder(encoder, generator, self.likelihood))

    @property
    def networks(self) -> list[nn.Module]:
        """Encoder, decoder and likelihood as one, so that a compiled step is compiled whole."""
        return [self.net]

    def observe(self, x: Tensor) -> Tensor:
        """What the likelihood makes of ``x``: binary pixels, say."""
        return self.likelihood.observe(x)

    def infer(self, x: Tensor, y: Tensor | None, samples: int) -> Inference:
        """Codes of ``x`` [N, ...], observed already, and their weights, by the evaluated pair without gradients."""
        with evaluating(self.evaluated_pair) as pair:
            inference: Inference = pair(x, y, samples)
        return inference

    # --- training -------------------------------------------------------------------------------------------

    def on_fit_start(self) -> None:
        """Centre the output where that is asked for, then as in the base."""
        if self.bound.warm_up and self.trainer.max_steps < 1:
            raise ValueError("a KL warm-up needs the run's length: give clock.g_steps, clock.kimg or clock.epochs")
        if self.centre and not self._resumed:
            self.centre_output()
        super().on_fit_start()

    @torch.no_grad()
    def centre_output(self) -> None:
        """Set the decoder's output bias to the logits of the mean training image."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if not isinstance(data, GivesReference):
            raise ValueError(f"{type(data).__name__} gives no images whose mean could be taken: leave out centre")
        images = data.reference("train")
        parts = (images[i : i + CHUNK] for i in range(0, len(images), CHUNK))
        total = torch.stack([from_uint8(part, (0.0, 1.0)).double().sum(0) for part in parts]).sum(0)
        bias = cast(nn.Parameter, cast(Decoder, self.G).output_bias)
        bias.copy_((total / len(images)).clamp(LEAST, MOST).logit().view_as(bias))
        if self.ema is not None:
            self.ema.copy_from(self.net)

    def terms(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """The negative bound of ``x`` [N, ...] under labels ``y`` [N]; watches the ELBO's parts, in nats an image."""
        inference = self.net(self.observe(x), y, self.samples)
        if self.is_logged:
            reconstruction, kl = -inference.log_px.mean(), inference.kl.sum(1).mean()
            self.note({"nats/reconstruction": reconstruction, "nats/kl": kl, "nats/elbo": -reconstruction - kl})
        return self.bound(inference, self.progress if self.bound.warm_up else 1.0)

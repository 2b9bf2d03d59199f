"""What an autoencoder says of the pixels: log p(x | z) in nats, with the decoder's answer as its parameters.

- Bernoulli (Kingma and Welling 2014, appendix C.1): each pixel is 1 with a probability that the decoder gives as a
  logit. Its negative is the binary cross-entropy. Pixels between 0 and 1 are drawn anew whenever an image is looked at
  (Burda et al. 2016, section 5), or taken for probabilities as they are, where no true likelihood is left.
- Gaussian (appendix C.2) about the decoder's image, with one variance for all pixels, fixed or learned (Rybkin et al.
  2021, section 3.1). Its negative is the squared error over twice the variance, and a constant.

Images are in [-1, 1] as in all of the generation families; Bernoulli reads them as pixels in [0, 1].
"""

from abc import ABC, abstractmethod
from math import log, pi
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, softplus


@runtime_checkable
class GivesLogits(Protocol):
    """What Bernoulli asks of a decoder."""

    def logits(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Of each value of x being at the upper end of its range: [N, *out_shape]."""
        ...


class Likelihood(nn.Module, ABC):
    """p(x | z), independent in each pixel. A module, since it may have a parameter of its own."""

    name: str

    def check(self, decoder: nn.Module) -> None:
        """Raise ValueError where ``decoder`` cannot answer."""

    def observe(self, x: Tensor) -> Tensor:
        """What is modelled of ``x`` [N, ...]: x itself unless said otherwise. May draw from the random stream."""
        return x

    @abstractmethod
    def decode(self, decoder: Any, z: Tensor, y: Tensor | None) -> Tensor:
        """The parameters of p(x | z), [N, ...], from ``decoder`` at ``z`` [N, d]."""

    @abstractmethod
    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        """Nats of ``x`` [N, ...] under ``parameters`` [k, N, ...], summed over pixels: [k, N]."""

    @property
    @abstractmethod
    def described(self) -> dict[str, Any]:
        """Plain values, for the protocol of a score."""


class Bernoulli(Likelihood):
    """Pixels are 0 or 1.

    Args:
        binarise: draw each pixel with its value as the probability; else that value is the target itself.
    """

    name = "bernoulli"

    def __init__(self, binarise: bool = False) -> None:
        super().__init__()
        self.binarise = binarise

    def check(self, decoder: nn.Module) -> None:
        """It must state logits."""
        if not isinstance(decoder, GivesLogits):
            raise ValueError(
                f"Bernoulli reads logits, which {type(decoder).__name__} does not state: take a decoder that does, such"
                " as lightning_modules.networks.vae.DCGANDecoder, or another likelihood"
            )

    def observe(self, x: Tensor) -> Tensor:
        """``x`` in [-1, 1], where asked to each value drawn anew as -1 or 1."""
        if not self.binarise:
            return x
        return (torch.empty_like(x).uniform_(-1, 1) < x).to(x.dtype).mul_(2).sub_(1)

    def decode(self, decoder: GivesLogits, z: Tensor, y: Tensor | None) -> Tensor:
        """Logits."""
        return decoder.logits(z, y)

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        """sum t l - log(1 + e^l), with t = (x + 1) / 2; of binary pixels sum log sigmoid(x l), which is faster."""
        if self.binarise:
            return logsigmoid(parameters * x).flatten(2).sum(2)
        return ((x + 1) / 2 * parameters - softplus(parameters)).flatten(2).sum(2)

    @property
    def described(self) -> dict[str, Any]:
        """Name, and whether pixels are drawn."""
        return {"likelihood": self.name, "binarised": self.binarise}


class Gaussian(Likelihood):
    """A normal density about the decoder's image.

    Args:
        variance: of each value; where x is in [-1, 1], the squared error of a pixel in [0, 1] is a fourth.
        learned: let training change it.
    """

    name = "gaussian"

    def __init__(self, variance: float = 1.0, learned: bool = False) -> None:
        super().__init__()
        if variance <= 0:
            raise ValueError(f"Gaussian: variance must be above 0, got {variance}")
        self.log_variance = nn.Parameter(torch.tensor(log(variance)), requires_grad=learned)
        self.learned = learned

    def decode(self, decoder: nn.Module, z: Tensor, y: Tensor | None) -> Tensor:
        """The mean."""
        mean: Tensor = decoder(z, y)
        return mean

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        """sum -(x - mean)^2 / (2 v) - log(2 pi v) / 2."""
        error = (parameters - x).square().flatten(2).sum(2)
        constant = 0.5 * x[0].numel() * (log(2 * pi) + self.log_variance)
        return -0.5 * error * torch.exp(-self.log_variance) - constant

    @property
    def described(self) -> dict[str, Any]:
        """Name, and the variance where it stays what it is."""
        return {"likelihood": self.name, "variance": "learned" if self.learned else float(self.log_variance.exp())}

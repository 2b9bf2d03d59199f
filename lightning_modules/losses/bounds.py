"""Lower bounds of log p(x) that an autoencoder is trained on, in nats a sample.

With z_i from q(z | x), i = 1..k, p(z) = N(0, I) and q a normal distribution with independent dimensions:

- ELBO (Kingma and Welling 2014): E log p(x | z) - KL(q(z | x) || p(z)). With weight beta on KL it is beta-VAE (Higgins
  et al. 2017, eq. 4); with a weight that grows over the run, KL warm-up (Bowman et al. 2016, section 3.1; Sonderby et
  al. 2016, section 2.3); with a floor under each dimension's KL, free bits (Kingma et al. 2016, section C.8).
- Importance-weighted bound (Burda et al. 2016, eq. 8): log of the mean of the k weights p(x, z_i) / q(z_i | x).
"""

from abc import ABC, abstractmethod
from math import log
from typing import NamedTuple

import torch
from torch import Tensor


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) || N(0, 1)) of each element, in nats (Kingma and Welling 2014, appendix B)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)


class Inference(NamedTuple):
    """What is known of a batch after k draws of its codes."""

    log_px: Tensor  # [k, N], log p(x | z)
    z: Tensor  # [k, N, d] = mean + noise * deviation
    noise: Tensor  # [k, N, d], from N(0, I)
    mean: Tensor  # [N, d], of q(z | x)
    log_variance: Tensor  # [N, d]

    @property
    def kl(self) -> Tensor:
        """KL(q(z | x) || N(0, I)) of each dimension: [N, d]."""
        return gaussian_kl(self.mean, self.log_variance)

    @property
    def log_ratio(self) -> Tensor:
        """log q(z | x) - log p(z) of each dimension, whose mean over draws is ``kl``: [k, N, d]."""
        return 0.5 * (self.z.square() - self.noise.square() - self.log_variance)

    @property
    def log_weights(self) -> Tensor:
        """log p(x, z) - log q(z | x): [k, N]."""
        return self.log_px - self.log_ratio.sum(2)


class Bound(ABC):
    """A lower bound; what is minimised are the terms of its negative.

    Attributes:
        warm_up: share of the run over which the bound changes.
    """

    warm_up: float = 0.0

    @abstractmethod
    def __call__(self, inference: Inference, progress: float) -> dict[str, Tensor]:
        """Named scalar terms, whose sum is the negative bound, when the share ``progress`` of the run is done."""


class ELBO(Bound):
    """Reconstruction and beta times KL, means over draws and batch.

    Args:
        beta: weight of KL; 1 is the bound itself.
        warm_up: share of the run over which the weight grows from 0 to beta.
        free_nats: floor under the batch's mean KL of each dimension of z: below it, a dimension is not pressed.
        analytic: take KL in closed form (Kingma and Welling's eq. 7), not from the draws (eq. 6, as Burda et al. do).
    """

    def __init__(self, beta: float = 1.0, warm_up: float = 0.0, free_nats: float = 0.0, analytic: bool = True) -> None:
        if beta < 0 or free_nats < 0:
            raise ValueError(f"ELBO: beta and free_nats must not be negative, got {beta} and {free_nats}")
        if not 0 <= warm_up <= 1:
            raise ValueError(f"ELBO: warm_up is a share of the run in [0, 1], got {warm_up}")
        self.beta, self.warm_up, self.free_nats, self.analytic = beta, warm_up, free_nats, analytic

    def weight(self, progress: float) -> float:
        """Of KL, when the share ``progress`` of the run is done."""
        return self.beta if progress >= self.warm_up else self.beta * progress / self.warm_up

    def __call__(self, inference: Inference, progress: float) -> dict[str, Tensor]:
        """``reconstruction`` and ``kl``."""
        kl = inference.kl.mean(0) if self.analytic else inference.log_ratio.mean((0, 1))
        if self.free_nats:
            kl = kl.clamp(min=self.free_nats)
        return {"reconstruction": -inference.log_px.mean(), "kl": self.weight(progress) * kl.sum()}


class ImportanceWeighted(Bound):
    """The bound that the k draws of each x together give; at k = 1 the ELBO, KL from the draw."""

    def __call__(self, inference: Inference, progress: float) -> dict[str, Tensor]:
        """``iwae``."""
        log_weights = inference.log_weights
        return {"iwae": log(len(log_weights)) - torch.logsumexp(log_weights, 0).mean()}

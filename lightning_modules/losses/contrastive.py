"""Terms on embeddings of images and of their classes, beside the adversarial loss.

An image's row is its embedding e and that of its class v, half each, both of length 1; what they are like is a cosine.
Each image is compared with the others of the batch, those of all ranks; with micro-batches, with those of its own.
"""

from abc import abstractmethod

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.nn.functional import all_gather
from torch.nn.functional import relu

from lightning_modules.losses.classification import ClassificationTerm


class EmbeddingTerm(ClassificationTerm):
    """One and the same term for both players: of reals for D, of fakes for G.

    Args:
        weight: of both players' terms.
        temperature: T, which cosines are divided by.
    """

    embeds = True

    def __init__(self, weight: float, temperature: float) -> None:
        if weight <= 0 or temperature <= 0:
            raise ValueError(
                f"{type(self).__name__}: weight and temperature must be above 0, got {weight} and {temperature}"
            )
        self.weight, self.temperature = weight, temperature

    def outputs(self, num_classes: int) -> None:
        """Any number: embeddings are of any length."""

    def d(self, real: Tensor, fake: Tensor, y: Tensor) -> Tensor:
        """weight * the term of the reals [N, 2 d] of the labels ``y`` [N]."""
        return self.weight * self.contrast(*self.of_all_ranks(real, y))

    def g(self, fake: Tensor, y: Tensor) -> Tensor:
        """weight * the term of the fakes [N, 2 d] of the labels ``y`` [N]."""
        return self.weight * self.contrast(*self.of_all_ranks(fake, y))

    def of_all_ranks(self, answer: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """e, v and the labels of every rank's images, all of which learn.

        Each rank has the same term then, and ranks average gradients, as the gathering's backward adds them up.
        """
        if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
            answer, y = torch.cat(all_gather(answer)), torch.cat(all_gather(y))
        e, v = answer.chunk(2, dim=1)
        return e, v, y

    @abstractmethod
    def contrast(self, e: Tensor, v: Tensor, y: Tensor) -> Tensor:
        """The term of ``e`` and ``v`` [N, d], a scalar."""


class ConditionalContrastive(EmbeddingTerm):
    """2C (ContraGAN, Kang and Park 2020, eq. 8): an image is like its class and its kind, against all other images.

    -log ((exp(e.v / T) + sum over others of its class exp(e.e' / T)) / (exp(e.v / T) + sum over others)).
    """

    name = "2c"

    def __init__(self, weight: float = 1.0, temperature: float = 1.0) -> None:
        super().__init__(weight, temperature)

    def contrast(self, e: Tensor, v: Tensor, y: Tensor) -> Tensor:
        """As in the class."""
        to_class = (e * v).sum(dim=1, keepdim=True) / self.temperature
        to_others = (e @ e.T / self.temperature).masked_fill(oneself(y), -torch.inf)
        to_kind = to_others.masked_fill(y[:, None] != y, -torch.inf)
        everything = torch.cat([to_class, to_others], dim=1).logsumexp(dim=1)
        return (everything - torch.cat([to_class, to_kind], dim=1).logsumexp(dim=1)).mean()


class DataToDataCrossEntropy(EmbeddingTerm):
    """D2D-CE (ReACGAN, Kang et al. 2021, eq. 7): an image is like its class, and unlike images of other classes.

    With p = min(0, e.v - m_p) / T and n = max(0, e.e' - m_n) / T it is -log (exp(p) / (exp(p) + sum of exp(n))): pairs
    that are good enough add nothing more. Deviation from its authors' code, and StudioGAN's: there the largest n of a
    row is taken off all n but not off p, which changes the value; here nothing overflows without.

    Args:
        weight: 0.5 on CIFAR-10.
        temperature: T; 0.5 on CIFAR-10.
        margin: m_p, the cosine to its class that is enough; m_n is 1 - m_p. 0.98 on CIFAR-10.
    """

    name = "d2d_ce"

    def __init__(self, weight: float = 0.5, temperature: float = 0.5, margin: float = 0.98) -> None:
        super().__init__(weight, temperature)
        if not 0 < margin <= 1:
            raise ValueError(f"DataToDataCrossEntropy: margin is a cosine above 0 and at most 1, got {margin}")
        self.margin = margin

    def contrast(self, e: Tensor, v: Tensor, y: Tensor) -> Tensor:
        """As in the class."""
        easy = -relu(self.margin - (e * v).sum(dim=1, keepdim=True)) / self.temperature
        hard = relu(e @ e.T - (1 - self.margin)) / self.temperature
        hard = hard.masked_fill(y[:, None] == y, -torch.inf)
        return (torch.cat([easy, hard], dim=1).logsumexp(dim=1) - easy[:, 0]).mean()


def oneself(y: Tensor) -> Tensor:
    """Where an image meets itself: bool [N, N] for labels ``y`` [N]."""
    return torch.eye(len(y), dtype=torch.bool, device=y.device)

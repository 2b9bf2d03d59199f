"""Terms on the answer of D's second head, beside the adversarial loss: what it says of the classes.

A term reads what the second head of its discriminator gives, [N, ...] in fp32; the two are chosen together.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import cross_entropy


class ClassificationTerm(ABC):
    """One named term of both players' objectives."""

    name: ClassVar[str]

    @abstractmethod
    def d(self, real: Tensor, fake: Tensor, y: Tensor) -> Tensor:
        """D's term, a scalar: the second head on reals and fakes [N, ...] of the labels ``y`` [N]."""

    @abstractmethod
    def g(self, fake: Tensor, y: Tensor) -> Tensor:
        """G's term, a scalar: the second head on fakes [N, ...] of the labels ``y`` [N]."""


class AuxiliaryClassifier(ClassificationTerm):
    """Cross-entropy of the classes for both players (Odena et al. 2017, eq. 3: L_C, which both maximise).

    Args:
        d_weight: of D's term; 1 in the paper, and in WGAN-GP's code.
        g_weight: of G's; 1 in the paper, 0.1 in WGAN-GP's code.
        on_fakes: let D learn classes from fakes too, as the paper does; StudioGAN's D learns them from reals alone.
    """

    name = "class"

    def __init__(self, d_weight: float = 1.0, g_weight: float = 1.0, on_fakes: bool = True) -> None:
        if d_weight <= 0 or g_weight < 0:
            raise ValueError(
                f"AuxiliaryClassifier: d_weight must be above 0 and g_weight 0 or more, got {d_weight} and {g_weight}"
            )
        self.d_weight, self.g_weight, self.on_fakes = d_weight, g_weight, on_fakes

    def d(self, real: Tensor, fake: Tensor, y: Tensor) -> Tensor:
        """d_weight * (-log P(y | x) - log P(y | G(z, y))) of class logits [N, K]."""
        wrong = cross_entropy(real, y)
        return self.d_weight * (wrong + cross_entropy(fake, y) if self.on_fakes else wrong)

    def g(self, fake: Tensor, y: Tensor) -> Tensor:
        """g_weight * -log P(y | G(z, y)) of class logits [N, K]."""
        return self.g_weight * cross_entropy(fake, y)

"""Adversarial losses as pure functions of D's logits, [N] or patches [N, h, w]; each returns a scalar.

``d(real, fake)`` is what D minimises, ``g(real, fake)`` what G minimises. A loss is ``relativistic`` when G's half
needs D(x) too; families then run D on the real batch in G's step as well.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import relu, softplus


class AdversarialLoss(ABC):
    """A pair of objectives on D's logits."""

    relativistic: ClassVar[bool] = False

    @abstractmethod
    def d(self, real: Tensor, fake: Tensor) -> Tensor:
        """D's objective, a scalar."""

    @abstractmethod
    def g(self, real: Tensor | None, fake: Tensor) -> Tensor:
        """G's objective, a scalar; ``real`` is None unless the loss is relativistic."""


class NonSaturating(AdversarialLoss):
    """Cross-entropy for D, -log D(G(z)) for G (Goodfellow et al. 2014, section 3)."""

    def d(self, real: Tensor, fake: Tensor) -> Tensor:
        """-log sigma(D(x)) - log(1 - sigma(D(G(z))))."""
        return softplus(-real).mean() + softplus(fake).mean()

    def g(self, real: Tensor | None, fake: Tensor) -> Tensor:
        """-log sigma(D(G(z)))."""
        return softplus(-fake).mean()


class Hinge(AdversarialLoss):
    """Hinge for D, the plain score for G (Lim and Ye 2017, eq. 17 and 18; Miyato et al. 2018, eq. 16 and 17)."""

    def d(self, real: Tensor, fake: Tensor) -> Tensor:
        """max(0, 1 - D(x)) + max(0, 1 + D(G(z)))."""
        return relu(1 - real).mean() + relu(1 + fake).mean()

    def g(self, real: Tensor | None, fake: Tensor) -> Tensor:
        """-D(G(z))."""
        return -fake.mean()


class Wasserstein(AdversarialLoss):
    """The critic's score difference (Arjovsky et al. 2017, eq. 3); needs a Lipschitz constraint beside it."""

    def d(self, real: Tensor, fake: Tensor) -> Tensor:
        """D(G(z)) - D(x)."""
        return fake.mean() - real.mean()

    def g(self, real: Tensor | None, fake: Tensor) -> Tensor:
        """-D(G(z))."""
        return -fake.mean()

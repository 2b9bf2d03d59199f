"""Adversarial losses as pure functions of D's logits, [N] or patches [N, h, w]; each returns a scalar.

``d(real, fake)`` is what D minimises, ``g(real, fake)`` what G minimises. A loss is ``relativistic`` when G's half
needs D(x) too; families then run D on the real batch in G's step as well.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus


class AdversarialLoss(ABC):
    """A pair of objectives on D's logits."""

    relativistic: bool = False

    @abstractmethod
    def d(self, real: Tensor, fake: Tensor) -> Tensor:
        """D's objective, a scalar."""

    @abstractmethod
    def g(self, real: Tensor | None, fake: Tensor) -> Tensor:
        """G's objective, a scalar; ``real`` is None unless the loss is relativistic."""

    def exchanged(self, real: Tensor, fake: Tensor) -> Tensor:
        """D's objective with reals and fakes exchanged, for those who play against a joint D; what only teaches D
        (smoothed or noisy labels) takes no part."""
        return self.d(fake, real)


class NonSaturating(AdversarialLoss):
    """Cross-entropy for D, -log D(G(z)) for G (Goodfellow et al. 2014, section 3).

    Args:
        real_target: the probability t that D is to give to reals: 0.9 is one-sided label smoothing (Salimans et al.
            2016, section 3.4), which leaves fakes at 0.
    """

    def __init__(self, real_target: float = 1.0) -> None:
        if not 0.5 < real_target <= 1:
            raise ValueError(f"{type(self).__name__}: real_target must be above 0.5 and at most 1, got {real_target}")
        self.real_target = real_target

    def d(self, real: Tensor, fake: Tensor) -> Tensor:
        """-t log sigma(D(x)) - (1 - t) log(1 - sigma(D(x))) - log(1 - sigma(D(G(z))))."""
        loss = softplus(-real).mean() + softplus(fake).mean()
        return loss if self.real_target == 1 else loss + (1 - self.real_target) * real.mean()

    def exchanged(self, real: Tensor, fake: Tensor) -> Tensor:
        """Without smoothing."""
        return softplus(-fake).mean() + softplus(real).mean()

    def g(self, real: Tensor | None, fake: Tensor) -> Tensor:
        """-log sigma(D(G(z)))."""
        return softplus(-fake).mean()


class Minimax(NonSaturating):
    """The zero-sum game: G's gradient fades where D is sure (Goodfellow et al. 2014, eq. 1)."""

    def g(self, real: Tensor | None, fake: Tensor) -> Tensor:
        """log(1 - sigma(D(G(z))))."""
        return -softplus(fake).mean()


class DensityRatio(NonSaturating):
    """Cross-entropy for D, the plain score for G: KL(fakes || reals), as D(x) is then the log ratio of their densities.

    The generator's half of VEEGAN (Srivastava et al. 2017, algorithm 1), there with the opposite sign of D.
    """

    def g(self, real: Tensor | None, fake: Tensor) -> Tensor:
        """-D(G(z))."""
        return -fake.mean()


class LeastSquares(AdversarialLoss):
    """Squared distance of the scores from 1 and 0 (Mao et al. 2017, eq. 9 with a = 0, b = c = 1).

    Args:
        factor: before each square: 1/2 in the paper, 1 in several code bases.
    """

    def __init__(self, factor: float = 0.5) -> None:
        if factor <= 0:
            raise ValueError(f"LeastSquares: factor must be above 0, got {factor}")
        self.factor = factor

    def d(self, real: Tensor, fake: Tensor) -> Tensor:
        """factor * ((D(x) - 1)^2 + D(G(z))^2)."""
        return self.factor * ((real - 1).square().mean() + fake.square().mean())

    def g(self, real: Tensor | None, fake: Tensor) -> Tensor:
        """factor * (D(G(z)) - 1)^2."""
        return self.factor * (fake - 1).square().mean()


class Hinge(AdversarialLoss):
    """Hinge for D, the plain score for G (Lim and Ye 2017, eq. 17 and 18; Miyato et al. 2018, eq. 16 and 17)."""

    def d(self, real: Tensor, fake: Tensor) -> Tensor:
        """max(0, 1 - D(x)) + max(0, 1 + D(G(z)))."""
        return relu(1 - real).mean() + relu(1 + fake).mean()

    def g(self, real: Tensor | None, fake: Tensor) -> Tensor:
        """-D(G(z))."""
        return -fake.mean()


class Silent(AdversarialLoss):
    """None: both players' objectives are the other terms, such as a multi-class hinge (MHGAN)."""

    def d(self, real: Tensor, fake: Tensor) -> Tensor:
        """0, of which every logit is still a part: its weights get a gradient of zeros."""
        return 0 * (real.mean() + fake.mean())

    def g(self, real: Tensor | None, fake: Tensor) -> Tensor:
        """0."""
        return 0 * fake.mean()


class Wasserstein(AdversarialLoss):
    """The critic's score difference (Arjovsky et al. 2017, eq. 3); needs a Lipschitz constraint beside it.

    Args:
        drift: weight of D(x)^2, which keeps scores near 0 (Karras et al. 2018, appendix A.1: 0.001).
    """

    def __init__(self, drift: float = 0.0) -> None:
        if drift < 0:
            raise ValueError(f"Wasserstein: drift must not be negative, got {drift}")
        self.drift = drift

    def d(self, real: Tensor, fake: Tensor) -> Tensor:
        """D(G(z)) - D(x) + drift D(x)^2."""
        loss = fake.mean() - real.mean()
        return loss + self.drift * real.square().mean() if self.drift else loss

    def g(self, real: Tensor | None, fake: Tensor) -> Tensor:
        """-D(G(z))."""
        return -fake.mean()


class Relativistic(AdversarialLoss):
    """A loss on how much more real the one kind scores than the other."""

    relativistic = True

    def g(self, real: Tensor | None, fake: Tensor) -> Tensor:
        """D's objective with the roles of reals and fakes exchanged."""
        if real is None:
            raise ValueError(f"{type(self).__name__} needs D(x) in G's step too")
        return self.d(fake, real)


class RelativisticPairing(Relativistic):
    """Each real against one fake (Jolicoeur-Martineau 2019, RSGAN, eq. 4; RpGAN in Huang et al. 2024, eq. 2)."""

    def d(self, real: Tensor, fake: Tensor) -> Tensor:
        """-log sigma(D(x) - D(G(z))), sample by sample."""
        return softplus(fake - real).mean()


class RelativisticAverage(Relativistic):
    """Each sample against the mean of the other kind (Jolicoeur-Martineau 2019, RaSGAN, eq. 5 and 6).

    Deviation: means are those of the samples judged together (one rank's, one micro-batch's), as in its author's code
    those of the batch; and there each objective is half of this sum.
    """

    def d(self, real: Tensor, fake: Tensor) -> Tensor:
        """-log sigma(D(x) - E D(G(z))) - log sigma(E D(x) - D(G(z)))."""
        return softplus(fake.mean() - real).mean() + softplus(fake - real.mean()).mean()


class TopK:
    """G learns from the fakes that D finds most real, ever fewer of them (Sinha et al. 2020, section 3).

    Of the fakes judged together the share falls by a factor each epoch, but not below ``least``.

    Args:
        decay: gamma of the paper, the factor.
        least: nu.
        kimg: thousands of images in an epoch; 50 are those of CIFAR-10.
    """

    def __init__(self, decay: float = 0.99, least: float = 0.5, kimg: float = 50.0) -> None:
        if not 0 < decay <= 1 or not 0 < least <= 1 or kimg <= 0:
            raise ValueError(
                f"TopK: decay and least must be above 0 and at most 1, and kimg above 0, got {decay}, {least}, {kimg}"
            )
        self.decay, self.least, self.kimg = decay, least, kimg

    def __call__(self, fake: Tensor, images: int) -> Tensor:
        """The highest of the logits ``fake`` [N], when D has seen so many ``images``."""
        share = max(self.decay ** (images // (1000 * self.kimg)), self.least)
        return fake.topk(max(1, int(share * len(fake))), dim=0).values


class NoisyLabels(AdversarialLoss):
    """Another loss, whose D now and then takes a real for a fake and a fake for a real; G's half is unchanged.

    A real and a fake change places together, each pair with its own draw from the global random stream: of either kind
    a share p is mistaken, as with flips one by one, and both kinds stay equally many.

    Args:
        loss: the other one; the non-saturating one unless given.
        p: probability that a label is wrong.
    """

    def __init__(self, loss: AdversarialLoss | None = None, p: float = 0.05) -> None:
        if not 0 <= p < 0.5:
            raise ValueError(f"NoisyLabels: p must be 0 or more and below 0.5, got {p}")
        self.loss, self.p = loss or NonSaturating(), p
        self.relativistic = self.loss.relativistic

    def d(self, real: Tensor, fake: Tensor) -> Tensor:
        """The other loss's, of logits that have changed places."""
        flipped = torch.rand(len(real), *[1] * (real.ndim - 1), device=real.device) < self.p
        return self.loss.d(torch.where(flipped, fake, real), torch.where(flipped, real, fake))

    def g(self, real: Tensor | None, fake: Tensor) -> Tensor:
        """The other loss's."""
        return self.loss.g(real, fake)

    def exchanged(self, real: Tensor, fake: Tensor) -> Tensor:
        """The other loss's."""
        return self.loss.exchanged(real, fake)

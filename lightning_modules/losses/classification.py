"""Terms on the answer of D's second head, beside the adversarial loss: what it says of the classes.

A term reads what the second head of its discriminator gives, [N, ...] in fp32; the two are chosen together.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, relu


class ClassificationTerm(ABC):
    """One named term of both players' objectives.

    Attributes:
        name: what it is logged as.
        embeds: whether it reads embeddings of images and of their classes, not class logits.
    """

    name: ClassVar[str]
    embeds: ClassVar[bool] = False

    def outputs(self, num_classes: int) -> int | None:
        """How many numbers it reads of each image, of so many classes; any number where None."""
        return num_classes

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


class Twofold(ClassificationTerm):
    """A second head that has two answers for each class.

    Args:
        d_weight: of D's term.
        g_weight: of G's.
    """

    def __init__(self, d_weight: float = 1.0, g_weight: float = 1.0) -> None:
        if d_weight <= 0 or g_weight < 0:
            raise ValueError(
                f"{type(self).__name__}: d_weight must be above 0 and g_weight 0 or more, got {d_weight} and {g_weight}"
            )
        self.d_weight, self.g_weight = d_weight, g_weight

    def outputs(self, num_classes: int) -> int:
        """2 K."""
        return 2 * num_classes


class TwinAuxiliaryClassifiers(Twofold):
    """Two classifiers, one of reals and one of fakes: G pleases the one and eludes the other (TAC-GAN, Gong et al.
    2019, eq. 5), so that it has nothing to gain from images that are easy to classify.

    The first K logits are those of the classifier of reals. As in StudioGAN it learns from reals alone.
    """

    name = "twins"

    def d(self, real: Tensor, fake: Tensor, y: Tensor) -> Tensor:
        """d_weight * (-log P(y | x) - log Q(y | G(z, y)))."""
        K = real.shape[1] // 2
        return self.d_weight * (cross_entropy(real[:, :K], y) + cross_entropy(fake[:, K:], y))

    def g(self, fake: Tensor, y: Tensor) -> Tensor:
        """g_weight * (-log P(y | G(z, y)) + log Q(y | G(z, y)))."""
        K = fake.shape[1] // 2
        return self.g_weight * (cross_entropy(fake[:, :K], y) - cross_entropy(fake[:, K:], y))


class DiscriminativeClassifier(Twofold):
    """One classifier of "a real k" and "a fake k" (ADC-GAN, Hou et al. 2022, eq. 6 and 7): it knows where G's classes
    are not those of the data.

    The first K logits are the reals' classes.
    """

    name = "dual_class"

    def d(self, real: Tensor, fake: Tensor, y: Tensor) -> Tensor:
        """d_weight * (-log P(real y | x) - log P(fake y | G(z, y)))."""
        return self.d_weight * (cross_entropy(real, y) + cross_entropy(fake, y + fake.shape[1] // 2))

    def g(self, fake: Tensor, y: Tensor) -> Tensor:
        """g_weight * (-log P(real y | G(z, y)) + log P(fake y | G(z, y)))."""
        return self.g_weight * (cross_entropy(fake, y) - cross_entropy(fake, y + fake.shape[1] // 2))


class MultiHinge(Twofold):
    """The hinge of Crammer and Singer over K classes and "a fake" (MHGAN, Kavalerov et al. 2021, eq. 5 to 8).

    The last of the K + 1 scores is that of fakes. In MHGAN it is all of D's objective, and G's beside feature matching:
    ``losses.adversarial.Silent`` leaves the other head out.

    Args:
        d_weight: of D's term.
        g_weight: of G's; 0.05 in the published code.
    """

    name = "multi_hinge"

    def __init__(self, d_weight: float = 1.0, g_weight: float = 0.05) -> None:
        super().__init__(d_weight, g_weight)

    def outputs(self, num_classes: int) -> int:
        """K + 1."""
        return num_classes + 1

    def d(self, real: Tensor, fake: Tensor, y: Tensor) -> Tensor:
        """d_weight * (hinge of reals as their class + hinge of fakes as fakes)."""
        as_fake = torch.full_like(y, fake.shape[1] - 1)
        return self.d_weight * (crammer_singer(real, y) + crammer_singer(fake, as_fake))

    def g(self, fake: Tensor, y: Tensor) -> Tensor:
        """g_weight * hinge of fakes as the class asked for."""
        return self.g_weight * crammer_singer(fake, y)


def crammer_singer(scores: Tensor, y: Tensor) -> Tensor:
    """Mean of max(0, 1 - s_y + max over the others of s_k) of ``scores`` [N, K] and classes ``y`` [N]."""
    asked = y[:, None]  # by their places: how many a mask picks is known to the device alone, which would be waited for
    others = scores.scatter(1, asked, -torch.inf).amax(dim=1, keepdim=True)
    return relu(1 - scores.gather(1, asked) + others).mean()

"""Networks that know classes, each made of one that does not: an experiment puts it around any generator or critic.

- Concatenation (Mirza and Osindero 2014, section 3.2): the label's one-hot code beside z for G, as planes of ones and
  zeros beside the image for D.
- Conditional batch norm (de Vries et al. 2017; Dumoulin et al. 2017, section 2.2): each class has its own gain and bias
  in every batch norm of G.
- Projection (Miyato and Koyama 2018, eq. 3 and figure 1): D's logit gains the inner product of its features and the
  class's embedding.
- Auxiliary classifier (Odena et al. 2017, section 3): a second head of D tells the classes apart.

Deviation: features are taken as the inner network's head takes them, flattened where that is not pooled; Miyato and
Koyama sum over positions, as their residual D (``ResNetDiscriminator``) does here too.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from lightning_modules.networks.base import Discriminator, Generator, TwoHeadedDiscriminator, Verdict
from lightning_modules.networks.init import Initialiser, Xavier
from lightning_modules.networks.packed import Packed
from lightning_modules.networks.spectral import initialise


def given(y: Tensor | None) -> Tensor:
    """``y``, which must be there."""
    if y is None:
        raise ValueError("a conditional network needs the label of each sample: call it with y [N]")
    return y


def beside(x: Tensor, y: Tensor | None, num_classes: int) -> Tensor:
    """``x`` [N, d, ...] and the one-hot code of ``y`` [N], as numbers or planes of ones and zeros: [N, d + K, ...]."""
    code = one_hot(given(y), num_classes).to(x.dtype)
    return torch.cat([x, code.view(*code.shape, *[1] * (x.ndim - 2)).expand(-1, -1, *x.shape[2:])], dim=1)


def width_of_features(D: Discriminator) -> int:
    """How many numbers D's head reads of each sample."""
    with torch.no_grad():  # in which spectral norm does not iterate
        return D.head.weight[0].numel()


# --- generators ---------------------------------------------------------------------------------------------


class ConcatGenerator(Generator):
    """(z, one-hot y) -> the inner generator.

    Args:
        generator: its ``z_dim`` counts the noise and the ``num_classes`` numbers of the code.
        num_classes: K.
    """

    num_classes: int

    def __init__(self, generator: Generator, num_classes: int = 10) -> None:
        super().__init__()
        if generator.z_dim <= num_classes:
            raise ValueError(
                f"ConcatGenerator: the generator's z_dim holds noise and a code of {num_classes} classes, and is "
                f"{generator.z_dim}: raise it above {num_classes}"
            )
        self.generator, self.num_classes = generator, num_classes
        self.z_dim, self.out_shape, self.latent = generator.z_dim - num_classes, generator.out_shape, generator.latent

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """``z`` [N, z_dim] and labels ``y`` [N] to samples [N, *out_shape]."""
        return self.generator(beside(z, y, self.num_classes))


class Asked:
    """What a forward pass in progress was asked for: the labels that its norms look up."""

    y: Tensor | None = None


class ClassBatchNorm2d(nn.Module):
    """Batch norm of [N, C, H, W] with a gain and a bias for each class; all start as those of the norm it replaces.

    Args:
        norm: the batch norm that it takes the place of.
        num_classes: K.
        asked: holds the labels [N].
    """

    def __init__(self, norm: nn.BatchNorm2d, num_classes: int, asked: Asked) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(norm.num_features, norm.eps, norm.momentum, affine=False)
        self.gain = nn.Embedding.from_pretrained(norm.weight.detach().repeat(num_classes, 1), freeze=False)
        self.bias = nn.Embedding.from_pretrained(norm.bias.detach().repeat(num_classes, 1), freeze=False)
        self.asked = asked

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [N, C, H, W], normalised, times its class's gain, plus its class's bias."""
        y = given(self.asked.y)
        return self.norm(x) * self.gain(y)[:, :, None, None] + self.bias(y)[:, :, None, None]


class ClassNormGenerator(Generator):
    """The inner generator with a conditional batch norm in the place of each batch norm.

    Args:
        generator: one with batch norm.
        num_classes: K.
    """

    def __init__(self, generator: Generator, num_classes: int = 10) -> None:
        super().__init__()
        self.asked = Asked()
        if not replace_norms(generator, num_classes, self.asked):
            raise ValueError(f"ClassNormGenerator: {type(generator).__name__} has no batch norm to make conditional")
        self.generator, self.num_classes = generator, num_classes
        self.z_dim, self.out_shape, self.latent = generator.z_dim, generator.out_shape, generator.latent

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """``z`` [N, z_dim] and labels ``y`` [N] to samples [N, *out_shape]."""
        self.asked.y = y
        try:
            return self.generator(z)
        finally:
            self.asked.y = None  # the labels outlive no pass, in copies of the network neither


def replace_norms(module: nn.Module, num_classes: int, asked: Asked) -> int:
    """Make every batch norm inside ``module`` conditional, in place; returns how many there were."""
    found = 0
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            module.add_module(name, ClassBatchNorm2d(child, num_classes, asked))
            found += 1
        else:
            found += replace_norms(child, num_classes, asked)
    return found


# --- discriminators -----------------------------------------------------------------------------------------


class Wrapped(Discriminator):
    """A discriminator around another, whose blocks and head it shares.

    Args:
        discriminator: the inner one.
        num_classes: K.
    """

    num_classes: int

    def __init__(self, discriminator: Discriminator, num_classes: int) -> None:
        super().__init__()
        self.discriminator, self.num_classes = discriminator, num_classes

    def refuse_packs(self) -> None:
        """Raise ValueError where the inner one judges several samples at once, which have no label of their own."""
        if any(isinstance(net, Packed) for net in self.discriminator.modules()):
            raise ValueError(f"{type(self).__name__}: a pack has no label of its own: take ConcatDiscriminator")

    @property
    def blocks(self) -> nn.Sequential:  # type: ignore[override]  # registered once, by the inner one
        """The inner one's."""
        return self.discriminator.blocks

    @property
    def head(self) -> nn.Conv2d | nn.Linear:  # type: ignore[override]
        """The inner one's."""
        return self.discriminator.head

    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The inner one's of ``x`` [N, ...]."""
        return self.discriminator.features(x, y)

    def verdict(self, features: Tensor, y: Tensor | None = None) -> Tensor:
        """The inner one's of ``features``: [N]."""
        return self.discriminator.verdict(features, y)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """``x`` [N, ...] under the labels ``y`` [N] to logits [N]."""
        return self.verdict(self.features(x, y), y)


class ConcatDiscriminator(Wrapped):
    """(x, planes of one-hot y) -> the inner discriminator.

    Args:
        discriminator: its channels (or numbers of a point) are those of x and ``num_classes`` more.
        num_classes: K.
    """

    blocks_take_images = False

    def __init__(self, discriminator: Discriminator, num_classes: int = 10) -> None:
        super().__init__(discriminator, num_classes)

    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The inner one's of ``x`` [N, C, ...] with K planes more, all of them 0 but the label's, which is 1."""
        return self.discriminator.features(beside(x, y, self.num_classes))


class ProjectionDiscriminator(Wrapped):
    """The inner discriminator's logit plus <embedding of y, features of x>.

    Args:
        discriminator: the inner one.
        num_classes: K.
        spectral_norm: normalise the embedding's spectrum, as is to be where the inner one's are.
        init: how to draw the embedding; Xavier's unless given.
    """

    def __init__(
        self,
        discriminator: Discriminator,
        num_classes: int = 10,
        spectral_norm: bool = False,
        init: Initialiser | None = None,
    ) -> None:
        super().__init__(discriminator, num_classes)
        self.refuse_packs()
        self.embed = nn.Embedding(num_classes, width_of_features(discriminator))
        initialise(self.embed, init or Xavier(), spectral_norm)

    def verdict(self, features: Tensor, y: Tensor | None = None) -> Tensor:
        """Logits [N] of ``features`` [N, ...] under the labels ``y`` [N]."""
        inner = (self.embed(given(y)) * features.flatten(1)).sum(dim=1)
        return self.discriminator.verdict(features, y) + inner


class AuxiliaryDiscriminator(Wrapped, TwoHeadedDiscriminator):
    """The inner discriminator, whose features a linear head classifies too: logits [N] and class logits [N, K].

    Args:
        discriminator: the inner one; the labels matter to its logit only if they do by themselves.
        num_classes: K.
        spectral_norm: normalise the class head's spectrum.
        init: how to draw the class head; Xavier's unless given.
    """

    def __init__(
        self,
        discriminator: Discriminator,
        num_classes: int = 10,
        spectral_norm: bool = False,
        init: Initialiser | None = None,
    ) -> None:
        super().__init__(discriminator, num_classes)
        self.refuse_packs()
        self.classify = nn.Linear(width_of_features(discriminator), num_classes)
        initialise(self.classify, init or Xavier(), spectral_norm)

    def judge(self, x: Tensor, y: Tensor | None = None) -> Verdict:
        """Logits [N] of ``x`` [N, ...], and class logits [N, K]."""
        features = self.features(x, y)
        return Verdict(self.verdict(features, y), self.classify(features.flatten(1)))

"""Networks that know classes, each made of one that does not: an experiment puts it around any generator or critic.

- Concatenation (Mirza and Osindero 2014, section 3.2): the label's one-hot code beside z for G, as planes of ones and
  zeros beside the image for D.
- Conditional batch norm (de Vries et al. 2017; Dumoulin et al. 2017, section 2.2): each class has its own gain and bias
  in every batch norm of G.
- Projection (Miyato and Koyama 2018, eq. 3 and figure 1): D's logit gains the inner product of its features and the
  class's embedding.
- Auxiliary classifier (Odena et al. 2017, section 3): a second head of D tells the classes apart.
- Contrast (Kang and Park 2020, section 3.2; Kang et al. 2021, section 3.2): the second head embeds the image, and its
  class beside it.

Deviation: features are taken as the inner network's head takes them, flattened where that is not pooled; Miyato and
Koyama sum over positions, as their residual D (``ResNetDiscriminator``) does here too.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, one_hot

from lightning_modules.networks.base import Discriminator, Generator
from lightning_modules.networks.init import Initialiser, Xavier
from lightning_modules.networks.spectral import initialise
from lightning_modules.networks.wrapped import SecondHeadDiscriminator, Wrapped, given, width_of_features


def beside(x: Tensor, y: Tensor | None, num_classes: int) -> Tensor:
    """``x`` [N, d, ...] and the one-hot code of ``y`` [N], as numbers or planes of ones and zeros: [N, d + K, ...]."""
    code = one_hot(given(y), num_classes).to(x.dtype)
    return torch.cat([x, code.view(*code.shape, *[1] * (x.ndim - 2)).expand(-1, -1, *x.shape[2:])], dim=1)


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
        init: draws an embedding for the bias, and one for the gain less 1; both are those of ``norm`` unless given.
        spectral_norm: normalise the spectra of what ``init`` drew.
    """

    def __init__(
        self,
        norm: nn.BatchNorm2d,
        num_classes: int,
        asked: Asked,
        init: Initialiser | None = None,
        spectral_norm: bool = False,
    ) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(norm.num_features, norm.eps, norm.momentum, affine=False)
        self.gain = nn.Embedding.from_pretrained(norm.weight.detach().repeat(num_classes, 1), freeze=False)
        self.bias = nn.Embedding.from_pretrained(norm.bias.detach().repeat(num_classes, 1), freeze=False)
        self.offset = 0.0 if init is None else 1.0  # what the gain's embedding is added to
        for embed in (self.gain, self.bias):
            initialise(embed, init, spectral_norm)
        self.asked = asked

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [N, C, H, W], normalised, times its class's gain, plus its class's bias."""
        y = given(self.asked.y)
        gain, bias = self.offset + self.gain(y), self.bias(y)
        return self.norm(x) * gain[:, :, None, None] + bias[:, :, None, None]


class ClassNormGenerator(Generator):
    """The inner generator with a conditional batch norm in the place of each batch norm.

    Args:
        generator: one with batch norm.
        num_classes: K.
        init: how to draw gains around 1 and biases around 0; those of the batch norms, 1 and 0, unless given.
        spectral_norm: normalise the spectra of what ``init`` drew.
        last: whether the last batch norm, before the image is made, becomes conditional too; not in StudioGAN.

    Raises:
        ValueError: no batch norm to make conditional, or spectral norm of what is not drawn.
    """

    def __init__(
        self,
        generator: Generator,
        num_classes: int = 10,
        init: Initialiser | None = None,
        spectral_norm: bool = False,
        last: bool = True,
    ) -> None:
        super().__init__()
        if spectral_norm and init is None:
            raise ValueError("spectral_norm: biases of 0 have no spectrum: give ClassNormGenerator an init too")
        self.asked = Asked()
        places = norms_of(generator)[: None if last else -1]
        if not places:
            raise ValueError(f"ClassNormGenerator: {type(generator).__name__} has no batch norm to make conditional")
        for parent, name, norm in places:
            parent.add_module(name, ClassBatchNorm2d(norm, num_classes, self.asked, init, spectral_norm))
        self.generator, self.num_classes = generator, num_classes
        self.z_dim, self.out_shape, self.latent = generator.z_dim, generator.out_shape, generator.latent

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """``z`` [N, z_dim] and labels ``y`` [N] to samples [N, *out_shape]."""
        self.asked.y = y
        try:
            return self.generator(z)
        finally:
            self.asked.y = None  # the labels outlive no pass, in copies of the network neither


def norms_of(net: nn.Module) -> list[tuple[nn.Module, str, nn.BatchNorm2d]]:
    """Every batch norm inside ``net``, in its order: what holds it, its name there, and itself."""
    found = []
    for name, child in net.named_children():
        found += [(net, name, child)] if isinstance(child, nn.BatchNorm2d) else norms_of(child)
    return found


# --- discriminators -----------------------------------------------------------------------------------------


class ConcatDiscriminator(Wrapped):
    """(x, planes of one-hot y) -> the inner discriminator.

    Args:
        discriminator: its channels (or numbers of a point) are those of x and ``num_classes`` more.
        num_classes: K.
    """

    blocks_take_images = False
    num_classes: int

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


class AuxiliaryDiscriminator(SecondHeadDiscriminator):
    """The inner discriminator, whose features a linear head classifies too: class logits [N, K].

    Args:
        discriminator: the inner one; the labels matter to its logit only if they do by themselves.
        num_classes: K.
        spectral_norm: normalise the class head's spectrum.
        init: how to draw the class head; Xavier's unless given.
        outputs: class logits; K unless given. 2 K for TAC-GAN and ADC-GAN, K + 1 for the multi-class hinge.
        bias: whether the class head has one; StudioGAN's classifiers have none.
    """

    def __init__(
        self,
        discriminator: Discriminator,
        num_classes: int = 10,
        spectral_norm: bool = False,
        init: Initialiser | None = None,
        outputs: int | None = None,
        bias: bool = True,
    ) -> None:
        outputs = num_classes if outputs is None else outputs
        super().__init__(discriminator, outputs, spectral_norm, init, num_classes, bias)


class ContrastiveDiscriminator(SecondHeadDiscriminator):
    """The inner discriminator, whose features a linear head embeds, and an embedding of each class: both of length 1.

    Args:
        discriminator: the inner one; the labels matter to its logit only if they do by themselves.
        num_classes: K.
        embedding: length of an embedding.
        spectral_norm: normalise the spectra of the head and of the classes' embedding.
        init: how to draw both; Xavier's unless given.
    """

    embeds = True

    def __init__(
        self,
        discriminator: Discriminator,
        num_classes: int = 10,
        embedding: int = 512,
        spectral_norm: bool = False,
        init: Initialiser | None = None,
    ) -> None:
        super().__init__(discriminator, embedding, spectral_norm, init, num_classes)
        self.outputs = 2 * embedding
        self.embed = nn.Embedding(num_classes, embedding)
        initialise(self.embed, init or Xavier(), spectral_norm)

    def answer(self, features: Tensor, y: Tensor | None = None) -> Tensor:
        """Of each image its own embedding and that of its label ``y`` [N] beside it: [N, 2 embedding]."""
        own = self.classify(features.flatten(1))
        return torch.cat([normalize(own.float(), dim=1), normalize(self.embed(given(y)).float(), dim=1)], dim=1)

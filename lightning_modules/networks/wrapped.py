"""Discriminators around another, whose blocks and head they share, and that may have a second head beside it."""

import torch
from torch import Tensor, nn

from lightning_modules.networks.base import Discriminator, TwoHeadedDiscriminator
from lightning_modules.networks.init import Initialiser, Xavier
from lightning_modules.networks.packed import Packed
from lightning_modules.networks.spectral import initialise


def given(y: Tensor | None) -> Tensor:
    """``y``, which must be there."""
    if y is None:
        raise ValueError("a conditional network needs the label of each sample: call it with y [N]")
    return y


def width_of_features(D: Discriminator) -> int:
    """How many numbers D's head reads of each sample."""
    with torch.no_grad():  # in which spectral norm does not iterate
        return D.head.weight[0].numel()


class Wrapped(Discriminator):
    """A discriminator around another, whose blocks and head it shares.

    Args:
        discriminator: the inner one.
        num_classes: K.
    """

    def __init__(self, discriminator: Discriminator, num_classes: int | None) -> None:
        super().__init__()
        self.discriminator, self.num_classes = discriminator, num_classes
        self.blocks_take_images = self.blocks_take_images and discriminator.blocks_take_images

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


class SecondHeadDiscriminator(Wrapped, TwoHeadedDiscriminator):
    """The inner discriminator, on whose features a linear head of its own stands too.

    Args:
        discriminator: the inner one; labels matter to its logit only if they do by themselves.
        outputs: of the second head: 4 for the quarter turns of SSGAN.
        spectral_norm: normalise the second head's spectrum.
        init: how to draw the second head; Xavier's unless given.
        num_classes: classes of the labels that it must be given; those of the inner one unless given.
        bias: whether the second head has one.
    """

    def __init__(
        self,
        discriminator: Discriminator,
        outputs: int = 4,
        spectral_norm: bool = False,
        init: Initialiser | None = None,
        num_classes: int | None = None,
        bias: bool = True,
    ) -> None:
        super().__init__(discriminator, discriminator.num_classes if num_classes is None else num_classes)
        if outputs < 1:
            raise ValueError(f"{type(self).__name__}: outputs must be 1 or more, got {outputs}")
        self.refuse_packs()
        self.outputs = outputs
        self.classify = nn.Linear(width_of_features(discriminator), outputs, bias)
        initialise(self.classify, init or Xavier(), spectral_norm)

    def answer(self, features: Tensor, y: Tensor | None = None) -> Tensor:
        """The second head's numbers [N, outputs]."""
        return self.classify(features.flatten(1))

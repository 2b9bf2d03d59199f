"""Networks that judge images, and what they say of them."""

from abc import abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lightning_modules.networks.base.network import Network


class Verdict(NamedTuple):
    """What a discriminator says of N images; of width 0 what it has not, or was not asked for."""

    logits: Tensor
    classes: Tensor  # [N, outputs] of a second head, class logits above all
    features: Tensor  # [N, ...]: what its heads judge


class Discriminator(Network):
    """D(x, y) -> logits, [N] or patches [N, h, w]; a critic's score where the loss is Wasserstein's.

    Where a head of one logit follows on features, ``forward`` is ``verdict(features(x, y), y)``, so that other heads
    can read the same features.
    """

    blocks: nn.Sequential  # from the image to the head; Freeze-D (Mo et al. 2020) holds the first of them still
    head: nn.Conv2d | nn.Linear  # from the features to one logit
    blocks_take_images: bool = True  # single ones, without their condition
    num_classes: int | None = None
    pack_size: int = 1  # samples that it takes together for one logit
    image_shape: tuple[int, int, int] | None = None  # (C, H, W) of the images it judges, where they are of one size

    @abstractmethod
    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Judge ``x`` [N, C, H, W] (or points [N, d]) under the condition ``y``."""

    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """What the head judges of ``x``: [N, ...]; what the blocks put out unless said otherwise."""
        return self.blocks(x)

    def verdict(self, features: Tensor, y: Tensor | None = None) -> Tensor:
        """The logits of ``features``: [N], unless said otherwise."""
        return self.head(features).flatten()

    def answer(self, features: Tensor, y: Tensor | None = None) -> Tensor:
        """A second head's answer [N, outputs] to ``features`` [N, ...] under ``y``; of width 0 where there is none."""
        return features.new_empty(len(features), 0)

    def judge(self, x: Tensor, y: Tensor | None = None) -> Verdict:
        """All that D says of ``x`` [N, C, H, W] in one pass; the logits are those of ``forward``."""
        features = self.features(x, y)
        return Verdict(self.verdict(features, y), self.answer(features, y), features)


class TwoHeadedDiscriminator(Discriminator):
    """D with a second head on the same features, whose answer a term of the objective judges.

    Attributes:
        outputs: numbers in an answer.
        embeds: whether an answer is an embedding of the image and one of its class, half each, both of length 1.
    """

    outputs: int
    embeds: bool = False

    @abstractmethod
    def answer(self, features: Tensor, y: Tensor | None = None) -> Tensor:
        """The second head's answer [N, outputs] to ``features`` [N, ...] under ``y``."""


class JointDiscriminator(Discriminator):
    """D of pairs (x, z), each one point of the joint space: a row [N, C * H * W + z_dim].

    As rows they can be mixed, penalised and concatenated like any other samples.

    Attributes:
        x_shape: of one image or point.
        z_dim: length of z.
    """

    x_shape: tuple[int, ...]
    z_dim: int

    def pair(self, x: Tensor, z: Tensor) -> Tensor:
        """``x`` [N, *x_shape] and ``z`` [N, z_dim] side by side: [N, prod(x_shape) + z_dim]."""
        return torch.cat([x.flatten(1), z.to(x.dtype)], dim=1)

    def part(self, pair: Tensor) -> tuple[Tensor, Tensor]:
        """``x`` [N, *x_shape] and ``z`` [N, z_dim] of a ``pair``."""
        return pair[:, : -self.z_dim].unflatten(1, self.x_shape), pair[:, -self.z_dim :]

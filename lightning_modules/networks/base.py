"""What a family may ask of a network: the base types that YAML files name and families import."""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from lightning_modules.networks.latents import Gaussian, Latent


class Network(nn.Module, ABC):
    """Any network that an experiment can name. A base type of our own keeps the command line's help short."""

    multiple: int = 1  # of which the sides of its images are multiples


class Generator(Network):
    """G(z, y) -> x: noise (and a condition) to an image [N, C, H, W] or a point [N, d] in the data's value range."""

    z_dim: int
    out_shape: tuple[int, ...]  # of one sample: (C, H, W), or (d,) for points
    num_classes: int | None = None
    latent: Latent = Gaussian()

    def sample_z(self, n: int) -> Tensor:
        """Draw z [n, z_dim] on the generator's device, from its global random stream: N(0, I) unless told otherwise."""
        return self.latent.draw(n, self.z_dim, next(self.parameters()).device)

    @abstractmethod
    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Map ``z`` [N, z_dim] and a condition ``y`` to samples [N, *out_shape]."""


class Decoder(Generator):
    """A generator of x in [-1, 1] that states the logits behind it, for likelihoods of pixels that are on or off."""

    output_bias: nn.Parameter | None = None  # of the logits, one for each value of x, where there is one

    @abstractmethod
    def logits(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Of each value of x being 1 and not -1: [N, *out_shape]."""

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """``z`` [N, z_dim] under ``y`` to the mean of x, 2 sigmoid(logits) - 1: [N, *out_shape]."""
        return torch.tanh(0.5 * self.logits(z, y))


class Encoder(Network):
    """E(x, y) -> q(z | x, y), a normal distribution with independent dimensions."""

    z_dim: int
    num_classes: int | None = None

    @abstractmethod
    def forward(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean and log-variance, each [N, z_dim], of ``x`` [N, C, H, W] in [-1, 1] under the condition ``y``."""


def draw_normal(mean: Tensor, log_variance: Tensor, noise: Tensor | None = None) -> Tensor:
    """A draw of each of N(mean, exp(log_variance)) by reparametrisation (Kingma and Welling 2014): both learn from it.

    ``noise`` is of the shape of ``mean``, or of many draws [..., *mean.shape]; of the global stream unless given.
    """
    noise = torch.randn_like(mean) if noise is None else noise
    return torch.addcmul(mean, noise, torch.exp(0.5 * log_variance))


class Discriminator(Network):
    """D(x, y) -> logits, [N] or patches [N, h, w]; a critic's score where the loss is Wasserstein's.

    Where a head of one logit follows on features, ``forward`` is ``verdict(features(x, y), y)``, so that other heads
    can read the same features.
    """

    blocks: nn.Sequential  # from the image to the head; Freeze-D (Mo et al. 2020) holds the first of them still
    head: nn.Conv2d | nn.Linear  # from the features to one logit
    blocks_take_images: bool = True  # single ones, without their condition
    num_classes: int | None = None
    image_shape: tuple[int, int, int] | None = None  # (C, H, W) of the images it judges, where they are of one size

    @abstractmethod
    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Judge ``x`` [N, C, H, W] (or points [N, d]) under the condition ``y``."""

    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """What the head judges of ``x``: [N, ...]; what the blocks put out unless said otherwise."""
        return self.blocks(x)

    def verdict(self, features: Tensor, y: Tensor | None = None) -> Tensor:
        """The logits [N] of ``features``."""
        return self.head(features).flatten()


class Verdict(NamedTuple):
    """What a discriminator of two heads says."""

    logits: Tensor
    classes: Tensor  # [N, ...]: of the second head, class logits [N, K] above all


class TwoHeadedDiscriminator(Discriminator):
    """D with a second head, whose answer a classification term of the objective judges."""

    @abstractmethod
    def judge(self, x: Tensor, y: Tensor | None = None) -> Verdict:
        """Both heads' answers to ``x`` [N, C, H, W] in one pass; the logits are those of ``forward``."""


class StyledGenerator(Generator):
    """G whose layers have styles: z, y -> w -> x, and each layer may have another w.

    Attributes:
        num_styles: layers that have one.
        mapping: z, y -> w [N, w_dim].
        synthesis: styles [N, num_styles, w_dim] -> x.
    """

    num_styles: int
    mapping: nn.Module
    synthesis: nn.Module

    @abstractmethod
    def styles(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """The styles [N, num_styles, w_dim] of ``z`` [N, z_dim] and a condition ``y``."""

    @abstractmethod
    def mixed_styles(self, z: Tensor, other: Tensor, y: Tensor | None, crossing: Tensor) -> Tensor:
        """The styles of ``z`` up to the layer ``crossing`` (integers, [] or [N, 1]), from there those of ``other``."""


class Growing(nn.Module):
    """A network that grows in training, from its smallest resolution to its ``levels``-th.

    Attributes:
        levels: resolutions.
        growth: how far it has grown: i is up to the resolution number i, from 0; a fraction fades the next one in.
    """

    levels: int
    growth: float


class FeedbackGenerator(Generator):
    """G that can look at its image again: what is said of the first image goes into the second.

    Attributes:
        signal: channels of what is said, as maps.
    """

    signal: int

    @abstractmethod
    def again(self, z: Tensor, signal: Tensor, y: Tensor | None = None) -> Tensor:
        """The second image [N, *out_shape] of ``z`` [N, z_dim] under ``signal`` [N, C, h, w] of any side."""


class LatentEncoder(Network):
    """E(x) -> z: an image, or a point, back to the noise [N, z_dim] that it was made of."""

    z_dim: int

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """The code [N, z_dim] of ``x`` [N, C, H, W] (or points [N, d]): the mean, where it has a distribution."""

    def draw(self, x: Tensor) -> Tensor:
        """A code [N, z_dim] that goes with ``x`` as a pair: drawn, where there is a distribution of it."""
        return self(x)


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


class Upscaler(Network):
    """y, scale -> x: a small image [N, C, h, w] in [0, 1] to one ``scale`` times as large.

    Attributes:
        scales: those that it knows; None is any.
        reach: how far around itself a pixel of the result reads, where the convolutions pad nothing.
    """

    scales: tuple[int, ...] | None = None
    reach: int = 0

    @abstractmethod
    def forward(self, y: Tensor, scale: int) -> Tensor:
        """Map ``y`` [N, C, h, w] to [N, C, h scale, w scale]."""

    def bordered(self, x: Tensor) -> Tensor:
        """``x`` [N, C, H, W] with its border repeated ``reach`` times, so that convolutions which pad nothing keep its
        size; in training as it is, so that a patch teaches nothing made up, and the result is smaller."""
        return x if self.training else pad(x, (self.reach,) * 4, mode="replicate")


class Alignment(NamedTuple):
    """How a network finds one view, at the small size, in another."""

    target: Tensor  # [N, C, h, w], the view from whose pixels it looks
    warped: Tensor  # [N, C, h, w], the other view as it is found there
    valid: Tensor  # [N, 1, h, w], 1 where the other view shows it too, else 0
    attention: Tensor  # sums to 1: along rows [N, h, w, w] over the last axis, in windows [N, K, h, w] over offsets
    shift: Tensor  # [N, 2, h, w], mean step to where it looks: rows, columns


class MultiViewUpscaler(Network):
    """y, scale -> x: small views of a scene, [N, V, C, h, w] in [0, 1], to the first of them ``scale`` times as large.

    Attributes:
        views: V, the reference first.
        scales: those that it knows; None is any.
    """

    views: int
    scales: tuple[int, ...] | None = None

    @abstractmethod
    def explain(self, y: Tensor, scale: int) -> tuple[Tensor, list[Alignment]]:
        """The image [N, C, h scale, w scale] of ``y`` [N, V, C, h, w], and where the side views were found."""

    def forward(self, y: Tensor, scale: int) -> Tensor:
        """Map ``y`` [N, V, C, h, w] to [N, C, h scale, w scale]."""
        return self.explain(y, scale)[0]

    def check(self, y: Tensor, scale: int) -> None:
        """Raise ValueError where ``y`` does not hold the views, or ``scale`` is another than the network's."""
        if y.ndim != 5 or y.shape[1] != self.views:
            raise ValueError(
                f"{type(self).__name__} takes {self.views} views [N, {self.views}, C, h, w], got {list(y.shape)}: "
                "choose a data module with as many"
            )
        if self.scales is not None and scale not in self.scales:
            raise ValueError(f"{type(self).__name__} knows the scale {self.scales[0]}, asked for {scale}")


class StereoUpscaler(MultiViewUpscaler):
    """Of two rectified views, matched along rows: it explains from left to right and from right to left, in turn."""

    views = 2


class Filler(Network):
    """y, hole -> x: an image [N, 3, H, W] in [0, 1] with pixels that are missing to a whole one of the same size.

    Attributes:
        size: side of its images in px, where it knows one alone.
    """

    size: int | None = None

    @abstractmethod
    def forward(self, y: Tensor, hole: Tensor) -> Tensor:
        """Map ``y`` [N, 3 or more, H, W], whose ``hole`` (bool [N, 1, H, W]) is True where it is missing, to x."""

    def check(self, H: int, W: int) -> None:
        """Raise ValueError where images of ``H`` x ``W`` px are none for this network."""
        if self.size is not None and (self.size, self.size) != (H, W):
            raise ValueError(
                f"this {type(self).__name__} fills images of {self.size} x {self.size} px, not of {H} x {W}: set the "
                "network's size, or data.init_args.patch and side"
            )
        if H % self.multiple or W % self.multiple:
            raise ValueError(
                f"{type(self).__name__} fills images whose sides are multiples of {self.multiple}, not of {H} x {W}: "
                "set data.init_args.patch and side, or a smaller depth of the network"
            )


class TwoStageFiller(Filler):
    """A filler whose first stage makes a coarse image and whose second refines it; losses look at both."""

    @abstractmethod
    def stages(self, y: Tensor, hole: Tensor) -> tuple[Tensor, Tensor]:
        """The coarse and the refined image, each as ``forward`` gives the refined one."""

    def forward(self, y: Tensor, hole: Tensor) -> Tensor:
        """Map ``y`` [N, 3 or more, H, W] and its ``hole`` [N, 1, H, W] to the refined x."""
        return self.stages(y, hole)[1]


class Classifier(Network):
    """x -> class logits [N, K]; ``features`` is the tap that scores are measured on."""

    dim: int
    num_classes: int
    init_args: dict[str, Any]  # what builds it again: they travel with shipped weights

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """The last hidden layer of ``x`` [N, C, H, W]: [N, dim]."""

    @abstractmethod
    def head(self, features: Tensor) -> Tensor:
        """Class logits [N, num_classes] of ``features`` [N, dim]."""

    def forward(self, x: Tensor) -> Tensor:
        """Class logits [N, num_classes] of ``x`` [N, C, H, W]."""
        return self.head(self.features(x))

"""Networks that make images of noise, and that find the noise again."""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lightning_modules.networks.base.judging import Discriminator
from lightning_modules.networks.base.network import Network
from lightning_modules.networks.latents import Gaussian, Latent


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

    @abstractmethod
    def affine_weights(self) -> list[Tensor]:
        """What makes styles of w, layer by layer: [out, w_dim] each, without biases."""


class TextureGenerator(Generator):
    """G of fields of noise, z [N, z_dim, L, M], to textures of any size: ``factor`` pixels for each place, less a rest.

    Attributes:
        factor: pixels from one place to the next.
        margin: places at each side that the border of a texture reaches.
        shared: channels of noise that are the same at all places of a field, and say what texture it is; 0 for none.
    """

    factor: int
    margin: int
    shared: int = 0

    @abstractmethod
    def field(self, n: int, L: int, M: int) -> Tensor:
        """Noise for ``n`` textures of L x M places: [n, z_dim, L, M]."""

    @abstractmethod
    def tile(self, z: Tensor) -> Tensor:
        """Textures of ``z`` [N, z_dim, L, M] that go on at their border: [N, C, factor L, factor M]."""

    @abstractmethod
    def blend(self, z: Tensor, other: Tensor, share: Tensor) -> Tensor:
        """``z`` with a ``share`` [L, M] of ``other``'s shared noise at each place, of those [N, z_dim, L, M] both."""


class Exemplified(Generator):
    """G that makes textures of its exemplars, and learns nothing.

    Attributes:
        exemplars: uint8 [C, H, W] each.
    """

    exemplars: list[Tensor]


class Growing(nn.Module):
    """A network that grows in training, from its smallest resolution to its ``levels``-th.

    Attributes:
        levels: resolutions.
        growth: how far it has grown: i is up to the resolution number i, from 0; a fraction fades the next one in.
    """

    levels: int
    growth: float


class Pyramid(nn.Module):
    """A network for each scale of an image, of which one learns.

    Attributes:
        sizes: (height, width) of the scales, the coarsest first.
        current: the scale that learns; those below are finished.
    """

    sizes: list[tuple[int, int]]
    current: int

    @abstractmethod
    def enter(self, scale: int, inherit: bool = False) -> None:
        """Go to ``scale``; where asked to, from the weights of the one below, if they are of the same shapes."""


class PyramidGenerator(Pyramid, Generator):
    """G of one image in [-1, 1], made scale by scale of a map of noise for each.

    Attributes:
        noise_weights: of the scales' noise, [scales].
        fixed: z*, of which the image itself is made, [1, 3, h, w] of the coarsest scale.
    """

    noise_weights: Tensor
    fixed: Tensor

    @abstractmethod
    def image(self, maps: Sequence[Tensor], start: int = 0, below: Tensor | None = None) -> Tensor:
        """What the scales from ``start`` on make of their noise and of the image ``below`` (none, at the first one).

        Args:
            maps: [N, 3, h, w] for each scale from ``start`` up to the last that is wanted.
            start: first scale.
            below: [N, 3, h', w'], resized to the first map's size.
        """

    @abstractmethod
    def finer(self, x: Tensor, scale: int, z: Tensor | None = None) -> Tensor:
        """``x`` [N, 3, h, w] with what one scale adds to it, of noise ``z`` if there is some."""

    def sizes_of(self, H: int, W: int) -> list[tuple[int, int]]:
        """The scales of a sample of H x W px, as far as G is trained."""
        rows, columns = H / self.sizes[-1][0], W / self.sizes[-1][1]
        return [(max(1, round(h * rows)), max(1, round(w * columns))) for h, w in self.sizes[: self.current + 1]]

    def draw(self, n: int, sizes: Sequence[tuple[int, int]]) -> list[Tensor]:
        """Noise [n, 3, h, w] for each of ``sizes``, from the global stream."""
        return [torch.randn(n, 3, h, w, device=self.fixed.device) for h, w in sizes]

    def reconstruction(self, upto: int) -> Tensor:
        """The image of z* and no other noise, after the scale ``upto``: [1, 3, h, w]."""
        silent = [torch.zeros(1, 3, h, w, device=self.fixed.device) for h, w in self.sizes[1 : upto + 1]]
        return self.image([self.fixed, *silent])


class PyramidDiscriminator(Pyramid, Discriminator):
    """D of one image, that judges the patches of the current scale."""


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

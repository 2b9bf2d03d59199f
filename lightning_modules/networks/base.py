"""What a family may ask of a network: the base types that YAML files name and families import."""

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn

from lightning_modules.networks.latents import Gaussian, Latent


class Network(nn.Module, ABC):
    """Any network that an experiment can name. A base type of our own keeps the command line's help short."""


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


class Discriminator(Network):
    """D(x, y) -> logits, [N] or patches [N, h, w]; a critic's score where the loss is Wasserstein's."""

    blocks: nn.Sequential  # from the image to the head; Freeze-D (Mo et al. 2020) holds the first of them still

    @abstractmethod
    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Judge ``x`` [N, C, H, W] (or points [N, d]) under the condition ``y``."""


class Upscaler(Network):
    """y, scale -> x: a small image [N, C, h, w] in [0, 1] to one ``scale`` times as large.

    Attributes:
        scales: those that it knows; None is any.
    """

    scales: tuple[int, ...] | None = None

    @abstractmethod
    def forward(self, y: Tensor, scale: int) -> Tensor:
        """Map ``y`` [N, C, h, w] to [N, C, h scale, w scale]."""


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

"""What is said of a generator's first image, for its second one: the encoder's code, or D's scores by place.

Neither is differentiated: the first image is judged by itself, and should not become a message to the second pass.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from lightning_modules.networks.base import Discriminator, FeedbackGenerator, LatentEncoder


class Feedback(ABC):
    """Says something of an image."""

    @abstractmethod
    def channels(self, G: FeedbackGenerator) -> int:
        """Of what is said of an image of ``G``."""

    @abstractmethod
    def __call__(self, x: Tensor, z: Tensor, E: LatentEncoder, D: Discriminator, y: Tensor | None) -> Tensor:
        """Maps [N, channels, h, w] on the images ``x`` [N, C, H, W] of ``z`` [N, z_dim] and ``y``."""


class Code(Feedback):
    """E's code of the image, and how far it is from z: one vector for all places, [N, 2 z_dim, 1, 1].

    Not G(E(G(z))), though that needs no new weights: the better E inverts G, the more it is G(z) again.
    """

    def channels(self, G: FeedbackGenerator) -> int:
        """Twice those of z."""
        return 2 * G.z_dim

    @torch.no_grad()
    def __call__(self, x: Tensor, z: Tensor, E: LatentEncoder, D: Discriminator, y: Tensor | None) -> Tensor:
        """E(x) and E(x) - z."""
        code = E(x)
        return torch.cat([code, code - z], dim=1)[:, :, None, None]


class SpatialScores(Feedback):
    """The image, and D's verdict on each of its places (Huh et al. 2019): [N, C + 1, H, W].

    A verdict is 2 sigma(logit) - 1, as logits grow with training.
    """

    def channels(self, G: FeedbackGenerator) -> int:
        """One more than the image has."""
        return G.out_shape[0] + 1

    @torch.no_grad()
    def __call__(self, x: Tensor, z: Tensor, E: LatentEncoder, D: Discriminator, y: Tensor | None) -> Tensor:
        """x, and D(x, y) at its size.

        Raises:
            ValueError: D has one logit for all places.
        """
        logits = D(x, y)
        if logits.ndim != 3:
            raise ValueError("SpatialScores: this discriminator has no logit for each place, choose one that has")
        verdict = torch.tanh(logits.float() / 2)[:, None].to(x.dtype)
        return torch.cat([x, interpolate(verdict, x.shape[-2:])], dim=1)

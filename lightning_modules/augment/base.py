"""Differentiable augmentations of D's inputs: what a family asks of one, and how pixels are moved.

Reals and fakes both go through one before D sees them, G's gradient comes back through it, and it may be differentiated
twice, since a gradient penalty is (Zhao et al. 2020, section 3.3; Karras et al. 2020, figure 2b). Each image draws for
itself; a whole batch is changed at once. Randomness comes from the global stream of the images' device.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.amp.autocast_mode import is_autocast_available


class Augmentation(nn.Module, ABC):
    """A random change of images [N, C, H, W] in [-1, 1], of any strength."""

    @abstractmethod
    def change(self, x: Tensor) -> Tensor:
        """``x`` [N, C, H, W], each image changed in its own way: same shape and type."""

    def forward(self, x: Tensor) -> Tensor:
        """``change``, in full precision: autocast would round its coordinates and matrices.

        Raises:
            ValueError: ``x`` is no batch of images.
        """
        if x.ndim != 4:
            raise ValueError(f"{type(self).__name__} changes images, the data are {x.ndim - 1}-dimensional: remove it")
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        if not is_autocast_available(x.device.type):
            return self.change(x)
        with torch.autocast(x.device.type, enabled=False):
            return self.change(x)

    def anneal(self, share: float) -> None:
        """Strike images with a ``share`` of the probability that was given.

        Raises:
            ValueError: none was given.
        """
        if share != 1:
            raise ValueError(
                f"{type(self).__name__} has no probability that could be annealed: choose Pipeline, or set "
                "annealing.augment to [1, 1]"
            )

    def observe(self, real_logits: Tensor, images: int) -> None:
        """Hear D's logits of ``images`` augmented reals, once for every (micro-)batch that it learns from."""

    def adapt(self, step: int) -> dict[str, Tensor]:
        """Follow what was heard after D's step number ``step`` (from 1); returns what is worth a chart."""
        return {}


class PseudoReals(nn.Module, ABC):
    """Shows D some fakes as reals."""

    @abstractmethod
    def forward(self, x: Tensor, fake: Tensor) -> Tensor:
        """Reals ``x`` and as many ``fake`` [N, ...] of the same labels to what D is shown as reals."""

    @abstractmethod
    def observe(self, real_logits: Tensor, images: int) -> None:
        """As in ``Augmentation``."""

    @abstractmethod
    def adapt(self, step: int) -> dict[str, Tensor]:
        """As in ``Augmentation``."""


class Unchanged(Augmentation):
    """No augmentation, of whatever data."""

    def change(self, x: Tensor) -> Tensor:
        """``x`` itself."""
        return x

    def forward(self, x: Tensor) -> Tensor:
        """``x`` itself, points too."""
        return x

    def anneal(self, share: float) -> None:
        """Go on without."""


def move_pixels(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The pixels of ``x`` [N, C, H, W] at ``rows`` and ``columns``, int64 [N, h, w] inside the image: [N, C, h, w]."""
    N, C, _, W = x.shape
    place = (rows * W + columns).flatten(1)
    return x.flatten(2).gather(2, place[:, None].expand(N, C, -1)).unflatten(2, rows.shape[1:])


def pixel_grid(x: Tensor) -> tuple[Tensor, Tensor]:
    """Row [1, H, 1] and column [1, 1, W] of every pixel of ``x`` [N, C, H, W], int64."""
    H, W = x.shape[2:]
    return torch.arange(H, device=x.device)[None, :, None], torch.arange(W, device=x.device)[None, None, :]


def per_image(values: Tensor) -> Tensor:
    """``values`` [N] as [N, 1, 1, 1], to meet images."""
    return values[:, None, None, None]

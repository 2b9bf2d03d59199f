"""DiffAugment (Zhao et al. 2020, section 3.3): colour, translation and cutout before D, always and in full strength.

Strengths are those of its appendix: brightness by up to 0.5 in [-1, 1], saturation by up to 2, contrast by 0.5 to 1.5,
translation by up to an eighth of a side, a cut-out square of half a side. What is moved in or cut out is 0, mid-grey.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_modules.augment.base import Augmentation, move_pixels, per_image, pixel_grid


class Operation(ABC):
    """One part of a policy."""

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """``x`` [N, C, H, W], each image changed in its own way."""


class Brightness(Operation):
    """x + b, b ~ U(-strength, strength).

    Args:
        strength: largest change, in units of x.
    """

    def __init__(self, strength: float = 0.5) -> None:
        self.strength = strength

    def __call__(self, x: Tensor) -> Tensor:
        """As in the class."""
        return x + self.strength * (2 * uniform(x) - 1)


class Saturation(Operation):
    """Distances from each pixel's mean over channels times s ~ U(0, most); nothing of a grey image.

    Args:
        most: largest factor.
    """

    def __init__(self, most: float = 2.0) -> None:
        self.most = most

    def __call__(self, x: Tensor) -> Tensor:
        """As in the class."""
        grey = x.mean(1, keepdim=True)
        return grey + (x - grey) * self.most * uniform(x)


class Contrast(Operation):
    """Distances from the image's mean times c ~ U(1 - strength, 1 + strength).

    Args:
        strength: largest change of the factor.
    """

    def __init__(self, strength: float = 0.5) -> None:
        self.strength = strength

    def __call__(self, x: Tensor) -> Tensor:
        """As in the class."""
        mean = x.mean((1, 2, 3), keepdim=True)
        return mean + (x - mean) * (1 + self.strength * (2 * uniform(x) - 1))


class Colour(Operation):
    """Brightness, saturation and contrast, one after the other: the paper's "color"."""

    def __init__(self) -> None:
        self.parts = (Brightness(), Saturation(), Contrast())

    def __call__(self, x: Tensor) -> Tensor:
        """As in the class."""
        for part in self.parts:
            x = part(x)
        return x


class Translation(Operation):
    """Moved by whole pixels, uniformly many in either direction along each axis; what comes in is 0.

    Args:
        share: of the side, the farthest.
    """

    def __init__(self, share: float = 0.125) -> None:
        if not 0 <= share < 1:
            raise ValueError(f"Translation: share is one of the side, in [0, 1), got {share}")
        self.share = share

    def __call__(self, x: Tensor) -> Tensor:
        """As in the class."""
        H, W = x.shape[2:]
        row, column = pixel_grid(x)
        rows, columns = row - self.draw(x, H), column - self.draw(x, W)
        inside = ((rows >= 0) & (rows < H)) & ((columns >= 0) & (columns < W))
        rows, columns = torch.broadcast_tensors(rows.clamp(0, H - 1), columns.clamp(0, W - 1))
        return move_pixels(x, rows, columns) * inside[:, None]

    def draw(self, x: Tensor, side: int) -> Tensor:
        """Pixels to move by, int64 [N, 1, 1]."""
        most = int(side * self.share + 0.5)
        return torch.randint(-most, most + 1, (len(x), 1, 1), device=x.device)


class Cutout(Operation):
    """A square of 0s, its centre any pixel; near the border only a part of it lies inside.

    Args:
        share: of the image's sides, the square's.
    """

    def __init__(self, share: float = 0.5) -> None:
        if not 0 <= share <= 1:
            raise ValueError(f"Cutout: share is one of the side, in [0, 1], got {share}")
        self.share = share

    def __call__(self, x: Tensor) -> Tensor:
        """As in the class."""
        row, column = pixel_grid(x)
        cut = self.cut(x, row, x.shape[2]) & self.cut(x, column, x.shape[3])
        return x * ~cut[:, None]

    def cut(self, x: Tensor, place: Tensor, side: int) -> Tensor:
        """Which ``place`` along one axis lies in the square: bool [N, ...]."""
        size = int(side * self.share + 0.5)
        start = torch.randint(side + 1 - size % 2, (len(x), 1, 1), device=x.device) - size // 2
        return (place >= start) & (place < start + size)


class DiffAugment(Augmentation):
    """The operations of ``policy``, one after the other.

    Args:
        policy: colour, translation and cutout unless given, as for few data; the StyleGAN2 of all of CIFAR-10 has
            colour and cutout.
    """

    def __init__(self, policy: Sequence[Operation] | None = None) -> None:
        super().__init__()
        self.policy = [Colour(), Translation(), Cutout()] if policy is None else list(policy)

    def change(self, x: Tensor) -> Tensor:
        """``x`` [N, C, H, W] after all of the policy."""
        for operation in self.policy:
            x = operation(x)
        return x


def uniform(x: Tensor) -> Tensor:
    """A number of U[0, 1) for each image of ``x``: [N, 1, 1, 1]."""
    return per_image(torch.rand(len(x), device=x.device, dtype=x.dtype))

"""What is seen of an image through a known damage: applied to a network's image before a loss compares it with y.

Inverse problems without training pairs: min over weights of l(A(f(z)), y), where A is one of these. Each is
differentiable, and the same operation by which y came about, or close to it.
"""

from abc import ABC, abstractmethod

from torch import Tensor

from datamodules.functional.lanczos import shrink_by


class Observation(ABC):
    """A: an image to what is seen of it.

    Attributes:
        parts: how many tensors of the batch after x and y it is given.
    """

    parts = 0

    @abstractmethod
    def __call__(self, image: Tensor, *parts: Tensor) -> Tensor:
        """What is seen of ``image`` [N, C, H, W]: of y's shape."""


class Whole(Observation):
    """All of it: y is the image and noise."""

    def __call__(self, image: Tensor, *parts: Tensor) -> Tensor:
        """``image`` itself."""
        return image


class Shrunk(Observation):
    """The image shrunk by Lanczos's kernel of two lobes.

    Args:
        factor: how many times as large as y the image is.
    """

    def __init__(self, factor: int = 4) -> None:
        if factor < 1:
            raise ValueError(f"Shrunk: factor must be 1 or more, got {factor}")
        self.factor = factor

    def __call__(self, image: Tensor, *parts: Tensor) -> Tensor:
        """``image`` [N, C, H, W] to [N, C, H / factor, W / factor]."""
        return shrink_by(image, self.factor)


class Known(Observation):
    """The pixels outside the batch's hole; those inside are 0, as they are in y."""

    parts = 1

    def __call__(self, image: Tensor, *parts: Tensor) -> Tensor:
        """``image`` [N, C, H, W] where the one of ``parts``, bool [N, 1, H, W], is False."""
        (hole,) = parts
        return image * ~hole

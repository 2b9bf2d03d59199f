"""What a score may ask of the network that looks at the images for it."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn


class Features(NamedTuple):
    """One forward pass of an extractor, which all metrics of an evaluation share."""

    features: Tensor  # [N, dim]
    logits: Tensor | None  # [N, num_classes]; None where the extractor knows no classes


def spell(shape: Sequence[int]) -> str:
    """A sample's shape in words: (1, 28, 28) is "gray 28x28"."""
    if len(shape) != 3:
        return f"points of dimension {'x'.join(map(str, shape))}"
    colour = {1: "gray", 3: "RGB"}.get(shape[0], f"{shape[0]}-channel")
    return f"{colour} {shape[1]}x{shape[2]}"


class Extractor(nn.Module, ABC):
    """uint8 images [N, C, H, W] to features and logits. It never trains, and brings images to its size itself.

    Attributes:
        name: what scores are named after.
        sha256: of the weights file; None without weights.
        dim: width of the features.
        num_classes: width of the logits; None without.
        precision: of the forward pass.
        own_classes: whether its classes are those of the data, so that their shares say something.
    """

    name: str
    sha256: str | None = None
    dim: int
    num_classes: int | None = None
    precision: str = "float32"
    own_classes: bool = False
    anchor: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("anchor", torch.empty(0), persistent=False)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.anchor.device

    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode: an extractor is the same for every image, whoever holds it."""
        return super().train(False)

    @abstractmethod
    def fit(self, shape: Sequence[int]) -> str:
        """Say how images of ``shape`` (C, H, W) are brought to size ("none" where they fit as they are).

        Raises:
            ValueError: if they do not fit this extractor.
        """

    @abstractmethod
    def extract(self, image: Tensor) -> Features:
        """Look at ``image`` [N, C, H, W], which fits."""

    @torch.no_grad()
    def forward(self, image: Tensor) -> Features:
        """Features [N, dim] and logits [N, num_classes] of uint8 ``image`` [N, C, H, W].

        Runs outside autocast, its convolutions without TF32: rounded features shift every score.

        Raises:
            ValueError: if ``image`` is no uint8 or does not fit.
        """
        self.fit(image.shape[1:])
        if image.dtype != torch.uint8:
            raise ValueError(
                f"The extractor {self.name} reads uint8 images, these are {image.dtype}: quantise them "
                "with datamodules.functional.quantise.to_uint8."
            )
        with _full_precision(image.device):
            return self.extract(image)


@contextmanager
def _full_precision(device: torch.device) -> Iterator[None]:
    cudnn = torch.backends.cudnn
    with torch.autocast(device.type, enabled=False):
        if device.type != "cuda":
            yield
            return
        with cudnn.flags(enabled=True, deterministic=cudnn.deterministic, allow_tf32=False):
            yield

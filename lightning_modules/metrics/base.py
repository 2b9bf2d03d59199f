"""What an evaluation is made of: a network that looks at the samples once, and the metrics that share what it saw."""

import hashlib
import typing
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Flag, auto
from types import MappingProxyType
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from datamodules.functional.precision import full_precision
from lightning_modules.metrics.cache import Tensors
from lightning_modules.metrics.protocol import Plain


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


class Images(typing.Protocol):
    """What an evaluation asks of a set of samples (``datamodules.base.ImageSet``): uint8 images, or float points."""

    @property
    def name(self) -> str: ...
    @property
    def split(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    def __len__(self) -> int: ...
    def __getitem__(self, part: slice, /) -> Tensor: ...


@typing.runtime_checkable
class LabelledImages(typing.Protocol):
    """What ``Images`` have besides where their classes are known."""

    @property
    def labels(self) -> Tensor: ...  # int64 [N]


def labels_of(images: Images) -> Tensor:
    """int64 [N]; [0] where ``images`` have none."""
    return images.labels if isinstance(images, LabelledImages) else torch.empty(0, dtype=torch.int64)


def hash_of_labels(images: Images) -> str:
    """What a statistic of classes hangs on besides the images' bytes."""
    return hashlib.sha256(labels_of(images).cpu().numpy().tobytes()).hexdigest()


def number_of_classes(images: Images) -> int:
    """How many classes the labels of ``images`` tell apart; 0 where there are none."""
    labels = labels_of(images)
    return int(labels.max()) + 1 if len(labels) else 0


# --- the network that looks ---------------------------------------------------------------------------------


class Needs(Flag):
    """What a metric asks of the extractor; the samples and their numbers it gets anyway."""

    FEATURES = auto()
    LOGITS = auto()
    CLASSES = auto()  # logits of the data's own classes


class Extractor(nn.Module, ABC):
    """uint8 images [N, C, H, W] to features and logits. It never trains, and brings images to its size itself.

    Attributes:
        name: what scores are named after.
        sha256: of the weights file; None without weights.
        dim: width of the features.
        num_classes: width of the logits; None without.
        precision: of the forward pass.
        own_classes: whether its classes are those of the data, so that their shares say something.
        facts: what it is besides its name, its weights and its code, where it has a say in that.
    """

    name: str
    sha256: str | None = None
    dim: int
    num_classes: int | None = None
    precision: str = "float32"
    own_classes: bool = False
    facts: Mapping[str, Plain] = MappingProxyType({})
    anchor: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("anchor", torch.empty(0), persistent=False)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.anchor.device

    @property
    def is_told_apart(self) -> bool:
        """Whether name, hash, ``facts`` and code say all that it is: what it saw may then be remembered on the disk."""
        return self.sha256 is not None

    @property
    def offers(self) -> Needs:
        """What metrics may ask of it."""
        if self.num_classes is None:
            return Needs.FEATURES
        return Needs.FEATURES | Needs.LOGITS | (Needs.CLASSES if self.own_classes else Needs(0))

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
        """Features [N, dim] and logits [N, num_classes] of uint8 ``image`` [N, C, H, W], or of float points [N, d].

        Raises:
            ValueError: if ``image`` does not fit, or is neither.
        """
        self.fit(image.shape[1:])
        if image.ndim > 2 and image.dtype != torch.uint8:
            raise ValueError(
                f"The extractor {self.name} reads uint8 images, these are {image.dtype}: quantise them "
                "with datamodules.functional.quantise.to_uint8."
            )
        with full_precision(image.device):
            return self.extract(image)


# --- the metrics that share what it saw ---------------------------------------------------------------------


@dataclass(frozen=True)
class Look:
    """Some samples and what the extractor saw in them. What no metric of the evaluation needs has width 0."""

    samples: Tensor  # uint8 images [N, C, H, W], or float points [N, d]
    index: Tensor  # int64 [N], their numbers among all samples of the evaluation
    features: Tensor  # [N, dim]
    logits: Tensor  # [N, num_classes]
    labels: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))  # [N], or [0] where unknown


@dataclass(frozen=True)
class Setting:
    """What a metric is told before it looks."""

    shape: tuple[int, ...]  # of one sample
    dim: int  # of the features
    num_classes: int  # of the logits, 0 where there are none
    count: int  # samples that will come, over all ranks
    reference: Mapping[str, Tensors]  # by kind, the statistics that the metric asked for
    classes: int = 0  # that the reference's labels tell apart, 0 where there are none


class Accumulator(Metric, ABC):
    """Sees every sample of a stream once, some on each rank, in any order and in batches of any size.

    One life is: made (by a YAML), cloned for one evaluation, ``begin``, ``update`` as often as there are batches,
    ``compute`` on all ranks.

    Attributes:
        needs: what it asks of the extractor; nothing where it works on the samples themselves.
        labelled: whether it asks for the class of each sample.
    """

    is_differentiable = False
    full_state_update = False
    needs: Needs = Needs(0)
    labelled: bool = False

    def __init__(self) -> None:
        super().__init__()  # none of the many settings of its base is for a YAML to change

    @abstractmethod
    def begin(self, setting: Setting) -> None:
        """Make room: the states that depend on what will come.

        Raises:
            ValueError: if nothing can be measured there.
        """

    @abstractmethod
    def update(self, look: Look) -> None:
        """Take some samples in."""

    @abstractmethod
    def compute(self) -> Tensors:
        """What came out, over all ranks and the same on each."""


class Statistic(Accumulator):
    """What a metric must know of the reference. Computed in one pass for all metrics, then cached.

    Attributes:
        kind: names it. Statistics of one kind are equal, and computed once.
        size: bytes that ``compute`` gives, known after ``begin``; small where nothing is said.
    """

    kind: str
    size: int = 0


class EvaluationMetric(Accumulator):
    """One or more scores of the samples of a generator: a class that an experiment may name in ``evaluation.metrics``.

    Attributes:
        names: of its scores, the keys of what ``compute`` gives.
        fewest: images on each side that it needs.
    """

    names: tuple[str, ...]
    fewest: int = 2

    @property
    def fields(self) -> dict[str, Plain]:
        """What its scores hang on, for the protocol: a field of ``Protocol``, or any name of the metric's own."""
        return {}

    def check(self, shape: Sequence[int]) -> None:
        """See that it measures samples of ``shape``, (C, H, W) or (d,): before anything is trained or drawn.

        Raises:
            ValueError: if not.
        """

    def statistics(self) -> Sequence[Statistic]:
        """What it must know of the reference; comes back in ``Setting.reference``, by kind."""
        return ()

    def picture(self, reference: Images, count: int) -> Tensor | None:
        """Something to look at beside the scores, uint8 [rows, columns, C, H, W]; None where there is nothing.

        Args:
            reference: its images.
            count: the first so many are compared with; mirror images, where they count too, are numbered from there.
        """
        return None

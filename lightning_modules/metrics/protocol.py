"""How a score was measured, down to what the number hangs on. Scores of different protocols never share a column.

Standard library alone, so that tables and comparisons need no torch.
"""

import hashlib
import json
from dataclasses import asdict, dataclass

Plain = str | int | float | bool | None
QUANTISATION = "uint8: clamp, round half to even"  # datamodules/functional/quantise.py
INCEPTION = "inception"


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """The protocol of one evaluation; None where a field says nothing about it.

    Raises:
        ValueError: for counts that no score can be measured with.
    """

    data: str
    data_sha256: str  # of the reference images
    resolution: str  # of the images: "1x32x32"
    resize: str  # how the extractor brings them to its size
    extractor: str
    extractor_sha256: str | None  # of its weights file
    reference_split: str
    reference_count: int  # the first so many of the split
    reference_mirror: bool = False  # whether their mirror images count too
    fakes: int
    labels: str = "none"  # how classes are drawn: "none" or "uniform"
    quantisation: str = QUANTISATION
    weights: str = "ema"  # or "raw"
    batch_norm: str = "running"  # statistics that G's batch normalisation uses
    precision: str = "float32"  # of the extractor
    truncation: float | None = None
    is_splits: int | None = None
    kid_subsets: int | None = None
    kid_subset_size: int | None = None
    neighbours: int | None = None  # k of precision, recall, density, coverage
    checkpoint: str = "last"  # or "best by ..."
    seed: int = 0
    block: int = 100  # fakes drawn under one key of (seed, block)
    floor_split: str | None = None  # whose first `floor_count` images, scored as fakes, are the floor
    floor_count: int | None = None

    def __post_init__(self) -> None:
        if self.fakes < 2 or self.reference_count < 2:
            raise ValueError(
                f"A score needs at least two images on each side, here are {self.fakes} fakes (evaluation.fakes) "
                f"and {self.reference_count} real ones."
            )
        if self.is_splits is not None and not 1 <= self.is_splits <= min(self.fakes, self.floor_count or self.fakes):
            raise ValueError(
                f"An Inception score needs at least one image a split: evaluation.is_splits is {self.is_splits}, "
                f"fakes are {self.fakes}, images for the floor {self.floor_count}."
            )

    def as_dict(self) -> dict[str, Plain]:
        """The fields as plain values, for JSON and checkpoints; ``Protocol(**fields)`` is the way back."""
        return asdict(self)

    def key(self) -> str:
        """A short hash, equal for equal protocols only."""
        return digest(self.as_dict())[:12]

    def difference(self, other: "Protocol") -> dict[str, tuple[Plain, Plain]]:
        """The fields in which the two differ: (this, other)."""
        mine, others = self.as_dict(), other.as_dict()
        return {name: (mine[name], others[name]) for name in mine if mine[name] != others[name]}


def digest(fields: dict[str, Plain]) -> str:
    """sha256 of plain fields, whatever their order."""
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def metric_name(metric: str, extractor: str) -> str:
    """``fid`` with Inception, which the world means by the bare name; ``fid@digits-cnn`` with any other."""
    return metric if extractor == INCEPTION else f"{metric}@{extractor}"

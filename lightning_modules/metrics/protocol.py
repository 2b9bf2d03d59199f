"""How a score was measured, down to what the number hangs on. Scores of different protocols never share a column.

Standard library alone, so that tables and comparisons need no torch.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields

Plain = str | int | float | bool | None
QUANTISATION = "uint8: clamp, round half to even"  # datamodules/functional/quantise.py
INCEPTION = "inception"

# What one metric's scores alone hang on. Metrics that are not here spell theirs out in `settings`.
PRECISION_RECALL, DENSITY_COVERAGE = ("neighbours",), ("coverage_neighbours",)
OWN_FIELDS = {
    "fid": (),
    **dict.fromkeys(("is", "is_std"), ("is_splits", "is_shuffle")),
    **dict.fromkeys(("kid", "kid_std"), ("kid_subsets", "kid_subset_size", "kid_seed")),
    **dict.fromkeys(("precision", "recall"), PRECISION_RECALL),
    **dict.fromkeys(("density", "coverage"), DENSITY_COVERAGE),
    **dict.fromkeys(("confident", "class_min", "class_max"), ()),
    **dict.fromkeys(("asked", "asked_min", "intra_fid"), ()),
    **dict.fromkeys(("nn_p05", "nn_median", "nn_p95", "nn_ratio"), ()),
}
OF_SAMPLES = ("swd", "spectrum", "colour", "texture", "shape", "cas")  # scores of metrics that ask no extractor
OF_EXTRACTOR = ("resize", "extractor", "extractor_sha256", "precision")
FLOOR = ("floor_split", "floor_count")  # no score hangs on what it is compared with


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
    labels: str = "none"  # how classes are drawn: "none", "uniform" or "dataset"
    quantisation: str = QUANTISATION  # "none" for points
    weights: str = "ema"  # or "raw"
    batch_norm: str = "running"  # statistics that G's batch normalisation uses: or "batch", "standing"
    precision: str = "float32"  # of the extractor
    truncation: float | None = None
    is_splits: int | None = None
    is_shuffle: int | None = None  # seed of numpy's permutation before the split; None is the samples' own order
    kid_subsets: int | None = None
    kid_subset_size: int | None = None
    kid_seed: int | None = None  # of numpy's generator, which draws the subsets
    neighbours: int | None = None  # k of precision and recall
    coverage_neighbours: int | None = None  # k of density and coverage
    settings: str | None = None  # of metrics that have no fields here: "name=value, name=value"
    checkpoint: str | None = "last"  # or "best by ..."; None where there is none
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
                f"An Inception score needs at least one image a split: evaluation.is_splits is {self.is_splits}, and "
                f"there are {self._counts()}."
            )
        fewest = min(self.fakes, self.reference_count, self.floor_count or self.fakes)
        for name, needed in self._images_needed().items():
            if needed > fewest:
                raise ValueError(
                    f"{name} needs at least {needed} images on each side: there are {self._counts()}; lower it, take "
                    "more images, or leave the metric out."
                )

    def _counts(self) -> str:
        floor = "" if self.floor_count is None else f", and {self.floor_count} for the floor"
        return f"{self.fakes} fakes and {self.reference_count} real images{floor}"

    def _images_needed(self) -> dict[str, int]:
        return {
            "KID's subset_size": self.kid_subset_size or 0,
            "PRDC's neighbours": 1 + (self.neighbours or 0),
            "PRDC's coverage_neighbours": 1 + (self.coverage_neighbours or 0),
        }

    def as_dict(self) -> dict[str, Plain]:
        """The fields as plain values, for JSON and checkpoints; ``Protocol(**fields)`` is the way back."""
        return asdict(self)

    def key(self) -> str:
        """A short hash, equal for equal protocols only."""
        return digest(self.as_dict())[:12]

    def difference(self, other: "Protocol") -> dict[str, tuple[Plain, Plain]]:
        """The fields in which the two differ: (this, other)."""
        return difference(self.as_dict(), other.as_dict())


FIELDS = tuple(field.name for field in fields(Protocol))


def difference(
    a: Mapping[str, Plain], b: Mapping[str, Plain], among: Iterable[str] = FIELDS
) -> dict[str, tuple[Plain, Plain]]:
    """The fields of two protocols in which they differ, in the order of ``among``: (a's, b's)."""
    return {name: (a[name], b[name]) for name in among if a[name] != b[name]}


def matters(score: str) -> tuple[str, ...]:
    """The fields that the number of ``score`` (``fid``, or ``fid@digits-cnn``) hangs on.

    ``fid_first``, that of a family's other images, hangs on what ``fid`` does.
    """
    name = score.split("@")[0]
    known = [own for own in OWN_FIELDS if name == own or name.startswith(f"{own}_")]
    own = OWN_FIELDS[max(known, key=len)] if known else ("settings",)
    others = {"settings", *FLOOR}.union(*OWN_FIELDS.values()) - set(own)
    if any(name == alone or name.startswith(f"{alone}_") for alone in OF_SAMPLES):
        others.update(OF_EXTRACTOR)
    return tuple(field for field in FIELDS if field not in others)


def compare(a: Protocol, b: Protocol, score: str | None = None) -> None:
    """See that scores measured by ``a`` and by ``b`` may share a column.

    Args:
        a: one protocol.
        b: the other.
        score: the one score that is compared, ``fid`` or ``fid@digits-cnn``: settings of other metrics and the choice
            of a floor are then no matter. All of them count where None.

    Raises:
        ValueError: if they may not, with what differs.
    """
    among = FIELDS if score is None else matters(score)
    found = difference(a.as_dict(), b.as_dict(), among)
    if found:
        mine = ", ".join(f"{name} {value}" for name, (value, _) in found.items())
        others = ", ".join(f"{name} {value}" for name, (_, value) in found.items())
        raise ValueError(
            f"{score or 'These scores'} cannot be compared, the protocols differ: one has {mine}; the other has "
            f"{others}: measure both by the same protocol."
        )


def settings(stated: Iterable[Mapping[str, Plain]]) -> dict[str, Plain]:
    """Fields of a protocol from what each metric of an evaluation states; those it has no field for become one text.

    Raises:
        ValueError: if two metrics state the same.
    """
    known: dict[str, Plain] = {}
    others: dict[str, Plain] = {}
    for part in stated:
        for name, value in part.items():
            if name in known or name in others:
                raise ValueError(f"Two metrics of one evaluation both set {name}: evaluate them one after the other.")
            (known if name in FIELDS else others)[name] = value
    if others:
        known["settings"] = ", ".join(f"{name}={value}" for name, value in sorted(others.items()))
    return known


def digest(fields: Mapping[str, Plain]) -> str:
    """sha256 of plain fields, whatever their order."""
    return hashlib.sha256(json.dumps(dict(fields), sort_keys=True).encode()).hexdigest()


def metric_name(metric: str, extractor: str) -> str:
    """``fid`` with Inception, which the world means by the bare name; ``fid@digits-cnn`` with any other."""
    return metric if extractor == INCEPTION else f"{metric}@{extractor}"

"""The protocols behind published tables, and ours, as far as they are known.

A preset fixes some fields of ``Protocol``; what it leaves out is either a matter of the data or not known. To follow
one is to measure with its fields; ``departures`` then says what was measured otherwise. Standard library alone.

StudioGAN's (x + 1) / 2 * 255 + 0.5 and NVIDIA's x * 127.5 + 128, truncated, are one rule and ours but for exact halves,
which they round up and we to even: not told apart.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType

from lightning_modules.metrics.protocol import INCEPTION, OWN_FIELDS, QUANTISATION, Plain, Protocol

TF1_BILINEAR = "TensorFlow-1 bilinear to 299"
PIL_BILINEAR = "PIL bilinear to 299"
PIL_BICUBIC = "PIL bicubic to 299, antialiased, clamped, not quantised"
METRICS_OWN = frozenset[str]().union(*OWN_FIELDS.values())


@dataclass(frozen=True, kw_only=True)
class Preset:
    """One published way to measure.

    Attributes:
        name: its name on the command line.
        source: whose it is.
        fields: what it fixes of ``Protocol``.
        runs: evaluations with other seeds, whose mean is reported.
        remark: what no field says.
    """

    name: str
    source: str
    fields: Mapping[str, Plain]
    runs: int = 1
    remark: str = ""

    def departures(self, protocol: Protocol) -> dict[str, tuple[Plain, Plain]]:
        """The fields in which ``protocol`` is not as fixed here: (fixed, measured).

        ``resize`` may say more than is fixed: gray images are repeated to RGB besides. Where there are no labels, it
        is no matter how they are drawn. Settings of a metric that was not measured are none to depart from.
        """
        measured = protocol.as_dict()
        found = {
            name: (value, measured[name])
            for name, value in self.fields.items()
            if measured[name] != value and not (name in METRICS_OWN and measured[name] is None)
        }
        if protocol.labels == "none":
            found.pop("labels", None)
        if str(measured["resize"]).startswith(f"{self.fields.get('resize')},"):
            del found["resize"]
        return found


def _preset(name: str, source: str, runs: int = 1, remark: str = "", /, **fields: Plain) -> Preset:
    return Preset(name=name, source=source, runs=runs, remark=remark, fields=MappingProxyType(fields))


PRESETS = {
    preset.name: preset
    for preset in (
        _preset(
            "studiogan-v0.4",
            "StudioGAN's tables since version 0.4",
            1,
            "weights are averaged where the model has an average; StyleGANs have no batch norm to take statistics of, "
            "and over how many passes the others' stand is not told; the table reports the checkpoint of the best FID, "
            "looked for every 2,000 steps",
            extractor=INCEPTION,
            resize=PIL_BILINEAR,
            reference_split="train",
            reference_mirror=False,
            fakes=50_000,
            labels="uniform",
            quantisation=QUANTISATION,
            batch_norm="standing",
            is_splits=1,
            neighbours=5,
            coverage_neighbours=5,
            checkpoint="best by fid",
        ),
        _preset(
            "studiogan-v0.3",
            "StudioGAN's tables up to version 0.3",
            1,
            "the reference is the test split of 10,000 images: 2 to 4 FID above 50,000 of the training split; batch "
            "statistics are of the training's batch there, of a block of samples here",
            extractor=INCEPTION,
            reference_split="test",
            reference_count=10_000,
            reference_mirror=False,
            fakes=10_000,
            labels="uniform",
            quantisation=QUANTISATION,
            batch_norm="batch",
            checkpoint="best by fid",
        ),
        _preset(
            "mimicry",
            "mimicry's tables",
            3,
            "fakes are scaled by the least and the greatest value of their batch, which is not followed",
            extractor=INCEPTION,
            resize=TF1_BILINEAR,
            reference_split="train",
            reference_count=50_000,
            reference_mirror=False,
            fakes=50_000,
            quantisation="uint8: from each batch's least to its greatest value",
            weights="raw",
            batch_norm="running",
            is_splits=10,
            kid_subsets=10,
            kid_subset_size=5_000,
            checkpoint="last",
        ),
        _preset(
            "collections",
            "pytorch-gan-collections' table",
            1,
            "measured every 5,000 steps",
            extractor=INCEPTION,
            reference_split="train",
            reference_count=50_000,
            reference_mirror=False,
            fakes=50_000,
            labels="none",
            weights="raw",
            is_splits=10,
        ),
        _preset(
            "stylegan2-ada",
            "NVIDIA's fid50k_full, is50k and kid50k_full",
            1,
            "mirror images count in the reference of a training with --mirror=1; pr50k3 looks through VGG16, so that "
            "precision and recall are no part of this; the best of all snapshots is reported",
            extractor=INCEPTION,
            resize=TF1_BILINEAR,
            reference_split="train",
            reference_mirror=False,
            fakes=50_000,
            labels="dataset",
            quantisation=QUANTISATION,
            weights="ema",
            truncation=None,
            is_splits=10,
            kid_subsets=100,
            kid_subset_size=1_000,
            checkpoint="best by fid",
        ),
        _preset(
            "clean",
            "clean-fid's mode 'clean' (Parmar et al. 2022)",
            1,
            "counts and splits are the table's that uses it",
            extractor=INCEPTION,
            resize=PIL_BICUBIC,
            reference_mirror=False,
        ),
        _preset(
            "atelier",
            "this repository's, also for its own small extractors",
            1,
            "KID needs 1,000 images on each side: smaller data sets lower its subset_size",
            reference_split="train",
            reference_mirror=False,
            fakes=10_000,
            quantisation=QUANTISATION,
            batch_norm="running",
            is_splits=10,
            kid_subsets=100,
            kid_subset_size=1_000,
            neighbours=3,
            coverage_neighbours=5,
            checkpoint="last",
            seed=0,
        ),
    )
}


def find_preset(name: str) -> Preset:
    """The preset ``name``.

    Raises:
        ValueError: if there is none, with the nearest.
    """
    if name not in PRESETS:
        nearest = get_close_matches(name, PRESETS, n=1, cutoff=0.0)[0]
        raise ValueError(
            f"There is no protocol {name!r}, the nearest is {nearest!r}: choose one of {', '.join(PRESETS)}."
        )
    return PRESETS[name]

"""Laws of protocols: equal ones only share a column; presets say what they fix; torch is not needed for either."""

import ast
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lightning_modules.metrics import presets, protocol
from lightning_modules.metrics.conditional import AskedShare, IntraFrechetDistance
from lightning_modules.metrics.extractors import Identity
from lightning_modules.metrics.kid import KID
from lightning_modules.metrics.neighbours import NearestNeighbours
from lightning_modules.metrics.prdc import PRDC
from lightning_modules.metrics.presets import PRESETS, find_preset
from lightning_modules.metrics.protocol import FIELDS, OWN_FIELDS, Protocol, compare, matters, metric_name, settings
from lightning_modules.metrics.standard import NAMED, metrics_of, standard_metrics

PROTOCOL = Protocol(
    data="digits",
    data_sha256="ab",
    resolution="1x32x32",
    resize="none",
    extractor="digits-cnn",
    extractor_sha256="cd",
    reference_split="train",
    reference_count=1437,
    fakes=1000,
    is_splits=10,
)


# --- protocol -----------------------------------------------------------------------------------------------


def test_difference_names_the_fields() -> None:
    other = replace(PROTOCOL, fakes=5000, weights="raw")
    assert PROTOCOL.difference(other) == {"fakes": (1000, 5000), "weights": ("ema", "raw")}
    assert PROTOCOL.difference(replace(PROTOCOL)) == {}


def test_key_is_equal_for_equal_protocols_only() -> None:
    assert PROTOCOL.key() == Protocol(**PROTOCOL.as_dict()).key()  # type: ignore[arg-type]
    others = [replace(PROTOCOL, seed=1), replace(PROTOCOL, is_splits=1), replace(PROTOCOL, extractor_sha256="ce")]
    assert len({p.key() for p in (PROTOCOL, *others)}) == 4


def test_fields_are_plain() -> None:
    assert all(value is None or isinstance(value, str | int | float | bool) for value in PROTOCOL.as_dict().values())


def test_what_older_records_do_not_say_is_as_it_was_then() -> None:
    since = ("is_shuffle", "kid_seed", "coverage_neighbours", "settings")
    older = {name: value for name, value in PROTOCOL.as_dict().items() if name not in since}
    assert Protocol(**older) == PROTOCOL  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fakes": 1}, "evaluation.fakes"),
        ({"is_splits": 0}, "is_splits"),
        ({"is_splits": 1001}, "is_splits"),
        ({"kid_subset_size": 1001}, "KID's subset_size needs at least 1001 images"),
        ({"kid_subset_size": 900, "floor_count": 360}, "360 for the floor"),
        ({"neighbours": 1000}, "PRDC's neighbours"),
        ({"coverage_neighbours": 1000}, "PRDC's coverage_neighbours"),
    ],
)
def test_counts_that_measure_nothing_are_refused(change: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        replace(PROTOCOL, **change)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


def test_only_inception_gives_the_bare_name() -> None:
    assert metric_name("fid", "inception") == "fid"
    assert metric_name("fid", "digits-cnn") == "fid@digits-cnn"


# --- comparison ---------------------------------------------------------------------------------------------


def test_different_protocols_are_refused_with_both_shown() -> None:
    other = replace(PROTOCOL, fakes=5000, weights="raw")
    compare(PROTOCOL, replace(PROTOCOL))
    with pytest.raises(ValueError, match="one has fakes 1000, weights ema; the other has fakes 5000, weights raw"):
        compare(PROTOCOL, other)


@pytest.mark.parametrize(
    ("change", "scores"),
    [
        ({"is_splits": 1}, {"is", "is_std@digits-cnn", "is_first"}),
        ({"is_shuffle": 2020}, {"is"}),
        ({"kid_subsets": 10}, {"kid", "kid_std"}),
        ({"neighbours": 5}, {"precision", "recall@digits-cnn"}),
        ({"coverage_neighbours": 3}, {"density", "coverage"}),
        ({"kid_seed": 10}, {"kid", "kid_first@digits-cnn"}),
        ({"settings": "levels=3"}, {"swd"}),
        ({"floor_split": "test", "floor_count": 100}, set()),
        ({"seed": 1}, {"fid", "is", "kid", "precision", "density", "swd", "fid@digits-cnn", "nn_ratio"}),
        ({"resize": "other", "extractor": "identity"}, {"fid", "is", "kid", "precision", "density", "confident"}),
    ],
)
def test_a_score_hangs_on_its_own_settings_alone(change: dict[str, int], scores: set[str]) -> None:
    other = replace(PROTOCOL, **change)  # type: ignore[arg-type]
    for score in {"fid", "is", "kid", "precision", "density", "swd"} - {score.split("@")[0] for score in scores}:
        compare(PROTOCOL, other, score)
        compare(PROTOCOL, other, f"{score}_first")
    for score in scores:
        with pytest.raises(ValueError, match=f"^{score} cannot be compared"):
            compare(PROTOCOL, other, score)


def test_every_score_of_ours_hangs_on_what_its_metric_states() -> None:
    metrics = [*standard_metrics(Identity((1, 2, 3), 6)), KID(), PRDC(), NearestNeighbours()]
    metrics += [AskedShare(), IntraFrechetDistance()]
    for metric in metrics:
        stated = set().union(*(matters(name) for name in metric.names)) - set(matters("fid"))
        assert stated == metric.fields.keys()
    assert {name for metric in metrics for name in metric.names} == OWN_FIELDS.keys()


def test_scores_of_the_samples_alone_hang_on_no_extractor() -> None:
    for name, kind in NAMED.items():
        for score in kind().names:
            assert ("extractor" in matters(score)) == bool(kind.needs), name


def test_settings_without_a_field_become_one_text_and_none_is_said_twice() -> None:
    stated = [{"neighbours": 3}, {"patches": 128, "levels": None}]
    assert settings(stated) == {"neighbours": 3, "settings": "levels=None, patches=128"}
    assert settings([]) == {}
    for name in ("neighbours", "patches"):
        with pytest.raises(ValueError, match=f"both set {name}"):
            settings([*stated, {name: 4}])


# --- presets ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS.keys())
def test_a_preset_fixes_fields_that_there_are_and_its_metrics_keep_to_it(preset: presets.Preset) -> None:
    assert preset.fields.keys() <= set(FIELDS)
    extractor = Identity((1, 2, 3), 6)
    stated = settings(metric.fields for metric in metrics_of(preset, extractor))
    own = set().union(*OWN_FIELDS.values())
    assert {name: value for name, value in preset.fields.items() if name in own}.items() <= stated.items()


def test_facts_of_the_published_protocols() -> None:
    v4, v3 = PRESETS["studiogan-v0.4"].fields, PRESETS["studiogan-v0.3"].fields
    assert (v4["reference_split"], v4["fakes"], v4["is_splits"], v4["neighbours"]) == ("train", 50_000, 1, 5)
    assert (v3["reference_split"], v3["fakes"], v3["batch_norm"]) == ("test", 10_000, "batch")
    mimicry, ada = PRESETS["mimicry"].fields, PRESETS["stylegan2-ada"].fields
    assert (mimicry["kid_subsets"], mimicry["kid_subset_size"], PRESETS["mimicry"].runs) == (10, 5000, 3)
    assert (ada["kid_subsets"], ada["kid_subset_size"], ada["labels"]) == (100, 1000, "dataset")
    assert PRESETS["collections"].fields["is_splits"] == 10
    assert "bicubic" in str(PRESETS["clean"].fields["resize"])
    assert PRESETS.keys() == {"atelier", "studiogan-v0.4", "studiogan-v0.3", "mimicry", "collections"} | {
        "stylegan2-ada",
        "clean",
    }


def test_departures_name_what_was_measured_otherwise() -> None:
    fixed = dict(PRESETS["mimicry"].fields)
    followed = replace(PROTOCOL, **{**fixed, "reference_count": 50_000})  # type: ignore[arg-type]
    assert PRESETS["mimicry"].departures(followed) == {}
    gray = replace(followed, resize=f"{followed.resize}, gray repeated to RGB", weights="ema")
    assert PRESETS["mimicry"].departures(gray) == {"weights": ("raw", "ema")}
    other = replace(followed, resize="none")
    assert PRESETS["mimicry"].departures(other) == {"resize": (fixed["resize"], "none")}
    ada = PRESETS["stylegan2-ada"].departures
    assert "labels" not in ada(replace(followed, labels="none"))  # nothing is drawn
    assert ada(replace(followed, labels="uniform"))["labels"] == ("dataset", "uniform")


def test_an_unknown_preset_is_told_the_nearest() -> None:
    assert find_preset("clean") is PRESETS["clean"]
    with pytest.raises(ValueError, match=re.escape("the nearest is 'studiogan-v0.4'")):
        find_preset("studiogan-0.4")


def test_neither_needs_more_than_the_standard_library() -> None:
    for module in (protocol, presets):
        for node in ast.walk(ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                assert name.split(".")[0] in sys.stdlib_module_names or name == protocol.__name__, name

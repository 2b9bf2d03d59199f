"""``atelier evaluate RUN --protocol PRESET``: what the user says comes before the preset, and what departs is named."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import place
from noise_sets import own_cache
from test_evaluate_command import FID, evaluated, trained, value
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from lightning_modules.metrics.base import Extractor, Features
from lightning_modules.metrics.presets import METRICS_OWN, PRESETS, Preset
from lightning_modules.metrics.protocol import Protocol

__all__ = ["trained"]
pytestmark = pytest.mark.usefixtures(place.__name__, own_cache.__name__)


class Quadrants(Extractor):
    """Mean brightness of an image's quarters, as features and as logits."""

    name = f"{__name__}.Quadrants"
    dim = num_classes = 4

    def fit(self, shape: Sequence[int]) -> str:
        return "none"

    def extract(self, image: Tensor) -> Features:
        quarters = adaptive_avg_pool2d(image.float(), 2).flatten(1) / 32
        return Features(quarters, quarters)


FIXED = {"reference_split": "train", "fakes": 100, "seed": 0, "extractor": Quadrants.name, "is_splits": 4}
KID = '[{"class_path": "lightning_modules.metrics.kid.KID", "init_args": {"subsets": 3, "subset_size": 40}}]'


@pytest.fixture(autouse=True)
def _few(monkeypatch):
    fields = {**FIXED, "kid_subsets": 2, "kid_subset_size": 50}
    monkeypatch.setitem(PRESETS, "few", Preset(name="few", source="", fields=fields))


# --- what the user says -------------------------------------------------------------------------------------


def test_a_preset_comes_before_the_run(trained):
    report = evaluated(trained, "--protocol", "few")
    assert report["departures"] == {}
    assert {name: report["protocol"][name] for name in FIXED} == FIXED  # the run has 150 of seed 5 by identity


@pytest.mark.parametrize(
    "words",
    [
        ("--evaluation.fakes", 120, "--evaluation.seed", 3, "--evaluation.split", "test"),
        ("--evaluation.fakes=120", "--evaluation.seed=3", "--evaluation.split=test"),
        ("--evaluation", '{"fakes": 120, "seed": 3, "split": "test"}'),
        ("--config", "layer.yaml"),
        ("--config", "dotted.yaml", "--evaluation.seed", 3, "--split", "test", "--evaluation.split", "train"),
    ],
    ids=["options", "equals", "mapping", "layer", "mixture"],
)
def test_what_the_user_says_comes_before_the_preset_and_is_a_departure(trained, words):
    said = {"fakes": 120, "seed": 3, "split": "test"}
    Path("layer.yaml").write_text(json.dumps({"evaluation": said}))
    Path("dotted.yaml").write_text("evaluation.fakes: 120\n")
    report = evaluated(trained, "--protocol", "few", "--metrics", "fid", *words)
    stated = report["protocol"]
    assert (stated["fakes"], stated["seed"], stated["reference_split"]) == (120, 3, "test")
    assert report["departures"] == {"reference_split": ["train", "test"], "fakes": [100, 120], "seed": [0, 3]}
    assert report["seeds"] == [3]


def test_the_scores_are_those_of_what_was_said(trained):
    said = evaluated(trained, "--protocol", "few", "--metrics", "fid", "--evaluation.extractor", "identity")
    alone = evaluated(trained, "--metrics", "fid", "--fakes", 100, "--evaluation.seed", 0)
    assert said["departures"] == {"extractor": [Quadrants.name, "identity"]}
    assert value(said) == value(alone)
    assert set(said["scores"]) == {FID}


def test_an_option_of_the_command_comes_before_one_of_the_run(trained):
    words = ("--protocol", "few", "--metrics", "fid", "--evaluation.fakes", 120)
    assert evaluated(trained, *words, "--fakes", 110)["protocol"]["fakes"] == 110


def test_splits_that_are_said_and_metrics_that_are_said(trained):
    report = evaluated(trained, "--protocol", "few", "--evaluation.is_splits", 5)
    assert report["departures"] == {"is_splits": [4, 5]}
    assert {name.split("@")[0] for name in report["scores"]} == {"fid", "is", "is_std", "kid", "kid_std"}
    report = evaluated(trained, "--protocol", "few", "--evaluation.is_splits", 5, "--metrics", "is")
    assert report["departures"] == {"is_splits": [4, 5]}
    report = evaluated(trained, "--protocol", "few", "--evaluation.metrics", KID)
    assert {name.split("@")[0] for name in report["scores"]} == {"kid", "kid_std"}
    assert report["departures"] == {"kid_subsets": [2, 3], "kid_subset_size": [50, 40]}


def test_a_metric_that_no_preset_speaks_of_is_set_as_the_run_sets_it(trained):
    Path("run.yaml").write_text(json.dumps({"evaluation": {"metrics": json.loads(KID)}}))
    report = evaluated(
        trained, "--config", "run.yaml", "--protocol", "clean", "--metrics", "kid", "--extractor", "identity"
    )
    assert (report["protocol"]["kid_subsets"], report["protocol"]["kid_subset_size"]) == (3, 40)


def test_a_preset_says_how_much_of_the_reference_counts(trained, monkeypatch):
    few, whole = PRESETS["few"], evaluated(trained, "--protocol", "few", "--metrics", "fid")
    for count in (80, 10**6):
        monkeypatch.setitem(PRESETS, "few", replace(few, fields={**few.fields, "reference_count": count}))
        report = evaluated(trained, "--protocol", "few", "--metrics", "fid")
        there = whole["protocol"]["reference_count"]
        assert report["protocol"]["reference_count"] == min(count, there)
        assert report["departures"] == ({} if count < there else {"reference_count": [count, there]})
        name = next(iter(whole["scores"]))
        assert (value(report, name) == value(whole, name)) == (count > there)


# --- what departs -------------------------------------------------------------------------------------------


def test_departures_are_silent_on_metrics_that_nobody_asked_for(trained, capsys):
    words = ("--metrics", "fid", "--fakes", 100, "--ckpt", "last", "--extractor", "identity")
    for name in ("mimicry", "atelier", "studiogan-v0.4"):
        report = evaluated(trained, "--protocol", name, *words)
        assert not METRICS_OWN & report["departures"].keys()
        assert report["departures"]["fakes"][1] == 100
    said = capsys.readouterr().out
    assert "otherwise than" in said
    assert not any(f": {name} is" in said for name in METRICS_OWN)
    report = evaluated(trained, "--protocol", "few", "--metrics", "is,fid")
    assert report["departures"] == {}  # KID is fixed there and not measured


def test_settings_of_a_metric_depart_where_it_was_measured(trained):
    protocol = Protocol(**evaluated(trained, "--protocol", "few")["protocol"])
    few = PRESETS["few"]
    assert few.departures(replace(protocol, is_splits=2)) == {"is_splits": (4, 2)}
    assert few.departures(replace(protocol, is_splits=None)) == {}

"""Sweeps of Weights & Biases drive ``atelier fit`` as it is."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import ROOT, place

from experiments.cli import main

pytestmark = pytest.mark.usefixtures(place.__name__)
SWEEPS = sorted((ROOT / "experiments/sweeps").glob("*.yaml"))


def values(parameter: dict[str, Any]) -> list[Any]:
    return parameter.get("values") or [parameter["min"], parameter["max"]]


@pytest.mark.parametrize("file", SWEEPS, ids=[file.stem for file in SWEEPS])
def test_an_agent_types_what_a_person_would(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    sweep = yaml.safe_load(file.read_text())
    before, *words, after = sweep["command"]
    assert (before, words[0], after) == ("${env}", "atelier", "${args}")
    for end in (0, -1):
        chosen = {name: values(parameter)[end] for name, parameter in sweep["parameters"].items()}
        typed = [f"--{name}={value}" for name, value in chosen.items()]  # as W&B fills in ${args}
        assert main([*words[1:], *typed, "--print_config"]) == 0
        config = yaml.safe_load(capfd.readouterr().out)
        for name, value in chosen.items():
            found = config
            for part in name.split("."):
                found = found[part] if part in found else found["init_args"][part]
            assert float(found) == value
    score, extractor = sweep["metric"]["name"].split("@")
    assert (score, extractor) == ("val/fid", config["evaluation"]["extractor"])

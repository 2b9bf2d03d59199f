"""The experiments behind published tables, resolved: whatever changes a default of theirs shows up here.

After a change that is meant, ``python tests/test_benchmark_configs.py`` writes the snapshot anew; CHANGELOG names it.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml

from experiments import catalogue
from experiments.catalogue import DEFAULTS
from experiments.layers import read_layer
from experiments.lightning_cli import AtelierCLI

SNAPSHOT = Path(__file__).parent / "benchmark_configs.yaml"
PARTS = ("model", "data", "clock", "evaluation")
TABLES = ("collections", "mimicry")
NAMES = [name for name in catalogue.experiments() if any(f"_{table}_" in name for table in TABLES)]


def resolved(name: str) -> dict[str, Any]:
    file = catalogue.experiments()[name]
    config = AtelierCLI([(path.name, read_layer(path)) for path in (DEFAULTS, file)], []).resolved
    return {**{part: config[part] for part in PARTS}, "precision": config["trainer"]["precision"]}


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_is_what_it_was(name: str) -> None:
    assert resolved(name) == yaml.safe_load(SNAPSHOT.read_text())[name]


def test_the_snapshot_has_no_other() -> None:
    assert sorted(yaml.safe_load(SNAPSHOT.read_text())) == sorted(NAMES)
    assert len(NAMES) == 8


if __name__ == "__main__":
    SNAPSHOT.write_text(yaml.safe_dump({name: resolved(name) for name in NAMES}, sort_keys=True))

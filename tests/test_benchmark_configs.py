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
NAMES_OF_ALL = list(catalogue.experiments())
NAMES = [name for name in NAMES_OF_ALL if any(f"_{table}_" in name for table in TABLES)]


# Batch, D's steps for one of G's, Adam's betas, length of z, fakes in G's step for a real, how a ResNet's D pools.
PUBLISHED: dict[str, tuple[int, int, list[float], int, int, str | None]] = {
    "dcgan_collections": (128, 1, [0.5, 0.9], 100, 2, None),
    "wgan_collections": (128, 1, [0.0, 0.9], 100, 2, None),
    "wgangp_collections": (128, 1, [0.0, 0.9], 100, 2, None),
    "wgangp_resnet_collections": (64, 5, [0.0, 0.9], 128, 2, "sum"),
    "sngan_collections": (128, 1, [0.0, 0.9], 100, 2, None),
    "sngan_resnet_collections": (64, 5, [0.0, 0.9], 128, 2, "sum"),
    "wgangp_mimicry": (64, 5, [0.0, 0.9], 128, 1, "mean"),
    "sngan_mimicry": (64, 5, [0.0, 0.9], 128, 1, "sum"),
}


def resolved(name: str) -> dict[str, Any]:
    file = catalogue.experiments()[name]
    config = AtelierCLI([(path.name, read_layer(path)) for path in (DEFAULTS, file)], []).resolved
    return {**{part: config[part] for part in PARTS}, "precision": config["trainer"]["precision"]}


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_is_what_it_was(name: str) -> None:
    assert resolved(name) == yaml.safe_load(SNAPSHOT.read_text())[name]


@pytest.mark.parametrize("row", PUBLISHED)
def test_a_benchmark_is_what_was_published(row: str) -> None:
    config = resolved(f"gan/{row}_cifar32")
    model = config["model"]["init_args"]
    betas = [model[f"{player}_optimizer"]["init_args"]["betas"] for player in "dg"]
    assert betas[0] == betas[1]
    assert PUBLISHED[row] == (
        config["data"]["init_args"]["batch_size"],
        model["n_critic"],
        betas[0],
        model["generator"]["init_args"]["z_dim"],
        model["g_batch_factor"],
        model["discriminator"]["init_args"].get("pooling"),
    )


def test_the_snapshot_has_no_other() -> None:
    assert sorted(yaml.safe_load(SNAPSHOT.read_text())) == sorted(NAMES)
    assert len(NAMES) == 8


STUDIOGAN = [name for name in NAMES_OF_ALL if "_studiogan_" in name and not name.startswith("stylegan/")]


def parts(node: Any, kind: str) -> list[dict[str, Any]]:
    """The settings of every class of that name within ``node``."""
    if not isinstance(node, dict):
        return []
    own = [node["init_args"]] if str(node.get("class_path", "")).endswith(f".{kind}") else []
    return own + [found for value in node.values() for found in parts(value, kind)]


@pytest.mark.parametrize("name", STUDIOGAN)
def test_a_row_of_studiogans_is_its_code(name: str) -> None:
    """Its residual D has batch norm or spectral norm, and with the latter a ReLU in place before each shortcut; its
    conditional norms are drawn and leave the last one plain, its classifiers have no bias, its penalties no halves."""
    row = yaml.safe_load(catalogue.experiments()[name].read_text())
    model = row["model"]["init_args"]
    for D in parts(row, "ResNetDiscriminator"):
        assert D.get("batch_norm", False) != D.get("rectified_shortcut", False)
        assert D["spectral_norm"] == D.get("rectified_shortcut", False)
    for G in parts(row, "ClassNormGenerator"):
        assert G["init"]["class_path"].endswith(".Orthogonal")
        assert (G["last"], G.get("spectral_norm", False)) == (False, name == "conditional/sagan_studiogan_cifar32")
    for D in parts(row, "AuxiliaryDiscriminator"):
        assert D.get("bias", True) == (name == "conditional/mhgan_studiogan_cifar32")  # its logits are D's own
    assert row["trainer"]["precision"] == ("32-true" if "penalties" in model else "bf16-mixed")
    assert (model.get("steps", 1), model.get("evaluation_steps", 1)) == (1, 1)


if __name__ == "__main__":
    SNAPSHOT.write_text(yaml.safe_dump({name: resolved(name) for name in NAMES}, sort_keys=True))

"""Imports point one way (DESIGN 1), read from the source with ``ast``; no file is too long."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = ("datamodules", "experiments", "lightning_modules")
LEAF = "datamodules.functional"
TESTS = list(Path(__file__).parent.glob("*.py"))

# Layer (a folder, or ``family`` for the files of lightning_modules itself) to what of ours it may import.
MAY = {
    "datamodules.functional": ("datamodules.functional",),
    "datamodules": ("datamodules",),
    "lightning_modules.networks": ("lightning_modules.networks", LEAF),
    "lightning_modules.losses": ("lightning_modules.losses", LEAF),
    "lightning_modules.augment": ("lightning_modules.augment", LEAF),
    "lightning_modules.metrics": ("lightning_modules.metrics", "lightning_modules.networks", LEAF),
    "lightning_modules.callbacks": (
        *("lightning_modules.callbacks", "lightning_modules.metrics", "lightning_modules.[family]", LEAF),
        *("lightning_modules.networks.base", "lightning_modules.networks.sync_norm"),
    ),
    "lightning_modules.tools": (
        "lightning_modules.tools",
        "lightning_modules.networks.base",
        "lightning_modules.[family]",
        LEAF,
    ),
    "lightning_modules.[family]": (
        *("lightning_modules.[family]", "lightning_modules.losses", "lightning_modules.networks.base"),
        *("lightning_modules.augment.base", LEAF),
    ),
    "experiments": OURS,
}
# Layers that know no library but torch (and Python's own).
TORCH_ONLY = ("datamodules.functional", *(f"lightning_modules.{name}" for name in ("networks", "losses", "augment")))
NO_LIGHTNING = (*TORCH_ONLY, "lightning_modules.metrics")
LIBRARIES = (
    *("lightning", "torchvision", "torchmetrics", "torch_fidelity", "sklearn"),
    *("wandb", "PIL", "numpy", "jsonargparse"),
)


def files() -> Iterator[Path]:
    for package in OURS:
        yield from (ROOT / package).rglob("*.py")


def imported(source: str) -> Iterator[str]:
    """Every module that ``source`` names in an import, inside functions too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield ("." * node.level) + (node.module or "")
            if node.module in (*OURS, *MAY):  # `from lightning_modules import metrics` names a layer too
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layer(module: str) -> str:
    """The layer that a module of ours belongs to."""
    known = [name for name in MAY if module == name or module.startswith(f"{name}.")]
    if known:
        return max(known, key=len)
    return "lightning_modules.[family]" if module.startswith("lightning_modules.") else module


def offences(module: str, source: str) -> list[str]:
    """What ``module`` imports and may not."""
    own = layer(module)
    wrong = []
    for name in imported(source):
        head = name.split(".")[0]
        theirs = layer(name)
        allowed = any(theirs == may or name == may or name.startswith(f"{may}.") for may in MAY.get(own, ()))
        foreign = (own in TORCH_ONLY and head in LIBRARIES) or (own in NO_LIGHTNING and head == "lightning")
        if (head in OURS and not allowed) or name.startswith(".") or foreign:
            wrong.append(name)
    return wrong


def test_no_file_is_longer_than_three_hundred_lines():
    lengths = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in [*files(), *TESTS]}
    assert len(TESTS) > 100
    assert {str(file.relative_to(ROOT)): length for file, length in lengths.items() if length > 300} == {}


@pytest.mark.parametrize("file", sorted(files()), ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_point_one_way(file):
    module = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    assert offences(module, file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("lightning_modules.gan", "from lightning_modules.networks.dcgan import DCGANGenerator"),
        ("lightning_modules.gan", "from lightning_modules.callbacks.clock import Clock"),
        ("lightning_modules.gan", "import datamodules.digits"),
        ("lightning_modules.gan", "from experiments import cli"),
        ("lightning_modules.gan", "def f():\n    from lightning_modules.metrics.evaluate import evaluate"),
        ("lightning_modules.networks.dcgan", "import lightning"),
        ("lightning_modules.networks.dcgan", "from lightning_modules.losses.adversarial import Hinge"),
        ("lightning_modules.losses.penalties", "from torchvision import models"),
        ("lightning_modules.metrics.evaluate", "from lightning.pytorch import Callback"),
        ("lightning_modules.metrics.evaluate", "from lightning_modules.base import AtelierModule"),
        ("lightning_modules.callbacks.samples", "from datamodules.base import ImageDataModule"),
        ("datamodules.digits", "from lightning_modules.base import AtelierModule"),
        ("datamodules.functional.keys", "from datamodules.base import ImageSet"),
        ("lightning_modules.gan", "from .networks import dcgan"),
        ("lightning_modules.gan", "from lightning_modules import callbacks"),
    ],
)
def test_the_rules_bite(module, source):
    assert offences(module, source) != []

"""The key of a run: it changes with what the numbers hang on, and with nothing else."""

import copy
import json
import sys
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from command_line import fit, place

from experiments.cell_key import TRAINER, cell_key, settings
from experiments.layers import read_layer
from experiments.lightning_cli import AtelierCLI
from experiments.resume import MAY_CHANGE


@dataclass
class Averaging:
    """As it was."""

    half_life: float = 10.0


@dataclass
class AveragingLater:
    """With one more setting."""

    half_life: float = 10.0
    ramp_up: float | None = None


class Base:
    def __init__(self, n_critic: int = 1) -> None: ...


class Net(Base):
    """As it was."""

    def __init__(self, width: int = 64, ema: Averaging | None = None, **players: Any) -> None: ...


class BaseLater:
    def __init__(
        self, n_critic: int = 1, micro_batch: int | None = None, g_optimizer: Any = torch.optim.Adam
    ) -> None: ...


class NetLater(BaseLater):
    """With one more argument, its base with two more and its settings with one."""

    def __init__(
        self, width: int = 64, ema: AveragingLater | None = None, init: tuple[float, ...] = (0.0, 0.5), **players: Any
    ) -> None: ...


NetLater.__qualname__ = Net.__qualname__


def resolved(**arguments: Any) -> dict[str, Any]:
    """A configuration as ``AtelierCLI.resolved`` gives it: with all defaults spelt out."""
    spelt = {"width": 32, "ema": {"half_life": 5.0}, "n_critic": 1, "seed": 3, **arguments}
    return {
        "model": {"class_path": f"{__name__}.Net", "init_args": spelt},
        "data": {"class_path": "datamodules.digits.Digits", "init_args": {"batch_size": 32, "val_images": 64}},
        "trainer": dict.fromkeys(TRAINER) | {"sync_batchnorm": False, "overfit_batches": 0.0},
        "evaluation": {"fakes": 10},
    }


def changed(path: str, value: Any) -> dict[str, Any]:
    """The configuration with one value otherwise."""
    config = copy.deepcopy(resolved())
    *above, name = path.split(".")
    part = config
    for key in above:
        part = part.setdefault(key, {})
    part[name] = value
    return config


def test_an_argument_with_a_default_changes_no_key(monkeypatch):
    before = cell_key(resolved())
    monkeypatch.setattr(sys.modules[__name__], "Net", NetLater)
    adam = {"class_path": "torch.optim.Adam", "init_args": {"lr": 1e-3, "betas": [0.9, 0.999]}}
    later = {"init": [0, 0.5], "micro_batch": None, "g_optimizer": adam, "ema": {"half_life": 5.0, "ramp_up": None}}
    assert cell_key(resolved(**later)) == before
    assert cell_key(resolved(**later | {"micro_batch": 4})) != before
    assert cell_key(resolved(**later | {"ema": {"half_life": 5.0, "ramp_up": 0.1}})) != before
    faster = {**adam, "init_args": {"lr": 2e-3, "betas": [0.9, 0.999]}}
    assert cell_key(resolved(**later | {"g_optimizer": faster})) != before


def test_only_what_is_no_default_is_hashed():
    found = settings(resolved(width=64))
    assert found["model"] == {"class": f"{__name__}.Net", "ema": {"half_life": 5}, "seed": 3}
    assert found["trainer"] == {}
    assert cell_key(resolved(ema={"half_life": 5})) == cell_key(resolved(ema={"half_life": 5.0}))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("model.init_args.width", 33),
        ("model.init_args.n_critic", 2),
        ("model.init_args.ema", None),
        ("model.init_args.ema.half_life", 6),
        ("data.init_args.batch_size", 16),
        ("data.init_args.augment", [{"class_path": "datamodules.augment.HorizontalFlip"}]),
        ("data.class_path", "datamodules.mnist.MNIST"),
        ("trainer.precision", "bf16-mixed"),
        ("trainer.gradient_clip_val", 0.1),
    ],
)
def test_what_the_numbers_hang_on_changes_the_key(path, value):
    assert cell_key(changed(path, value)) != cell_key(resolved())


@pytest.mark.parametrize("path", [*(key for key in MAY_CHANGE if key != "trainer.precision"), "experiment", "runs_dir"])
def test_where_it_runs_how_long_and_how_it_is_looked_at_does_not(path):
    assert cell_key(changed(path, "something")) == cell_key(resolved())


@pytest.mark.parametrize(
    ("path", "value"), [("trainer.precision", "32-true"), ("trainer.max_epochs", 3), ("data.init_args.val_images", 9)]
)
def test_nor_do_other_words_for_the_same(path, value):
    assert cell_key(changed(path, value)) == cell_key(resolved())


@pytest.mark.usefixtures(place.__name__)
def test_a_run_records_its_key_and_the_length_that_was_asked_for():
    run = fit()
    stored = [json.loads((folder / "record.json").read_text()) for folder in (run, fit("--seed_everything", "1"))]
    other = json.loads((fit("--model.n_critic", "2") / "record.json").read_text())
    assert stored[0]["key"] == stored[1]["key"] != other["key"]
    assert stored[0]["clock"]["length"] == {"g_steps": 4}
    again = AtelierCLI([("config.yaml", read_layer(run / "config.yaml"))], ["--clock.g_steps", "9"])
    assert cell_key(again.resolved) == stored[0]["key"]

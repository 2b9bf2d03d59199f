"""Every YAML of the package: parsed whole, its networks built on the meta device, its header and its overlays read."""

import re
from pathlib import Path

import pytest
import torch
import yaml
from lightning.pytorch.strategies import DDPStrategy, Strategy

from experiments import catalogue
from experiments.catalogue import DEFAULTS
from experiments.cell_key import cell_key
from experiments.house import HOUSE, SCORES
from experiments.layers import read_layer
from experiments.lightning_cli import AtelierCLI, switch_off
from experiments.table_cells import read_keys

EXPERIMENTS = catalogue.experiments()
OVERLAYS = catalogue.overlays()
KEYS = read_keys()
TRAINED = [name for name, file in EXPERIMENTS.items() if read_layer(file)["clock"] is not None]
FIRST = {name.split("/")[0]: name for name in reversed(TRAINED)}.values()  # of each stem: overlays are for training


def parse(*files) -> AtelierCLI:
    return AtelierCLI([(file.name, read_layer(file)) for file in (DEFAULTS, *files)], [])


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_parses_is_measured_and_builds_and_has_a_length_if_it_has_weights(name):
    cli = parse(EXPERIMENTS[name])  # once: it takes longer than all the rest
    config = cli.resolved
    assert yaml.safe_load(cli.text) == config
    clock = config["clock"] or {}
    assert sum(clock.get(unit) is not None for unit in ("g_steps", "kimg", "epochs")) == (name in TRAINED)
    assert any(config[scores] is not None for scores in SCORES)
    assert not config["trainer"]["use_distributed_sampler"]
    assert config["trainer"]["num_sanity_val_steps"] == 0
    assert config["trainer"]["check_val_every_n_epoch"] is None
    assert config["trainer"]["callbacks"] is None
    assert name not in KEYS or cell_key(config) == KEYS[name].key, "the settings have changed: run `make tables`"
    switch_off(cli, "data", *HOUSE)
    cli.config.trainer.logger = False
    with torch.device("meta"):
        cli.build()
    assert (sum(p.numel() for p in cli.model.parameters()) > 0) == (name in TRAINED)
    assert all(p.is_meta for p in cli.model.parameters())


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("name", FIRST)
def test_every_overlay_fits_every_family(name, overlay):
    before, after = parse(EXPERIMENTS[name]).resolved, parse(EXPERIMENTS[name], OVERLAYS[overlay]).resolved
    assert after != before
    for key in HOUSE:
        assert before[key] is not None or after[key] is None
    assert after["model"] == before["model"]


@pytest.mark.parametrize("name", [*EXPERIMENTS, *OVERLAYS])
def test_a_header_says_what_it_is(name):
    line = catalogue.headline({**EXPERIMENTS, **OVERLAYS}[name])
    assert re.match(r"[A-Z].{20,}[.?:]$", line), line


def test_names_are_stem_method_data_and_size():
    for name in EXPERIMENTS:
        assert re.fullmatch(r"[a-z_0-9]+/[a-z0-9]+(_[a-z0-9]+)*", name), name


def test_multi_gpu_means_what_two_players_need():
    strategy = yaml.safe_load(OVERLAYS["multi_gpu"].read_text())["trainer"]["strategy"]
    assert strategy["class_path"].endswith("DDPStrategy")
    assert strategy["init_args"] == {"find_unused_parameters": True, "broadcast_buffers": False}


def asked(name: str, options: str, *overlays: str) -> tuple[AtelierCLI, Strategy]:
    """An experiment with options, and the strategy of its trainer on CPUs."""
    files = (DEFAULTS, EXPERIMENTS[name], *(OVERLAYS[overlay] for overlay in overlays))
    given = ["--trainer.logger", "false", "--trainer.accelerator", "cpu", *options.split()]
    cli = AtelierCLI([(file.name, read_layer(file)) for file in files], given)
    cli.build()
    return cli, cli.make_trainer(Path("nowhere")).strategy


@pytest.mark.parametrize(
    ("name", "devices"),
    [
        ("gan/dcgan_digits", "--trainer.devices 2"),
        ("gan/dcgan_digits", "--trainer.num_nodes 2"),
        ("low_light/retinex_lowlight64", "--trainer.devices 2"),  # one player, two phases: one network of both is idle
    ],
)
def test_what_leaves_weights_idle_needs_no_overlay_on_several_devices(name, devices):
    cli, strategy = asked(name, devices)
    overlaid, expected = asked(name, devices, "multi_gpu")
    assert type(strategy) is type(expected) is DDPStrategy
    assert cli.resolved["trainer"]["strategy"] == overlaid.resolved["trainer"]["strategy"]
    assert yaml.safe_load(cli.text) == AtelierCLI([("config.yaml", cli.resolved)], []).resolved  # as a resume reads it
    wrapped = ("find_unused_parameters", "broadcast_buffers")
    assert [strategy._ddp_kwargs[name] for name in wrapped] == [expected._ddp_kwargs[name] for name in wrapped]
    assert [strategy._ddp_kwargs[name] for name in wrapped] == [True, False]


def test_a_strategy_is_chosen_for_idle_weights_on_several_devices_alone():
    for name, options, kept in (
        ("gan/dcgan_digits", "--trainer.devices 1", "auto"),
        ("gan/dcgan_digits", "--trainer.devices auto", "auto"),
        ("gan/dcgan_digits", "--trainer.devices 2 --trainer.strategy ddp", "ddp"),
        ("classifier/cnn_digits32", "--trainer.devices 2", "auto"),
    ):
        cli, strategy = asked(name, options)
        assert cli.resolved["trainer"]["strategy"] == kept
        assert isinstance(strategy, DDPStrategy) == ("2" in options)


def test_smoke_is_two_steps_at_batch_two_without_wandb():
    config = parse(EXPERIMENTS["gan/dcgan_digits"], OVERLAYS["smoke"]).resolved
    assert config["clock"] == {"g_steps": 2, "kimg": None, "epochs": None, "validations": 1}
    assert config["data"]["init_args"]["batch_size"] == 2
    assert "Wandb" not in str(config["trainer"]["logger"])

"""The overlays of debug/ do what their headers say."""

import json
from pathlib import Path

import pytest
import torch
from command_line import ROOT, fit, place, rows, runs

from experiments.cli import main
from lightning_modules.gan import GAN

pytestmark = pytest.mark.usefixtures(place.__name__)


@pytest.fixture
def shown(monkeypatch):
    """Every batch of reals that D learns from."""
    batches, whole = [], GAN.d_loss

    def d_loss(self, x, y):
        batches.append(x.clone())
        return whole(self, x, y)

    monkeypatch.setattr(GAN, "d_loss", d_loss)
    return batches


def test_overfit_shows_four_images_again_and_again(shown):
    run = fit("--config", "debug/overfit", "--clock.g_steps", "5", "--trainer.log_every_n_steps", "1")
    assert [len(x) for x in shown] == [4] * 5
    assert all(torch.equal(x, shown[0]) for x in shown)
    assert not any(name.startswith("val/") for row in rows(run) for name in row)
    assert len([*run.glob("samples/*.png")]) == 2  # before and after
    shown.clear()
    fit("--data.batch_size", "4", "--clock.g_steps", "5")
    assert not torch.equal(shown[0], shown[1])


def test_four_images_are_learnt_by_heart():
    options = ["--clock.g_steps", "60", "--data.augment", "null", "--trainer.accelerator", "cpu"]
    assert main(["fit", "classifier/cnn_digits32", "--config", "debug/overfit", *options]) == 0
    losses = [row["train/ce"] for row in rows(runs()[-1])]
    assert losses[-1] < 0.1 < losses[0]


def test_profile_leaves_a_table_and_a_trace_in_the_run_directory_alone():
    before = set(Path().iterdir())
    run = fit("--config", str(ROOT / "experiments/debug/profile.yaml"))
    assert "aten::convolution" in (run / "fit-profile.txt").read_text()
    (trace,) = run.glob("*.pt.trace.json")
    assert any("training_step" in event.get("name", "") for event in json.loads(trace.read_text())["traceEvents"])
    assert set(Path().iterdir()) - before == {Path("runs")}


def test_limit_is_a_whole_run_in_small():
    options = ["--trainer.accelerator", "cpu", "--trainer.logger", "lightning_modules.callbacks.loggers.JsonlLogger"]
    assert main(["fit", "gan/dcgan_digits", "--config", "debug/limit", *options]) == 0
    run = runs()[-1]
    record = json.loads((run / "record.json").read_text())
    (block,) = record["scores"]
    assert block["protocol"]["fakes"] == 100
    assert set(block["floor"]) == set(block["last"]["metrics"])
    assert [row["d_step"] for row in block["history"]] == [0, 10, 20]
    assert (run / "checkpoints" / "best.ckpt").is_file()
    assert len([*run.glob("samples/*.png")]) == 3


def test_limit_logs_to_wandb_offline():
    from experiments.catalogue import overlays
    from experiments.layers import read_layer

    loggers = read_layer(overlays()["debug/limit"])["trainer"]["logger"]
    assert [logger["class_path"].split(".")[-1] for logger in loggers] == ["JsonlLogger", "AtelierWandbLogger"]
    assert loggers[1]["init_args"] == {"mode": "offline"}

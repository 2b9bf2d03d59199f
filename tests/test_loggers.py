"""Where a run's numbers go: inside its directory, whole, and to a server only where a key is configured."""

import json
from pathlib import Path

import pytest
import wandb
from command_line import fit, place, rows

from lightning_modules.callbacks.loggers import JsonlLogger, Run, wandb_key_configured

pytestmark = pytest.mark.usefixtures(place.__name__)


def test_wandb_stays_inside_the_run_and_knows_the_configuration(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    (Path.cwd() / "wandb.yaml").write_text(
        "trainer: {logger: {class_path: lightning_modules.callbacks.loggers.AtelierWandbLogger}}"
    )
    before = set(Path.home().iterdir())
    run = fit("--config", "wandb.yaml", "--clock.g_steps", "1")
    logs = [*run.glob("wandb/offline-run-*/*.wandb")]
    assert len(logs) == 1
    wandb.teardown()  # waits for its writer, as the end of a process does
    content = logs[0].read_bytes()
    for said in (b"half_life_kimg", b"tiny", run.name.encode(), b"kimg"):
        assert said in content
    assert {p.name for p in Path.cwd().iterdir()} == {"tiny.yaml", "wandb.yaml", "runs"}
    assert set(Path.home().iterdir()) == before


def test_wandb_is_online_only_where_a_key_is_configured(monkeypatch, tmp_path):
    assert not wandb_key_configured()
    netrc = tmp_path / "netrc"
    netrc.write_text("machine api.wandb.ai login user password 0123\n")
    monkeypatch.setenv("NETRC", str(netrc))
    assert wandb_key_configured()
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert not wandb_key_configured()
    monkeypatch.setenv("WANDB_API_KEY", "0123")
    assert wandb_key_configured()


def test_rows_survive_a_kill_and_are_never_rewritten(tmp_path):
    run = Run(tmp_path, "tiny", {})
    logger = JsonlLogger()
    logger.open(run)
    logger.log_metrics({"fid": 1.0, "loss": float("nan")}, 1)
    first = (tmp_path / "metrics.jsonl").read_text()  # flushed, the logger is still open
    (tmp_path / "metrics.jsonl").write_text(first + '{"step": 2, "fi')
    other = JsonlLogger()
    other.open(run)
    other.log_metrics({"fid": 2.0}, 2)
    for each in (logger, other):
        each.finalize("success")
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert lines[0] + "\n" == first
    assert json.loads(lines[0])["loss"] is None
    assert json.loads(lines[2])["fid"] == 2.0


def test_tensorboard_writes_into_the_run():
    run = fit("--config", "tensorboard", "--clock.g_steps", "1")
    assert len([*run.glob("tensorboard/events.*")]) == 1
    assert len(rows(run)) == 1

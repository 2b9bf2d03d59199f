"""Ctrl-C ends a command with exit code 130 and one sentence, a training's says how to go on, wherever it comes."""

import errno
import json
import signal
from pathlib import Path

import pytest
from command_line import files, fit, place, runs

from experiments import sample
from experiments.cli import main
from experiments.train import Opening

pytestmark = pytest.mark.usefixtures(place.__name__)


@pytest.fixture(autouse=True)
def heard():
    """Ctrl-C as Python has it; a shell starts what runs in the background deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press(monkeypatch, hook, step):
    """Press Ctrl-C in the opening's ``hook`` at ``step``."""

    def pressed(self, trainer, *args):
        if trainer.global_step == step:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Opening, hook, pressed)


def test_in_training_it_is_told_how_to_go_on(capfd, monkeypatch):
    with monkeypatch.context() as once:
        press(once, "on_train_batch_end", 2)
        assert main(["fit", "tiny.yaml"]) == 130
    (run,) = runs()
    said = capfd.readouterr()
    assert f"run directory: {run}" in said.out
    assert said.err == f"atelier: interrupted: go on with `atelier fit --resume {run}`.\n"
    assert json.loads((run / "record.json").read_text())["status"] == "stopped"
    assert main(["fit", "--resume", str(run)]) == 0
    assert json.loads((run / "record.json").read_text())["status"] == "finished"


def test_at_the_last_step_there_is_nothing_to_go_on_with(monkeypatch):
    press(monkeypatch, "on_train_batch_end", 4)
    assert main(["fit", "tiny.yaml"]) == 0


def test_before_training_nothing_is_kept(capfd, monkeypatch):
    before = files()
    press(monkeypatch, "on_sanity_check_end", 0)
    press(monkeypatch, "on_fit_start", 0)
    assert main(["fit", "tiny.yaml"]) == 130
    assert capfd.readouterr().err == "atelier: interrupted: training had not begun, nothing is kept.\n"
    assert files() == before


def test_what_ended_it_is_told_where_the_folders_above_cannot_be_removed(capfd, monkeypatch):
    def refuse(folder):
        raise OSError(errno.ENOTEMPTY, "Directory not empty", str(folder))  # another run began there meanwhile

    press(monkeypatch, "on_fit_start", 0)
    monkeypatch.setattr(Path, "rmdir", refuse)
    assert main(["fit", "tiny.yaml"]) == 130
    assert capfd.readouterr().err == "atelier: interrupted: training had not begun, nothing is kept.\n"
    assert [path.name for path in Path("runs").rglob("*")] == ["tiny"]


def test_other_commands_say_that_they_were_interrupted(capfd, monkeypatch):
    run = str(fit())
    before = files()
    monkeypatch.setattr(sample, "draw", lambda *_: signal.raise_signal(signal.SIGINT))
    capfd.readouterr()
    assert main(["sample", run]) == 130
    assert capfd.readouterr().err == "atelier: interrupted.\n"
    assert files() == before

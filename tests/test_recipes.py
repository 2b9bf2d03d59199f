"""CONTRIBUTING's recipes work as they stand: copied into an empty folder and trained two steps by class_path."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import ROOT, place, runs

from experiments.cli import main

pytestmark = pytest.mark.usefixtures(place.__name__)

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
RECIPES = dict(re.findall(r"^### Add an? ([^\n]+)\n(.*?)(?=^##)", TEXT, re.MULTILINE | re.DOTALL))
SHORT = ["--clock.g_steps", "2", "--clock.validations", "1", "--trainer.log_every_n_steps", "1"]
QUIET = ["--trainer.accelerator", "cpu", "--trainer.logger", "lightning_modules.callbacks.loggers.JsonlLogger"]


def files(recipe: str) -> dict[str, str]:
    """The recipe's files by name."""
    return dict(re.findall(r"^`([\w.]+)`\n\n```\w+\n(.*?)^```$", RECIPES[recipe], re.MULTILINE | re.DOTALL))


def commands(recipe: str) -> list[list[str]]:
    """The recipe's command lines."""
    (block,) = re.findall(r"^```bash\n(.*?)^```$", RECIPES[recipe], re.MULTILINE | re.DOTALL)
    return [shlex.split(line)[1:] for line in block.splitlines()]


@pytest.fixture
def empty(tmp_path_factory, monkeypatch):
    """An empty working directory whose modules are forgotten afterwards."""
    folder = tmp_path_factory.mktemp("mine")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    before = set(sys.modules)
    yield folder
    for name in {name for name in set(sys.modules) - before if name.startswith("my_")}:
        del sys.modules[name]


def test_there_is_a_recipe_for_each():
    assert set(RECIPES) == {"loss", "network", "data set", "family"}


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_trains_two_steps_in_an_empty_folder(recipe, empty, capsys):
    assert not empty.is_relative_to(ROOT)
    for name, content in files(recipe).items():
        (empty / name).write_text(content, encoding="utf-8")
    for words in commands(recipe):
        assert main([*words, *(SHORT + QUIET if words[0] == "fit" else [])]) == 0
    (run,) = runs()
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    losses = [row for row in rows if any(name.startswith(("d/", "g/", "train/")) for name in row)]
    assert [row["d_step"] for row in losses] == [1, 2]
    assert all(value is not None for row in losses for value in row.values())  # null: not finite
    assert any(name.startswith("val/") for name in rows[-1])
    (module,) = {Path(name).stem for name in files(recipe) if name.endswith(".py")}
    assert f"class_path: {module}." in (run / "config.yaml").read_text(encoding="utf-8")
    assert Path(sys.modules[module].__file__).parent == empty.resolve()


def test_the_installed_command_finds_a_class_in_the_working_directory(empty):
    for name, content in files("loss").items():
        (empty / name).write_text(content, encoding="utf-8")
    code = f"import sys; sys.path[0] = {str(ROOT)!r}; from experiments.cli import main; sys.exit(main(sys.argv[1:]))"
    words = ["fit", "my_loss.yaml", "--print_config"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, env={**os.environ})
    assert (done.returncode, done.stderr) == (0, "")
    assert "my_loss.SquaredHinge" in done.stdout


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_is_in_the_house_style(recipe, empty):
    for name, content in files(recipe).items():
        (empty / name).write_text(content, encoding="utf-8")
    ours = "lint.isort.known-first-party = ['lightning_modules', 'datamodules']"
    for words in (["check", "--config", ours], ["format", "--check", "--diff"]):
        command = [sys.executable, "-m", "ruff", *words, "--config", str(ROOT / "pyproject.toml"), "--no-cache", "."]
        done = subprocess.run(command, cwd=empty, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

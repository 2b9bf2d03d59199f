"""The README tells the truth: its commands parse, its YAML builds, its numbers and pictures come from records."""

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

from experiments.catalogue import DEFAULTS
from experiments.cli import COMMANDS, main
from experiments.layers import read_layer
from experiments.lightning_cli import AtelierCLI

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
LINES = [line for kind, block in BLOCKS if kind == "bash" for line in block.splitlines() if line.strip()]
ATELIER = [shlex.split(line, comments=True) for line in LINES if line.startswith("atelier ")]
INLINE = [shlex.split(words) for words in sorted(set(re.findall(r"`(atelier [a-z][^`]*)`", README)))]


def test_make_has_the_targets_that_the_readme_names():
    targets = [line.split()[1] for line in LINES if line.startswith("make ")]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert targets == ["train", "test"]
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


@pytest.mark.parametrize("words", [w for w in ATELIER if w[1] == "fit" and "--resume" not in w], ids=" ".join)
def test_a_fit_command_parses(words, capsys):
    printed = [word for word in words[1:] if word != "--print_config"]
    assert main([*printed, "--print_config"]) == 0
    assert re.search(r"^  class_path: lightning_modules\.", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.parametrize("words", [*ATELIER, *INLINE], ids=" ".join)
def test_a_command_and_its_options_are_known(words):
    command = COMMANDS[words[1]]
    for word in words[2:]:
        key = word.removeprefix("--").split(".")[0]
        of_configuration = key in ("model", "data", "trainer") and "--print_config" in command.usage
        assert not word.startswith("--") or of_configuration or f"--{key}" in command.usage


def test_the_example_yaml_builds(tmp_path):
    (example,) = [block for kind, block in BLOCKS if kind == "yaml"]
    file = tmp_path / "mine.yaml"
    file.write_text(example, encoding="utf-8")
    cli = AtelierCLI([("defaults.yaml", read_layer(DEFAULTS)), ("mine.yaml", yaml.safe_load(example))], [])
    cli.build()
    assert type(cli.model).__name__ == "GAN"


def test_the_example_from_python_trains():
    (example,) = [block for kind, block in BLOCKS if kind == "python"]
    said: dict = {}
    exec(example, said)
    assert said["module"].g_step == 20
    assert said["images"].shape == (16, 1, 8, 8)


def test_every_picture_is_there_and_lies_beside_a_record():
    pictures = re.findall(r'(?:src="|\]\()(experiments/results/[^")]+\.(?:png|jpg))', README)
    assert len(pictures) > 8
    for picture in map(ROOT.joinpath, pictures):
        assert picture.is_file()
        assert any(picture.stem.startswith(record.stem) for record in picture.parent.glob("*.json"))


def test_every_committed_record_names_no_machine():
    for file in (ROOT / "experiments" / "results").rglob("*.json"):
        text = file.read_text(encoding="utf-8")
        record = json.loads(text)
        assert record["status"] in ("finished", "stopped")  # the latter is a part, which its table labels
        assert record["code"]["dirty"] is False
        assert not re.search(r'"/|\\\\|/home/|/root', text)


def test_links_within_the_page_have_their_headings():
    heads = re.findall(r"^#+ (.+)$", README, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
    links = re.findall(r"\]\(#([^)]+)\)", README)
    assert len(links) > 15
    assert set(links) <= anchors


def test_tables_that_are_only_named_have_as_many_rows_as_is_said():
    said = re.findall(r"^\| `atelier table (\w+)` \| (\d+) \| `([\w.-]+)` \|", README, re.MULTILINE)
    assert len(said) == 3
    for name, rows, protocol in said:
        content = yaml.safe_load((ROOT / f"experiments/tables/{name}.yaml").read_text(encoding="utf-8"))
        assert (len(content["rows"]), content["protocol"]) == (int(rows), protocol)

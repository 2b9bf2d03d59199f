"""The command line where all is well: commands, run directories, resume, sampling."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from command_line import ROOT, TINY, fit, place, rows, runs
from PIL import Image

from experiments import catalogue
from experiments.cli import COMMANDS, main
from experiments.lightning_cli import AtelierCLI
from experiments.look import flattened
from experiments.runs import create_run

pytestmark = pytest.mark.usefixtures(place.__name__)


# --- without torch --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [[], ["--help"], ["list"], ["fit", "--help"], ["sample", "-h"]])
def test_help_and_list_import_no_torch(words):
    code = f"""
import sys
from experiments.cli import main
assert main({words}) == 0
heavy = {{"torch", "lightning", "jsonargparse", "wandb", "numpy"}} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)


def test_a_reader_who_has_enough_of_the_output_is_no_mistake():
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "experiments", "list"], cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize("word", ["--help", "list"])
def test_help_and_list_answer_within_a_second(word):
    times = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "experiments", word], cwd=ROOT, check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    assert min(times) < 1.0


def test_every_command_helps(capsys):
    for name, command in COMMANDS.items():
        assert main([name, "--help"]) == 0
        said = capsys.readouterr().out
        assert command.line in said
        assert f"atelier {name}" in said


def test_list_names_each_experiment_with_its_headline(capsys):
    assert main(["list"]) == 0
    said = capsys.readouterr().out.splitlines()
    for name, file in [*catalogue.experiments().items(), *catalogue.overlays().items()]:
        line = next(line for line in said if line.split()[:1] == [name])
        assert line.split(None, 1)[1] == file.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
    assert "defaults" not in "".join(said)


def test_doctor_looks_at_data_and_weights(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("ATELIER_DATA", str(tmp_path / "nothing"))
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert torch.__version__.split("+")[0] in said
    assert "absent" in next(line for line in said.splitlines() if line.startswith("mnist"))
    assert "offline" in next(line for line in said.splitlines() if line.startswith("W&B"))


# --- the run directory ----------------------------------------------------------------------------------------


def test_a_run_owns_its_directory(capsys):
    run = fit("--seed_everything", "3")
    assert run.parent == Path("runs/tiny").absolute()
    assert run.name.endswith("-s3")
    assert {p.name for p in run.iterdir()} == {
        *("config.yaml", "command.txt", "record.json", "metrics.jsonl", "checkpoints", "samples")
    }
    assert (run / "command.txt").read_text() == "atelier fit tiny.yaml --seed_everything 3\n"
    assert capsys.readouterr().out.splitlines()[-1] == f"run directory: {run.relative_to(Path.cwd())}"
    assert [row["d_step"] for row in rows(run) if "d/adv" in row] == [1, 2, 3, 4]
    assert all({"step", "kimg", "time"} <= row.keys() for row in rows(run))
    assert "ATELIER_RUN_DIR" not in os.environ


def test_the_configuration_is_whole_portable_and_loadable():
    run = fit("--model.n_critic", "2")
    text = (run / "config.yaml").read_text()
    config = yaml.safe_load(text)
    assert str(Path.cwd()) not in text
    assert "runs_dir" not in config
    assert config["experiment"] == "tiny"
    assert config["model"]["init_args"]["n_critic"] == 2
    assert config["model"]["init_args"]["d_optimizer"]["init_args"]["betas"] == [0.5, 0.999]
    assert main(["fit", "--config", str(run / "config.yaml")]) == 0
    assert (runs()[-1] / "config.yaml").read_text() == text
    assert runs()[-1].parent == Path("runs/tiny")


def test_two_runs_in_one_second_do_not_meet(monkeypatch):
    monkeypatch.setattr(time, "strftime", lambda _: "20260101-000000")
    names = [create_run("here", "gan/x", 0).path.name for _ in range(3)]
    assert names == ["20260101-000000-s0", "20260101-000000-s0-2", "20260101-000000-s0-3"]


def test_a_discarded_run_leaves_what_was_there():
    Path("here").mkdir()
    first = create_run("here", "gan/x", 0)
    second = create_run("here", "gan/x", 1)
    second.discard()
    assert first.path.is_dir()
    first.discard()
    assert [*Path("here").iterdir()] == []


def test_the_seed_reaches_model_and_data_and_only_classes_that_take_one():
    layers = [("tiny", yaml.safe_load(TINY))]
    cli = AtelierCLI(layers, ["--seed_everything", "5"])
    cli.build()
    assert (cli.model.seed, cli.datamodule.seed) == (5, 5)
    seedless = {**layers[0][1], "data": {"class_path": "lightning.pytorch.demos.boring_classes.BoringDataModule"}}
    AtelierCLI([("tiny", seedless)], []).build()


def test_a_callback_switched_off_stays_off_under_overlays():
    run = fit("--config", "smoke")
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["evaluation"] is None
    assert config["clock"]["g_steps"] == 2
    assert len(rows(run)) == 2


def test_a_length_in_another_unit_replaces_the_first():
    run = fit("--clock.kimg", "0.016")
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert (config["clock"]["kimg"], config["clock"]["g_steps"]) == (0.016, None)
    assert rows(run)[-1]["d_step"] == 2


def test_print_config_shows_all_and_runs_nothing(capsys):
    assert main(["fit", "tiny.yaml", "--model.n_critic", "3", "--print_config"]) == 0
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["model"]["init_args"]["n_critic"] == 3
    assert config["trainer"]["log_every_n_steps"] == 1
    assert runs() == []


def test_the_users_callbacks_stand_beside_the_houses():
    layer = yaml.safe_load(TINY)
    layer["trainer"] |= {"callbacks": [{"class_path": "lightning.pytorch.callbacks.Timer"}], "logger": False}
    cli = AtelierCLI([("tiny", layer), ("more", {"samples": {}, "progress": {}})], [])
    cli.build()
    names = [type(callback).__name__ for callback in cli.make_trainer(Path.cwd()).callbacks]
    assert names[:4] == ["Clock", "ImageGrid", "ProgressLine", "Timer"]


# --- resume ---------------------------------------------------------------------------------------------------


def test_resume_needs_nothing_else_and_equals_a_run_that_was_never_stopped(capsys):
    whole, part = fit("--clock.g_steps", "6"), fit("--clock.g_steps", "4")
    assert main(["fit", "--resume", str(part), "--clock.g_steps", "6"]) == 0
    assert [row["d/adv"] for row in rows(part)] == [row["d/adv"] for row in rows(whole)]
    assert len((part / "command.txt").read_text().splitlines()) == 2
    assert yaml.safe_load((part / "config.yaml").read_text())["clock"]["g_steps"] == 4
    assert yaml.safe_load((part / "config-2.yaml").read_text())["clock"]["g_steps"] == 6
    capsys.readouterr()
    before = sorted(p.name for p in part.rglob("*"))
    assert main(["fit", "--resume", str(part)]) == 0
    assert "is finished already, clock.g_steps 6 is reached" in capsys.readouterr().out
    assert sorted(p.name for p in part.rglob("*")) == before


def test_the_checkpoint_never_overrides_the_configuration():
    run = fit()
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    checkpoint["hyper_parameters"] = {"n_critic": 5, "seed": 9}
    torch.save(checkpoint, run / "checkpoints" / "last.ckpt")
    assert main(["fit", "--resume", str(run), "--clock.g_steps", "6"]) == 0
    assert rows(run)[-1]["g_step"] == 6
    assert json.loads((run / "record.json").read_text())["seed"] == 0


# --- looking --------------------------------------------------------------------------------------------------


def test_sample_draws_grids_singles_and_walks():
    run = fit()
    assert main(["sample", str(run)]) == 0
    assert main(["sample", str(run / "checkpoints" / "last.ckpt"), "--seed", "1"]) == 0
    grids = [Image.open(run / "generated" / f"grid-step4-seed{seed}.png") for seed in (0, 1)]
    assert grids[0].size == (8 * 10 + 2, 8 * 10 + 2)
    assert grids[0].tobytes() != grids[1].tobytes()
    assert main(["sample", str(run), "--count", "3", "--out", "three"]) == 0
    assert main(["sample", str(run), "--count", "5", "--out", "five"]) == 0
    assert main(["sample", str(run), "--count", "5", "--out", "five"]) == 2  # none is overwritten where --out is given
    (Path("three") / "step4-seed0-00000.png").rename("kept.png")
    held = {path: path.read_bytes() for path in Path("three").iterdir()}
    assert main(["sample", str(run), "--count", "3", "--seed", "0", "--out", "three"]) == 2  # though the first is free
    assert {path: path.read_bytes() for path in Path("three").iterdir()} == held
    Path("kept.png").rename(Path("three") / "step4-seed0-00000.png")
    three, five = sorted(Path("three").iterdir()), sorted(Path("five").iterdir())
    assert [p.name for p in three] == [f"step4-seed0-{i:05d}.png" for i in range(3)]
    assert [p.read_bytes() for p in three] == [p.read_bytes() for p in five[:3]]
    assert main(["sample", str(run), "--interpolate", "2", "--out", "walk"]) == 0
    with Image.open("walk/walk-step4-seed0.webp") as walk:
        assert walk.n_frames == 2 * 16


def test_validate_and_predict_take_a_run(capsys):
    classifier = catalogue.experiments()["classifier/cnn_digits32"]
    assert main(["fit", str(classifier), "--config", "smoke", "--data.size", "32"]) == 0
    run = str(runs()[-1])
    capsys.readouterr()
    for command in ("validate", "test"):
        assert main([command, run]) == 0
        *lines, described = capsys.readouterr().out.splitlines()
        assert re.fullmatch(
            r"measured by: split test, images 360, data \(digits \(images 360, sha256 [0-9a-f]{64}\)\)", described
        )
        scores = dict(line.split() for line in lines)
        assert 0 <= float(next(v for k, v in scores.items() if k.endswith("accuracy"))) <= 1
    assert main(["predict", run, "--out", "p.pt"]) == 0
    torch.testing.assert_close(torch.load("p.pt", weights_only=True).sum(1), torch.ones(360))
    assert list(flattened([[1, 2], [3]])) == list(flattened([1, 2, 3])) == [1, 2, 3]  # of several loaders, and of one
    assert main(["predict", run, "--out", "new/p.pt"]) == 0
    assert len(runs()) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "devices", [["--config", "multi_gpu", "--trainer.accelerator", "cpu"], ["--trainer.devices", "2"]]
)
def test_two_ranks_share_one_run_directory(devices):
    command = [sys.executable, "-m", "experiments", "fit", "tiny.yaml", *devices, "--clock.g_steps", "2"]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=120)
    assert len(runs()) == 1
    assert [row["kimg"] for row in rows(runs()[0])] == [0.016, 0.032]
    assert len((runs()[0] / "command.txt").read_text().splitlines()) == 1
    command = [sys.executable, "-m", "experiments", "fit", "--resume", str(runs()[0]), "--clock.g_steps", "4"]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=120)
    assert [row["kimg"] for row in rows(runs()[0])][-1] == 0.064


def test_the_main_job_in_two_steps_ends_with_its_scores(capsys):
    assert main(["fit", "gan/dcgan_digits", "--config", "smoke"]) == 0
    said = capsys.readouterr().out.splitlines()
    run = runs()[-1]
    assert said[-1] == f"run directory: {run}"
    assert any("fid@digits-cnn" in line for line in said[-12:-1])
    assert sorted(run.glob("checkpoints/*.ckpt")) == [run / "checkpoints" / name for name in ("best.ckpt", "last.ckpt")]
    capsys.readouterr()
    assert main(["validate", str(run)]) == 0
    *lines, protocol = capsys.readouterr().out.splitlines()
    assert protocol.startswith("measured by: data digits, ")
    assert "extractor digits-cnn" in protocol
    scores = dict(line.split() for line in lines)
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    last = [row for row in rows if "val/fid@digits-cnn" in row][-1]
    assert float(scores["val/fid@digits-cnn"]) == pytest.approx(last["val/fid@digits-cnn"], rel=1e-4)

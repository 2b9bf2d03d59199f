"""A user's mistake costs one sentence, the fix, and exit code 2; nothing is half-written."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from command_line import ROOT, fit, place, refused, runs

from experiments.cli import main
from experiments.complaints import explain
from experiments.errors import one_line

pytestmark = pytest.mark.usefixtures(place.__name__)


MISTAKES = {
    # command and experiment
    "fitt": "did you mean fit?",
    "fit gan/dcgan_digit": "did you mean gan/dcgan_digits?",
    "fit dcgan_digits": "did you mean gan/dcgan_digits?",
    "fit": "`atelier list` names them",
    "fit nowhere.yaml": "nowhere.yaml",
    "fit tiny.yaml --config smok": "did you mean smoke?",
    "fit tiny.yaml --config": "write --config VALUE",
    "fit tiny.yaml extra": "extra is not understood",
    "fit --config smoke": "nothing names the class of model",
    # what the clock decides
    "fit tiny.yaml --trainer.max_steps 3": "give clock.g_steps",
    "fit tiny.yaml --trainer.max_epochs 3": "give clock.g_steps",
    "fit tiny.yaml --trainer.val_check_interval 3": "epochs or validations",
    "fit tiny.yaml --clock null": "this experiment has no length",
    # misspelt keys on the command line
    "fit tiny.yaml --trainer.max_epoch 3": "did you mean --trainer.max_epochs?",
    "fit tiny.yaml --max_epochs 3": "did you mean --trainer.max_epochs?",
    "fit tiny.yaml --traner.devices 1": "did you mean --trainer.devices?",
    "fit tiny.yaml --modle.n_critic 1": "did you mean --model.n_critic?",
    "fit tiny.yaml --seed_everythin 1": "did you mean --seed_everything?",
    "fit tiny.yaml --seed 1": "did you mean --seed_everything?",
    "fit tiny.yaml --model.n_critik 1": "no key model.n_critik: did you mean model.n_critic?",
    "fit tiny.yaml --model.init_arg.n_critic 1": "did you mean model.init_args?",
    "fit tiny.yaml --model.generator.widht 1": "did you mean model.generator.width?",
    "fit tiny.yaml --model.init_args.generator.init_args.widht 1": "did you mean model.generator.width?",
    "fit tiny.yaml --model.d_optimizer.lrr 1": "did you mean model.d_optimizer.lr?",
    "fit tiny.yaml --data.batch_sise 1": "did you mean data.batch_size?",
    "fit tiny.yaml --clock.g_step 3": "did you mean clock.g_steps?",
    "fit tiny.yaml --samples.colums 3": "did you mean samples.columns?",
    "fit tiny.yaml --evaluation.fakess 3": "did you mean evaluation.fakes?",
    # misspelt classes
    "fit tiny.yaml --model.d_optimizer torch.optim.Adamm": "did you mean torch.optim.Adam?",
    "fit tiny.yaml --model.loss Hing": "did you mean Hinge?",
    "fit tiny.yaml --model.loss lightning_modules.losses.adversarial.Hing": "losses.adversarial.Hinge?",
    "fit tiny.yaml --data datamodule.digits.Digits": "did you mean datamodules?",
    "fit tiny.yaml --model.loss lightning_modules.losses.penalties.R1": "model.loss expects a kind of AdversarialLoss",
    # wrong types
    "fit tiny.yaml --fidelity.labels [null]": "fidelity.labels expects str or a list of str or null, got '[None]'",
    "fit tiny.yaml --fidelity.labels #ff0000,#00ff00": "a comment in YAML: put it in quotes",
    "fit tiny.yaml --fidelity.labels [#ff0000,#00ff00]": 'give colours, in a YAML in quotes: ["#ff0000", "#00ff00"]',
    "fit tiny.yaml --fidelity.labels []": "no colours are no palette",
    "fit tiny.yaml --data.batch_size two": "data.batch_size expects int, got 'two'",
    "fit tiny.yaml --model.generator.width 1.5": "model.generator.width expects int, got '1.5'",
    "fit tiny.yaml --model.d_optimizer.lr fast": "model.d_optimizer.lr expects float or Tensor, got 'fast'",
    "fit tiny.yaml --clock.g_steps many": "clock.g_steps expects int or null, got 'many'",
    "fit tiny.yaml --seed_everything x": "seed_everything expects int, got 'x'",
    "fit tiny.yaml --trainer.precision 17": "'bf16-mixed'",
    "fit tiny.yaml --trainer.logger 3": "trainer.logger expects Logger or bool or null, got '3'",
    "fit tiny.yaml --clock.validations null": "clock.validations expects int, got null",
    "fit tiny.yaml --model.n_critic null": "model.n_critic expects int, got null",
    "fit tiny.yaml --clock.g_steps": "write --clock.g_steps VALUE",
    # values that a constructor or the set-up refuses
    "fit tiny.yaml --data.batch_size 0": "batch_size",
    "fit tiny.yaml --model.n_critic 0": "n_critic must be 1 or more, got 0",
    "fit tiny.yaml --model.discriminator.width 0": "a width or a number of channels is 0",
    "fit tiny.yaml --model.discriminator.width -3": "negative dimension -3",
    "fit tiny.yaml --seed_everything -1": "seed_everything must lie in 0 to 4294967295, got -1",
    "fit tiny.yaml --data.size 30": "30",
    "fit tiny.yaml --model.generator.size 30": "30",
    "fit tiny.yaml --model.generator.size 16": "agree",
    "fit tiny.yaml --clock.g_steps 0": "g_steps must be positive and finite, got 0",
    "fit tiny.yaml --clock.g_steps 3 --clock.kimg 3": "exactly one of g_steps, kimg and epochs",
    "fit tiny.yaml --trainer.devices x": "devices",
    "fit tiny.yaml --trainer.strategy ddpp": "ddpp",
    "fit tiny.yaml --model.g_optimizer.lr -1": "model.g_optimizer: Invalid learning rate: -1",
    "fit tiny.yaml --model.d_optimizer.fused true --model.d_optimizer.foreach true": "model.d_optimizer: `fused` and",
    "fit tiny.yaml --model.d_optimizer.betas [0.5,1.5]": "model.d_optimizer: Invalid beta parameter at index 1: 1.5",
    "fit tiny.yaml --trainer.gradient_clip_val 1": "gradient clipping",
    "fit tiny.yaml --experiment ../x": "give a name such as gan/mine",
    "fit tiny.yaml --data datamodules.mnist.MNIST --data.root none --data.size 28": "ATELIER_DATA",
    "fit tiny.yaml --evaluation.fakes 9 --checkpoint.monitor val/fid@x": "give --checkpoint.monitor val/fid too",
    "fit tiny.yaml --evaluation.extractor digits-cnn --checkpoint.monitor val/fid": "monitor val/fid@digits-cnn",
    "fit tiny.yaml --evaluation.extractor inceptio": "the nearest is 'inception'",
    # resume, and what looks at runs
    "fit --resume nowhere": "there is no such folder",
    "fit --resume .": "holds no config.yaml",
    "fit --resume": "write --resume VALUE",
    "validate": "give a run directory",
    "validate nowhere": "nowhere is no run directory",
    "test gan/dcgan_digits": "needs trained weights",
    "sample": "atelier sample RUN_DIR",
    "sample nothing.ckpt": "there is no checkpoint at nothing.ckpt",
    "list more": "list takes no options",
    "doctor more": "doctor takes no options",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_costs_one_sentence_with_the_fix(line, capfd):
    assert MISTAKES[line] in refused(capfd, *line.split())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_where_there_is_none(capfd):
    said = refused(capfd, "fit", "tiny.yaml", "--trainer.accelerator", "gpu")
    assert "trainer.accelerator is gpu, and there is none here: leave it out" in said


IN_YAML = {
    "modle: {}": "did you mean model?",
    "trainer: {max_step: 3}": "did you mean trainer.max_steps?",
    "trainer: 3": "trainer in mine.yaml expects keys and values",
    "clock: {g_step: 3}": "did you mean clock.g_steps?",
    "model: {init_args: {n_critick: 3}}": "did you mean model.n_critic?",
    "model: {init_args: {generator: {init_args: {widht: 3}}}}": "did you mean model.generator.width?",
    "model: {init_args: {penalties: [{class_path: R1, init_args: {wieght: 3}}]}}": "model.penalties.weight?",
    "model: {init_args: {generator: {init_args: {width: wide}}}}": "model.generator.width expects int, got 'wide'",
    "data: {init_args: {batch_size: big}}": "data.batch_size expects int, got 'big'",
    "data: {init_args: {batch_size: null}}": "data.batch_size expects int, got null",
    "clock: {g_steps: null, kimg: .nan}": "clock.kimg is not a number",
    "clock: {g_steps: null, kimg: .inf}": "kimg must be positive and finite, got inf",
    "model: {init_args: {ema: {half_life_kimg: .nan}}}": "model.ema.half_life_kimg is not a number",
    "model.d_optimizer: {class_path: torch.optim.Adam, init_args: {betas: [.nan, 0.9]}}": "d_optimizer.betas is not a",
    "clock: {kimg: 1}\ndata: {}\nclock: {kimg: 2}": "mine.yaml says clock twice (line 3): leave out one",
    "model: {init_args: {n_critic: 1, n_critic: 2}}": "mine.yaml says n_critic twice (line 1): leave out one",
    "data: {class_path: datamodules.digits.Digit}": "did you mean datamodules.digits.Digits?",
    "data: null": "data is missing",
    "data: &it {init_args: *it}": "mine.yaml holds an anchor that refers to itself",
    "trainer: [": "mine.yaml is no valid YAML (line 2, column 1)",
    "- 3": "must hold keys and values",
}


@pytest.mark.parametrize("text", IN_YAML)
def test_a_mistake_in_a_yaml_costs_no_more(text, capfd):
    Path("mine.yaml").write_text(text)
    assert IN_YAML[text] in refused(capfd, "fit", "tiny.yaml", "--config", "mine.yaml")


def test_absent_inception_weights_are_missed_before_training(capfd, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("ATELIER_WEIGHTS", raising=False)
    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    Path(tmp_path / "torch" / "hub" / "checkpoints").mkdir(parents=True)
    said = refused(capfd, "fit", "tiny.yaml", "--evaluation.extractor", "inception", "--evaluation.fakes", "20")
    for part in ("weights-inception-2015-12-05-6726825d.pth", "https://", "evaluation.weights", "ATELIER_WEIGHTS"):
        assert part in said


def unreachable(*args, **kwargs):
    raise OSError("no network")


def test_debug_shows_the_traceback_too(capfd, monkeypatch):
    monkeypatch.setenv("ATELIER_DEBUG", "1")
    assert main(["fit", "tiny.yaml", "--model.n_critic", "0"]) == 2
    said = capfd.readouterr().err
    assert "Traceback" in said
    assert said.splitlines()[-1].startswith("atelier: n_critic must be 1 or more")


# --- resume, and checkpoints ----------------------------------------------------------------------------------


def test_resume_lists_every_change_that_it_refuses(capfd):
    run = fit()
    capfd.readouterr()
    changes = ["--model.n_critic", "2", "--data.batch_size", "3", "--seed_everything", "1", "--clock.g_steps", "9"]
    said = refused(capfd, "fit", "--resume", str(run), *changes)
    for key in ("model.init_args.n_critic (1 to 2)", "data.init_args.batch_size (8 to 3)", "seed_everything (0 to 1)"):
        assert key in said
    assert "clock" not in said
    assert "runs_dir (runs to there)" in refused(capfd, "fit", "--resume", str(run), "--runs_dir", "there")
    assert "leave out tiny.yaml" in refused(capfd, "fit", "tiny.yaml", "--resume", str(run))
    assert f"did you mean {Path('runs') / 'tiny' / run.name}?" in refused(capfd, "fit", "--resume", "runs")


def test_a_checkpoint_of_another_model_is_refused(capfd):
    run, other = fit(), fit("--model.generator.width", "5")
    checkpoint = other / "checkpoints" / "last.ckpt"
    capfd.readouterr()
    for command in ("sample", "validate"):
        said = refused(capfd, command, "tiny.yaml", "--ckpt", str(checkpoint))
        assert "of another model" in said
        assert "tensors differ" in said
    checkpoint.replace(run / "checkpoints" / "last.ckpt")
    assert "of another model" in refused(capfd, "fit", "--resume", str(run), "--clock.g_steps", "9")


def test_a_damaged_or_absent_checkpoint_is_named(capfd):
    run = fit()
    capfd.readouterr()
    file = run / "checkpoints" / "last.ckpt"
    file.write_bytes(file.read_bytes()[:1000])
    assert "is no checkpoint, or a damaged one" in refused(capfd, "sample", str(run))
    assert "the run has last" in refused(capfd, "sample", str(run), "--ckpt", "best")
    file.unlink()
    assert "holds no checkpoints/last.ckpt" in refused(capfd, "fit", "--resume", str(run))


def test_sample_refuses_what_the_generator_cannot(capfd):
    run = fit()
    capfd.readouterr()
    assert "knows no classes" in refused(capfd, "sample", str(run), "--class", "3")
    assert "--count expects a whole number of at least 1" in refused(capfd, "sample", str(run), "--count", "0")
    assert "--interpolate expects a whole number of at least 2" in refused(
        capfd, "sample", str(run), "--interpolate", "x"
    )


# --- runs that fail -------------------------------------------------------------------------------------------


def test_a_full_disk_ends_the_run_and_spares_the_old_checkpoint(capfd, monkeypatch):
    run = fit()
    capfd.readouterr()
    old = (run / "checkpoints" / "last.ckpt").read_bytes()

    def full(checkpoint, file):
        file.write(b"a part")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(torch, "save", full)
    assert main(["fit", "--resume", str(run), "--clock.g_steps", "9"]) == 1
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert "the disk is full" in said
    assert run.name in said
    assert (run / "checkpoints" / "last.ckpt").read_bytes() == old
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["last.ckpt"]


def test_a_diverged_run_says_so_and_is_kept(capfd):
    assert main(["fit", "tiny.yaml", "--model.d_optimizer.lr", "1e30"]) == 1
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert "not finite" in said
    assert runs()[-1].name in said
    assert (runs()[-1] / "config.yaml").is_file()
    assert not (runs()[-1] / "checkpoints" / "last.ckpt").exists()


def test_a_bug_keeps_its_traceback(monkeypatch):
    def broken(*args):
        raise RuntimeError("a bug")

    monkeypatch.setattr("lightning_modules.gan.GAN.d_loss", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        main(["fit", "tiny.yaml"])


CODES = {"list": 0, "fitt": 2, "fit tiny.yaml --model.d_optimizer.lr 1e30 --clock.g_steps 2": 1}


@pytest.mark.parametrize("line", CODES)
def test_exit_codes_leave_the_process(line):
    command = [sys.executable, "-m", "experiments", *line.split()]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == CODES[line]
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("atelier: ") == (CODES[line] > 0)


def test_an_unknown_complaint_is_still_one_line():
    assert one_line(explain("Something\n  quite   new\n", [])) == "Something quite new."

"""A run that goes on is seen to, one that was killed is not; what a kill left unsaid is said by the next resume."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import TINY, place, refused, runs
from command_line import fit as tiny
from lightning.pytorch.plugins.environments import LightningEnvironment
from lightning.pytorch.utilities import rank_zero_only
from table_records import commit, cut_off, read, record, write

from datamodules.functional.locks import is_taken, take, taken
from experiments import train
from experiments.cli import main
from experiments.errors import UserError
from experiments.house import SCORES
from experiments.layers import read_layer
from experiments.lightning_cli import AtelierCLI
from experiments.resume import refuse_changes
from experiments.runs import RunDirectory, goes_on, refuse_tasks
from lightning_modules.gan import GAN

HOLDER = """
import os, sys, time
from pathlib import Path
from datamodules.functional.locks import take
assert take(Path(sys.argv[1])) is not None
os.write(1, b"held")
time.sleep(60)
"""


def holder(file: Path) -> subprocess.Popen:
    """Another process that holds the lock of ``file``."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(file)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.read(4) == b"held"
    return process


def test_a_lock_is_had_by_one_and_ends_with_its_process(tmp_path):
    file = tmp_path / "lock"
    assert is_taken(file) is None
    process = holder(file)
    assert is_taken(file)
    assert take(file, patience=0.1) is None
    process.kill()
    process.communicate()
    assert is_taken(file) is False
    with taken(file) as mine, taken(file) as another:
        assert (mine, another) == (True, False)
        assert is_taken(file)
    assert is_taken(file) is False


def test_whoever_inherits_a_lock_holds_it_too(tmp_path):
    file = tmp_path / "lock"
    mine = take(file)
    process = subprocess.Popen(["sleep", "60"], pass_fds=[mine])
    os.close(mine)
    assert is_taken(file)
    process.kill()
    process.wait()
    assert is_taken(file) is False


@pytest.mark.parametrize(
    ("status", "live", "shown"),
    [
        ("running", True, "running"),
        ("running", False, "cut off"),
        ("running", None, "running"),  # of a run without a file to lock nothing is known
        ("stopped", True, "running"),  # a resume that has not come to write so
        ("failed: OSError", False, "failed: OSError"),
    ],
)
def test_a_table_shows_whether_somebody_is_at_it(tmp_path, status, live, shown):
    run = tmp_path / "runs" / "gan" / "a" / "0-s0"
    write(run / "record.json", record(status=status, clock=cut_off(280)))
    write(run / "checkpoints" / "last.ckpt", "")
    if live is not None:
        write(run / "command.txt", "atelier fit\n")
    held = take(run / "command.txt") if live else None
    assert goes_on(run) is live
    ((line,), _) = read(tmp_path)
    way_on = [] if shown == "running" else [f"to go on: `atelier fit --resume {run}`"]
    assert line.marks == [shown, "280 of 700 kimg", *way_on]
    if held is not None:
        os.close(held)


def test_a_committed_record_of_a_run_that_never_ended_goes_on_nowhere(tmp_path):
    commit(tmp_path / "results", "a", status="running", clock=cut_off(280))
    ((line,), _) = read(tmp_path)
    assert line.marks == ["cut off", "280 of 700 kimg", "in full: `atelier fit gan/dcgan_mnist32`"]


def test_what_asked_for_less_is_not_advised_to_go_on(tmp_path):
    run = tmp_path / "runs" / "gan" / "a" / "0-s0"
    write(run / "record.json", record(status="stopped", clock=cut_off(280, 400)))
    write(run / "checkpoints" / "last.ckpt", "")
    ((line,), _) = read(tmp_path)
    assert line.marks == ["280 of 700 kimg", "in full: `atelier fit gan/dcgan_mnist32`"]


@pytest.mark.usefixtures(place.__name__)
def test_a_run_is_trained_by_one_process_at_a_time(capfd, monkeypatch):
    run = tiny()
    assert goes_on(run) is False
    monkeypatch.setattr("experiments.runs.PATIENCE", 0.1)
    process = holder(run / "command.txt")
    capfd.readouterr()
    said = refused(capfd, "fit", "--resume", str(run), "--clock.g_steps", "8")
    assert said == f"{run.name} goes on in another process: wait for its end, or stop it first."
    with monkeypatch.context() as child:  # of the process that holds it
        child.setattr(train, "is_child_rank", lambda: True)
        child.setattr(train, "resume", lambda *_: 0)
        assert main(["fit", "--resume", str(run)]) == 0
    process.kill()
    process.communicate()
    assert main(["fit", "--resume", str(run), "--clock.g_steps", "8"]) == 0


@pytest.mark.usefixtures(place.__name__)
def test_training_needs_no_locks(monkeypatch):
    def without(*arguments: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", without)
    run = tiny()
    assert json.loads((run / "record.json").read_text())["status"] == "finished"
    assert goes_on(run) is None


def scored() -> Path:
    """A run of the tiny experiment that is measured."""
    text = TINY.replace("size: 8,", "size: 32,").replace("evaluation: null", "evaluation: {extractor: digits-cnn}")
    Path("tiny.yaml").write_text(text)
    return tiny("--evaluation.fakes", "20", "--checkpoint.monitor", "val/fid@digits-cnn")


@pytest.mark.usefixtures(place.__name__)
def test_a_run_that_goes_on_keeps_what_it_measured(capfd):
    run = scored()
    before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    Path("blind.yaml").write_text("evaluation: null")
    capfd.readouterr()
    for change in (["--evaluation", "null"], ["--config", "blind.yaml"]):
        said = refused(capfd, "fit", "--resume", str(run), "--clock.g_steps", "6", *change)
        assert said == (
            "a resumed run keeps its scores, and this would end evaluation: leave that as it is, only a new run can do"
            " without."
        )
    assert {file: file.read_bytes() for file in run.rglob("*") if file.is_file()} == before


@pytest.mark.parametrize("name", SCORES)
def test_a_run_that_goes_on_may_be_measured_by_more_and_otherwise_but_not_by_less(name):
    with_it, without = {name: {"batch": 1}, "seed": 0}, {name: None, "seed": 0}
    for old, new in ((without, with_it), (without, without), (with_it, with_it), (with_it, {**with_it, name: {}})):
        refuse_changes(old, new)
    with pytest.raises(UserError, match=f"would end {name}: "):
        refuse_changes(with_it, without)


@pytest.mark.usefixtures(place.__name__)
def test_a_kill_after_the_last_checkpoint_leaves_nothing_undone():
    run = scored()
    whole = json.loads((run / "record.json").read_text())
    assert whole["status"] == "finished"
    assert len(whole["scores"][0]["history"]) == 3
    killed = json.loads((run / "record.json").read_text())
    killed |= {"status": "running", "clock": {**killed["clock"], "d_step": 2, "g_step": 2, "kimg": 0.016}}
    del killed["scores"][0]["history"][2:], killed["scores"][0]["best"]
    write(run / "record.json", killed)
    assert main(["fit", "--resume", str(run)]) == 0
    assert json.loads((run / "record.json").read_text()) == whole
    killed["clock"]["total_d_steps"] = 8
    write(run / "record.json", killed)
    assert main(["fit", "--resume", str(run)]) == 0  # a part is a part, even where nothing more is asked for
    assert json.loads((run / "record.json").read_text()) == killed


def test_of_many_resumes_the_last_ones_configuration_is_in_force(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    for i in range(11):
        run.write_config(f"number: {i}")
    assert [path.name for path in run.configs] == ["config.yaml", *(f"config-{i}.yaml" for i in range(2, 12))]
    assert run.config.read_text() == "number: 10"


SRUN = {"NTASKS": "2", "NTASKS_PER_NODE": "2", "LOCALID": "0", "NODEID": "0", "JOB_ID": "12", "JOB_NAME": "python"}


@pytest.mark.usefixtures(place.__name__)
@pytest.mark.parametrize(("task", "devices"), [("0", "2"), ("1", "2"), ("1", "1")])
def test_ranks_that_slurm_starts_leave_no_directories(capfd, monkeypatch, task, devices):
    monkeypatch.setattr(rank_zero_only, "rank", 0)  # which the trainer sets to the task's for all that follows
    for name, value in (SRUN | {"PROCID": task}).items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    said = refused(capfd, "fit", "tiny.yaml", "--trainer.devices", devices)
    assert said.startswith("Slurm's 2 tasks would be ranks without the run directory of the first: start one, as by")
    assert not Path("runs").exists()
    with monkeypatch.context() as first:
        first.setenv("SLURM_PROCID", "0")
        refuse_tasks(devices=1)
    monkeypatch.setenv("SLURM_JOB_NAME", "interactive")
    refuse_tasks(devices=2)


@pytest.mark.usefixtures(place.__name__)
def test_terms_that_are_refused_late_cost_no_checkpoint(capfd, monkeypatch):
    d_loss = GAN.d_loss

    def late(self, x, y):
        return d_loss(self, x, y) | ({"d/late": x.square()} if self.global_step == 3 else {})

    monkeypatch.setattr(GAN, "d_loss", late)
    assert main(["fit", "tiny.yaml"]) == 1
    (run,) = runs()
    said = capfd.readouterr().err
    assert "the term d/late of GAN is of shape" in said
    assert said.endswith(f"(the run is kept in {run}).\n")
    assert (run / "checkpoints/last.ckpt").is_file()


@pytest.mark.usefixtures(place.__name__)
@pytest.mark.parametrize("tasks", ["1", "2"])
def test_in_a_job_of_slurms_the_devices_are_counted_and_not_the_tasks(capfd, monkeypatch, tasks):
    for name, value in (SRUN | {"PROCID": "0", "NTASKS": tasks}).items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.delenv("SLURM_NTASKS_PER_NODE")  # sbatch --ntasks
    cli = AtelierCLI([("tiny", read_layer(Path("tiny.yaml")))], ["--trainer.devices", "2"])
    cli.build()
    trainer = cli.make_trainer(Path())
    assert (trainer.num_devices, trainer.world_size) == (2, 2)
    assert isinstance(trainer.strategy.cluster_environment, LightningEnvironment)

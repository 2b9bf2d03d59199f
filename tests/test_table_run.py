"""Laws of `atelier table --run` with a stand-in for training: what is run, what is not, what is said of it."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import table_stand_in
import yaml
from command_line import place, refused
from table_records import NAME, STARTED, TABLE, cut_off, record, write

from datamodules.functional.locks import take
from experiments import table_executors, table_jobs, table_run
from experiments.cli import main
from experiments.runs import goes_on
from experiments.table_cells import read_keys
from experiments.table_run_keys import stored_keys

RUN = ["table", "mine.yaml", "--run"]
KEY = read_keys()[NAME].key
WAIT = 20  # seconds at most


@pytest.fixture(autouse=True)
def here(request, monkeypatch):
    """A table of three seeds in a directory of its own, with a stand-in for training."""
    request.getfixturevalue(place.__name__)
    monkeypatch.setattr(table_jobs, "ATELIER", (sys.executable, table_stand_in.__file__))
    monkeypatch.setattr("experiments.table.RESULTS", Path("results"))
    monkeypatch.setattr(table_run, "GRACE", 0.01)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    Path("mine.yaml").write_text(yaml.safe_dump({**TABLE, "seeds": [0, 1, 2]}))


def notes() -> list[str]:
    return Path("notes").read_text().splitlines() if Path("notes").exists() else []


def made() -> list[Path]:
    """Records below runs, by seed."""
    return sorted(Path("runs").rglob("record.json"), key=lambda file: str(file).split("-s")[-1])


def begin(*argv: str) -> subprocess.Popen:
    """The same command as a process of a session of its own."""
    return subprocess.Popen(
        [sys.executable, table_stand_in.__file__, *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def until(condition) -> None:
    limit = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_what_is_missing_is_run_and_what_is_done_is_not(capfd):
    write(Path("results/gan/s1.json"), record(fid=7.0, seed=1, key=KEY))
    assert main(RUN) == 0
    said = capfd.readouterr()
    assert notes() == ["begin 0 None", "end 0", "begin 2 None", "end 2"]
    assert [record.parts[:3] for record in made()] == [("runs", "gan", "dcgan_mnist32")] * 2
    assert "| `gan/dcgan_mnist32` | 3.7 ± 3.1 | 3 |" in said.out  # of 1, 7 and 3
    assert "[1/2] gan/dcgan_mnist32 seed 0: atelier fit gan/dcgan_mnist32 --seed_everything 0\n" in said.err
    assert "3 cells: 2 done now, 1 done before\n" in said.err
    assert main(RUN) == 0
    assert len(notes()) == 4


def test_a_table_is_made_anew_beside_what_is_committed(capfd):
    for seed in range(3):
        write(Path(f"results/gan/s{seed}.json"), record(fid=7.0 + seed, seed=seed, key=KEY, wall_seconds=600))
    assert main(["table", "mine.yaml", "--own", "--run", "--dry_run"]) == 0
    assert "3 of 3 cells to run, about 30 min one after another" in capfd.readouterr().out
    assert main([*RUN, "--own"]) == 0
    said = capfd.readouterr()
    assert "3 cells: 3 done now\n" in said.err
    assert "FID ↓ | committed | runs |" in said.out
    assert "| `gan/dcgan_mnist32` | 2.0 ± 1.0 | 8.0 ± 1.0 | 3 |" in said.out
    assert main(["table", "mine.yaml"]) == 0
    assert "| `gan/dcgan_mnist32` | 8.0 ± 1.0 | 3 |" in capfd.readouterr().out


def test_what_was_cut_off_is_resumed_unless_it_was_of_something_else():
    runs = Path("runs/gan/dcgan_mnist32")
    for i, (seed, key, length) in enumerate([(0, KEY, 700), (1, "other", 700), (2, KEY, 400)]):
        write(runs / str(i) / "record.json", record(seed=seed, key=key, status="stopped", clock=cut_off(280, length)))
        write(runs / str(i) / "checkpoints" / "last.ckpt", "")
        write(runs / str(i) / "command.txt", "")
    write(runs / "3" / "record.json", record(seed=0, key=KEY, status="running", clock=cut_off(290)))  # saved nothing
    write(runs / "3" / "command.txt", "")
    assert main(RUN) == 0
    commands = [line for run in sorted(runs.iterdir()) for line in (run / "command.txt").read_text().splitlines()]
    assert sorted(commands) == [
        "atelier fit --resume runs/gan/dcgan_mnist32/0",
        "atelier fit gan/dcgan_mnist32 --seed_everything 1",
        "atelier fit gan/dcgan_mnist32 --seed_everything 2",
    ]


def test_a_failed_cell_costs_a_sentence_and_the_others_are_run(capfd):
    Path("fails").write_text("1")
    assert main(RUN) == 1
    said = capfd.readouterr()
    assert [note for note in notes() if note.startswith("end")] == ["end 0", "end 2"]
    assert "| 2 of 3 |" in said.out
    (sentence,) = [line for line in said.err.splitlines() if line.startswith("atelier: ")]
    assert "gan/dcgan_mnist32 seed 1 failed: the disk is full (its output is in runs/.table/" in sentence
    assert "some output" in next(Path("runs/.table").glob(f"{sentence.split('/')[-1].split('.')[0]}.log")).read_text()
    Path("fails").unlink()
    assert main(RUN) == 0
    assert Counter(notes())["begin 1 None"] == 2
    assert "end 1" in notes()


def test_jobs_share_the_cores(monkeypatch):
    monkeypatch.setattr(table_executors, "cores", lambda: 7)
    Path("seconds").write_text("0.6")
    assert main([*RUN, "--jobs", "3"]) == 0
    assert sorted(notes()[:3]) == ["begin 0 2", "begin 1 2", "begin 2 2"]
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert main([*RUN, "--jobs", "2", "--runs_dir", "others"]) == 0
    assert sorted(notes()[6:8]) == ["begin 0 5", "begin 1 5"]
    assert len(list(Path("others").rglob("record.json"))) == 3


def test_two_commands_never_run_the_same_cell():
    Path("seconds").write_text("0.3")
    both = [begin(*RUN), begin(*RUN, "--jobs", "2")]
    ended = [process.communicate(timeout=WAIT) for process in both]
    assert [process.returncode for process in both] == [0, 0], ended
    assert sorted(note.split()[1] for note in notes() if note.startswith("begin")) == ["0", "1", "2"]
    assert len(made()) == 3


def test_after_the_lock_the_results_are_read_again(monkeypatch, capfd):
    def late(place, once=[True]):  # noqa: B006
        found = seen(place)
        if once:
            once.clear()
            for seed in (0, 1, 2):  # somebody else does it all between the plan and the first lock
                write(Path(f"results/gan/s{seed}.json"), record(seed=seed, key=KEY))
        return found

    seen = table_jobs.Place.read
    monkeypatch.setattr(table_jobs.Place, "read", late)
    assert main(RUN) == 0
    assert notes() == []
    assert "3 cells: 3 done now" in capfd.readouterr().err


def test_ctrl_c_saves_and_the_same_command_goes_on():
    Path("seconds").write_text("60")
    process = begin(*RUN, "--jobs", "2")
    until(lambda: len(notes()) == 2)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=WAIT)
    assert process.returncode == 130
    assert "stopping: 2 of the runs save a last checkpoint" in said
    assert "3 cells: 2 stopped, 1 not begun" in said
    assert said.endswith("interrupted: `atelier table mine.yaml --run --jobs 2` goes on from the last checkpoints.\n")
    assert len(list(Path("runs").rglob("last.ckpt"))) == 2
    Path("seconds").write_text("0")
    assert main(RUN) == 0
    assert len(made()) == 3
    assert sum("--resume" in (file.parent / "command.txt").read_text() for file in made()) == 2


@pytest.mark.parametrize("phase", ["delay", "seconds"])
def test_the_run_of_a_killed_command_goes_on_and_keeps_its_cell(capfd, phase):
    Path(phase).write_text("go")
    process = begin(*RUN)
    until(notes)
    process.kill()
    process.communicate(timeout=WAIT)
    Path(phase).unlink()
    assert main(RUN) == 0
    assert "3 cells: 2 done now, 1 going on elsewhere" in capfd.readouterr().err
    Path("go").touch()
    until(lambda: "end 0" in notes())
    assert main(RUN) == 0
    assert "3 cells: 3 done before" in capfd.readouterr().err
    assert len(made()) == 3


def test_a_live_run_counts_as_going_on_before_it_says_so(capfd):
    run = Path("runs/gan/dcgan_mnist32/0")
    write(run / "record.json", record(key=KEY, status="stopped", clock=cut_off(280)))
    write(run / "checkpoints" / "last.ckpt", "")
    live = take(run / "command.txt")
    assert main([*RUN, "--jobs", "2"]) == 0
    said = capfd.readouterr()
    assert "3 cells: 2 done now, 1 going on elsewhere" in said.err
    assert "seed 0 left out: running, 280 of 700 kimg; seeds 2 of 3 |" in said.out
    os.close(live)


def test_what_another_let_go_of_meanwhile_is_taken_up(monkeypatch, capfd):
    def look_again(shift):
        for process in other:  # the other command is killed while this one does the rest
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate(timeout=WAIT)
        other.clear()
        until(lambda: not any(goes_on(file.parent) for file in made()))
        return look(shift)

    look = table_run.Shift.look_again
    monkeypatch.setattr(table_run.Shift, "look_again", look_again)
    Path("seconds").write_text("60")
    other = [begin(*RUN)]
    until(notes)
    Path("seconds").write_text("0")
    assert main(RUN) == 0
    said = capfd.readouterr().err
    assert "gan/dcgan_mnist32 seed 0: atelier fit gan/dcgan_mnist32 --seed_everything 0" in said
    assert "3 cells: 3 done now" in said


def test_a_dry_run_prints_commands_and_times_and_does_nothing(capfd):
    write(Path("results/gan/s1.json"), record(seed=1, key=KEY, wall_seconds=6000))
    run = Path("runs/gan/dcgan_mnist32/0")
    write(run / "record.json", record(seed=2, key=KEY, status="stopped", clock=cut_off(350), wall_seconds=2400))
    write(run / "checkpoints" / "last.ckpt", "")
    before = set(Path().rglob("*"))
    assert main(["table", "mine.yaml", "--run", "--dry_run"]) == 0
    assert capfd.readouterr().out.splitlines() == [  # by the local run: 350 kimg in 40 minutes
        "atelier fit gan/dcgan_mnist32 --seed_everything 0  about 1 h 20 min",
        "atelier fit --resume runs/gan/dcgan_mnist32/0      about 40 min",
        "2 of 3 cells to run, about 2 h 0 min one after another",
    ]
    assert set(Path().rglob("*")) == before
    Path("runs").rename("elsewhere")
    Path("results").rename("other")
    assert main(["table", "mine.yaml", "--dry_run"]) == 0
    said = capfd.readouterr().out.splitlines()
    assert [line.split("  ")[-1] for line in said[:3]] == ["unknown"] * 3
    assert said[3] == "3 of 3 cells to run, 3 of unknown length"


def test_the_key_of_a_row_of_ones_own_is_computed_and_kept():
    row = {"experiment": NAME, "overrides": {"model.n_critic": 2, "model.ema": None}}
    Path("mine.yaml").write_text(yaml.safe_dump({**TABLE, "rows": [row]}))
    name = f"{NAME} model.ema=None model.n_critic=2"
    assert main([*RUN, "--dry_run"]) == 0
    assert not Path("runs").exists()
    assert main(RUN) == 1  # the stand-in's record bears the key of the plain experiment, so the cell stays empty
    assert stored_keys(Path("runs"))[name].key not in (KEY, "")
    write(Path("runs/gan/x/0/record.json"), record(key=stored_keys(Path("runs"))[name].key, started=[STARTED]))
    assert main(RUN) == 0
    assert len([note for note in notes() if note.startswith("begin")]) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("table mnits --run", "there is no table mnits: did you mean mnist?"),
        ("table --run", "--run needs a table: `atelier table` names them all"),
        ("table mine.yaml --run --jobs 0", "--jobs expects a whole number of at least 1, got '0'"),
        ("table mine.yaml --run --jobs many", "--jobs expects a whole number of at least 1, got 'many'"),
        ("table mine.yaml --jobs 2", "--jobs says how to run what is missing: add --run"),
        ("table mine.yaml --executor slurm", "--executor says how to run what is missing: add --run"),
        ("table mine.yaml --run --executor slrm", "there is no executor slrm: did you mean slurm?"),
        ("table mine.yaml --run --slurm.hours 3", "--slurm.hours goes with --executor slurm"),
        ("table mine.yaml --run --executor slurm --slurm.gpus -1", "--slurm.gpus expects a whole number of at least 0"),
        ("table mine.yaml --rum", "there is no option --rum: did you mean --run?"),
        ("table missing.yaml --run", "there is no experiment gan/dcgan_mnist33: did you mean gan/dcgan_mnist32?"),
        ("table odd.yaml --run", "gan/dcgan_mnist32: there is no key model.n_critics: did you mean model.n_critic?"),
        ("table mine.yaml --run --runs_dir mine.yaml", "mine.yaml/.table cannot be made (Not a directory)"),
    ],
)
def test_a_mistake_costs_one_sentence(capfd, words, said):
    Path("missing.yaml").write_text(yaml.safe_dump({**TABLE, "rows": [{"experiment": "gan/dcgan_mnist33"}]}))
    row = {"experiment": NAME, "overrides": {"model.n_critics": 2}}
    Path("odd.yaml").write_text(yaml.safe_dump({**TABLE, "rows": [row]}))
    assert said in refused(capfd, *words.split())


@pytest.mark.parametrize(
    ("lacking", "said"),
    [
        ("importlib.util.find_spec", "--executor slurm needs submitit: pip install 'lightning-atelier[slurm]'"),
        ("shutil.which", "--executor slurm finds no sbatch here"),
    ],
)
def test_what_slurm_needs_is_named(capfd, monkeypatch, lacking, said):
    if lacking == "shutil.which":
        pytest.importorskip("submitit")
    monkeypatch.setattr(lacking, lambda name: None)
    assert said in refused(capfd, *RUN, "--executor", "slurm")

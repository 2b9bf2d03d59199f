"""Stands in for `atelier fit` where tests run tables: takes its options, its lock and its time, and writes its record.

``python table_stand_in.py table ...`` is `atelier table` with committed records from ``results`` of the working
directory, and with this file as what runs a cell. A cell lasts as long as the file ``seconds`` says, before its run
directory is made ``delay``: a number, or ``go``, until a file of that name is there. A seed that the file ``fails``
names ends in an error.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from table_records import NAME, cut_off, record, write

from experiments import table, table_jobs
from experiments.cli import main
from experiments.runs import RunDirectory, create_run
from experiments.table_cells import read_keys

DONE, LEFT = 350, 700  # kimg: where a resumed run was stopped, and the whole length


def said(name: str) -> str:
    file = Path(name)
    return file.read_text() if file.exists() else ""


def spend(seconds: str) -> None:
    while seconds == "go" and not Path("go").exists():
        time.sleep(0.01)
    time.sleep(float(seconds) if seconds != "go" else 0)


def keep(run: RunDirectory, seed: int, status: str, kimg: float) -> None:
    content = record(fid=1.0 + seed, seed=seed, status=status, clock=cut_off(kimg, LEFT), key=read_keys()[NAME].key)
    write(run.path / "record.json", content | {"started": [run.path.name]})


def fit(words: list[str]) -> int:
    if said("delay"):
        note("delayed")
        spend(said("delay"))
    options = dict(zip(words[1::2], words[2::2], strict=True)) if words[0] == NAME else {}
    if "--resume" in words:
        run = RunDirectory(Path(words[1]).absolute())
        seed = json.loads((run.path / "record.json").read_text())["seed"]
    else:
        seed = int(options["--seed_everything"])
        run = create_run(options.get("--runs_dir", "runs"), NAME, seed)

    def stop(number: int, frame: FrameType | None) -> None:
        write(run.last_checkpoint, "")
        keep(run, seed, "stopped", DONE)
        sys.exit(130)

    signal.signal(signal.SIGTERM, stop)
    with run.going_on():
        run.add_command(["fit", *words])
        keep(run, seed, "running", 0)
        length = said("seconds") or "0"  # before the note, after which a test may write another
        note(f"begin {seed} {os.environ.get('OMP_NUM_THREADS')}")
        if str(seed) in said("fails"):
            print("some output\natelier: the disk is full.\natelier is sorry", file=sys.stderr)
            return 1
        spend(length)
        keep(run, seed, "finished", LEFT)
        note(f"end {seed}")
    return 0


def note(text: str) -> None:
    with open("notes", "a") as file:
        file.write(f"{text}\n")


def stand_in() -> None:
    """Let tables run this file."""
    table_jobs.ATELIER = (sys.executable, __file__)
    table.RESULTS = Path("results")


if __name__ == "__main__":
    if sys.argv[1] == "fit":
        sys.exit(fit(sys.argv[2:]))
    stand_in()
    sys.exit(main(sys.argv[1:]))

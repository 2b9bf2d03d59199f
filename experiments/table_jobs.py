"""One cell of a table as work: whether anything is left of it, the command that does it, its run under a lock.

The lock is the cell's, not the table's: whoever has it reads the results once more before running anything, so that
nothing is run twice. The run holds it together with the process that started it, for where that one alone is killed.
"""

import hashlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from datamodules.functional.locks import take
from experiments.catalogue import ROOT
from experiments.table_cells import Candidate, Known, Wanted, candidate
from experiments.table_results import RUNNING, Result, read_results

ATELIER = (sys.executable, "-m", "experiments")
WORK = ".table"  # below runs_dir: locks and output of the cells
TAIL = 16384  # bytes of a run's output in which its last words are looked for
SAID = "atelier: "  # how the command line begins its sentence


@dataclass(frozen=True)
class Place:
    """Where records are: committed ones below ``results``, which count unless ``own``, local ones below ``runs``."""

    results: Path
    runs: Path
    own: bool = False

    @property
    def work(self) -> Path:
        """Where this command keeps what is its own."""
        return self.runs / WORK

    def read(self) -> list[Result]:
        """Every run that counts, as of now; damaged records are the table's to name."""
        return [result for result in self.read_all() if not (self.own and result.committed)]

    def read_all(self) -> list[Result]:
        """Every run, also where it does not count."""
        return read_results(self.results, self.runs)[0]


class State(Enum):
    """How a cell stands."""

    DONE = "done"
    GOING_ON = "going on elsewhere"
    LEFT = "to do"


@dataclass(frozen=True)
class Task:
    """What is left of a cell.

    Args:
        state: of the cell.
        words: the command after ``atelier`` that does what is left.
        share: of the length that is done already.
    """

    state: State
    words: tuple[str, ...] = ()
    share: float = 0.0

    @property
    def command(self) -> str:
        """As it would be typed."""
        return shlex.join(["atelier", *self.words])


@dataclass(frozen=True, eq=False)  # a key of dictionaries, which its overrides cannot be
class Cell:
    """One run that a table wants."""

    wanted: Wanted
    seed: int
    known: Known
    label: str

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.label} seed {self.seed}"

    @property
    def id(self) -> str:
        """The same in every table that wants this run."""
        whole = (self.wanted.experiment, self.known.key, self.wanted.length, self.seed)
        return hashlib.sha256(repr(whole).encode()).hexdigest()[:16]

    def log(self, place: Place) -> Path:
        """Where the output of its latest run lies."""
        return place.work / f"{self.id}.log"

    def task(self, place: Place, results: Iterable[Result]) -> Task:
        """What ``results`` leave to do."""
        options = (candidate(result, self.wanted, self.seed, self.known) for result in results)
        found = [one for one in options if one is not None]
        if any(one.is_whole for one in found):
            return Task(State.DONE)
        if any(one.result.status == RUNNING and not one.shorter for one in found):
            return Task(State.GOING_ON)
        cut_off = [one for one in found if one.resume is not None]
        if not cut_off:
            return Task(State.LEFT, tuple(self.words(place)))
        latest = max(cut_off, key=lambda one: (one.result.share, one.result.started))
        return Task(State.LEFT, resuming(latest), latest.result.share)

    def words(self, place: Place) -> list[str]:
        """The command from the start: training makes a run directory, a test gets one for its record."""
        words = [*self.wanted.words, "--seed_everything", str(self.seed)]
        if self.wanted.length is not None:
            return [*words, *(["--runs_dir", str(place.runs)] if place.runs != Path("runs") else [])]
        folder = place.runs / self.wanted.experiment / f"{time.strftime('%Y%m%d-%H%M%S')}-s{self.seed}"
        return [*words, "--out", str(folder / "record.json")]


def resuming(one: Candidate) -> tuple[str, ...]:
    """The command that goes on with a run."""
    assert one.resume is not None
    return tuple(shlex.split(one.resume)[1:])


class End(Enum):
    """How an attempt at a cell ended."""

    DONE = "done"
    ELSEWHERE = "going on elsewhere"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True)
class Outcome:
    """What came of an attempt, and of one that failed, why."""

    end: End
    said: str = ""


def begin(cell: Cell, place: Place, environment: Mapping[str, str]) -> "Going | Outcome":
    """Run what is left of ``cell``, unless somebody else does or did.

    Args:
        cell: to be done.
        place: where records are.
        environment: what the run's is to hold beside this process's.
    """
    try:
        place.work.mkdir(parents=True, exist_ok=True)
        lock = take(place.work / f"{cell.id}.lock")
    except OSError as error:
        return Outcome(End.FAILED, f"no lock can be had in {place.work} ({error.strerror})")
    if lock is None:
        return Outcome(End.ELSEWHERE)
    task = cell.task(place, place.read())
    try:
        if task.state is State.LEFT:
            return Going(cell, place, lock, start(task.words, cell.log(place), lock, environment))
    except OSError as error:
        os.close(lock)
        return Outcome(End.FAILED, f"no process can be started ({error.strerror})")
    os.close(lock)
    return Outcome(End.DONE if task.state is State.DONE else End.ELSEWHERE)


def start(words: Sequence[str], log: Path, lock: int, environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    """``atelier WORDS`` as a process by this very code, whose output goes to ``log`` and which holds ``lock``."""
    path = os.pathsep.join(filter(None, [str(ROOT.parent), os.environ.get("PYTHONPATH")]))
    mine = {"PYTHONPATH": path, "PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1"}
    with log.open("wb") as output:
        return subprocess.Popen(
            [*ATELIER, *words],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **mine, **environment},
            pass_fds=(lock,),
        )


@dataclass
class Going:
    """A run that was begun here."""

    cell: Cell
    place: Place
    lock: int
    process: "subprocess.Popen[bytes]"
    stopped: bool = False

    def poll(self) -> Outcome | None:
        """What came of it; None as long as it goes on."""
        code = self.process.poll()
        if code is None:
            return None
        left = self.cell.task(self.place, self.place.read())
        os.close(self.lock)
        if left.state is State.DONE:
            return Outcome(End.DONE)
        if self.stopped:
            return Outcome(End.STOPPED)
        log = self.cell.log(self.place)
        return Outcome(End.FAILED, f"{last_words(log, code)} (its output is in {log})")

    def wait(self) -> Outcome:
        """What came of it, at its end."""
        self.process.wait()
        outcome = self.poll()
        assert outcome is not None
        return outcome

    def stop(self) -> None:
        """Ask it to save a checkpoint and end."""
        self.stopped = True
        self.process.terminate()

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()


def attempt(cell: Cell, place: Place) -> Outcome:
    """Run what is left of ``cell`` to the end, for machines that were handed one cell."""
    begun = begin(cell, place, {})
    return begun if isinstance(begun, Outcome) else begun.wait()


def last_words(log: Path, code: int) -> str:
    """Why a run ended with ``code`` before its cell was filled."""
    if code < 0:
        return f"it was ended by {signal.Signals(-code).name}"
    if code == 0:
        return "it ended well and yet does not fill the cell: it was stopped early, or its settings are not the table's"
    said = tail(log)
    sentences = [line for line in said if line.startswith(SAID)]
    return sentences[-1].removeprefix(SAID).rstrip(".") if sentences else [f"exit code {code}", *said][-1]


def tail(log: Path) -> list[str]:
    """The last lines of a run's output that hold anything; none where it has said nothing yet."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [line.strip() for line in text.splitlines() if line.strip()]

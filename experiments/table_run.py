"""``atelier table NAME --run``: run what is missing, go on with what was cut off, skip what is done."""

import shlex
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from experiments.errors import InterruptedRunError, UserError, did_you_mean
from experiments.request import Request, number
from experiments.table_cells import wanted
from experiments.table_executors import EVERY, Executor, Job, LocalExecutor, SubmititExecutor
from experiments.table_file import Table
from experiments.table_jobs import Cell, End, Outcome, Place, State, Task
from experiments.table_run_keys import keep_keys, todays_keys
from experiments.table_run_plan import show_plan
from experiments.table_run_watch import Signals, Watch

RUN, DRY_RUN, OWN = "--run", "--dry_run", "--own"
SLURM = ("--slurm.partition", "--slurm.gpus", "--slurm.hours")
OPTIONS = ("--jobs", "--executor", *SLURM)
POLL = 0.2  # seconds
GRACE = 2.0  # seconds: the processes of a command that was just killed may take that long to be gone


def local(request: Request, place: Place) -> Executor:
    """This machine."""
    given = [name for name in SLURM if name in request.own]
    if given:
        raise UserError(f"{given[0]} goes with --executor slurm: add that, or leave it out")
    return LocalExecutor(place, number(request, "--jobs", 1) or 1)


def slurm(request: Request, place: Place) -> Executor:
    """The cluster that this machine submits to."""
    at_once, hours = number(request, "--jobs", 1) or EVERY, number(request, "--slurm.hours", 1)
    gpus = number(request, "--slurm.gpus", 0)
    partition = request.own.get("--slurm.partition")
    return SubmititExecutor(place, at_once, partition, 1 if gpus is None else gpus, hours or 24)


EXECUTORS: Mapping[str, Callable[[Request, Place], Executor]] = {"local": local, "slurm": slurm}


def check(request: Request) -> None:
    """See that the options suit each other.

    Raises:
        UserError: they do not.
    """
    given = [name for name in OPTIONS if name in request.own]
    if given and not request.flags & {RUN, DRY_RUN}:
        raise UserError(f"{given[0]} says how to run what is missing: add --run, or leave it out")
    if request.flags and request.target is None:
        raise UserError(f"{min(request.flags)} needs a table: `atelier table` names them all")
    number(request, "--jobs", 1)
    name = request.own.get("--executor", "local")
    if name not in EXECUTORS:
        raise UserError(f"there is no executor {name}: {did_you_mean(name, EXECUTORS, 'known are local and slurm')}")


def run(table: Table, place: Place, request: Request, argv: Sequence[str]) -> list[str]:
    """Run the cells of ``table`` that are not done; a sentence for each that failed.

    Raises:
        UserError: a row's experiment or overrides, or an executor that cannot be had; nothing was begun.
        InterruptedRunError: Ctrl-C.
    """
    rows = [(row, wanted(row, table.name)) for row in table.rows]
    keys = todays_keys([want for _, want in rows], place.runs)
    cells: dict[str, Cell] = {}  # two rows may show the same runs
    for row, want in rows:
        label = row.label if row.label and row.overrides else want.experiment
        for seed in row.seeds or table.seeds:
            cell = Cell(want, seed, keys[want.name], label)
            cells.setdefault(cell.id, cell)
    results = place.read()
    tasks = {cell: cell.task(place, results) for cell in cells.values()}
    if DRY_RUN in request.flags:
        show_plan(tasks, place.read_all())
        return []
    executor = EXECUTORS[request.own.get("--executor", "local")](request, place)
    if any(task.state is State.LEFT for task in tasks.values()):
        make(place)
        keep_keys({want.name: keys[want.name] for _, want in rows}, place.runs)
    return Shift(executor, place, tasks).work(shlex.join(["atelier", "table", *argv]))


def make(place: Place) -> None:
    """See that runs can be put there.

    Raises:
        UserError: they cannot.
    """
    try:
        place.work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{place.work} cannot be made ({error.strerror}): give another --runs_dir") from error


@dataclass
class Shift:
    """The cells of one command, on their way.

    Args:
        executor: runs them.
        place: where records are.
        tasks: what is left of each of the table's cells.

    Attributes:
        looked_again: whether the cells that others had were looked at once more.
    """

    executor: Executor
    place: Place
    tasks: dict[Cell, Task]
    watch: Watch = field(default_factory=Watch)
    ended: dict[Cell, Outcome] = field(default_factory=dict)
    going: dict[Cell, tuple[Job, float]] = field(default_factory=dict)
    looked_again: bool = False

    def __post_init__(self) -> None:
        self.waiting = deque(cell for cell, task in self.tasks.items() if task.state is State.LEFT)
        unfinished = [cell for cell, task in self.tasks.items() if task.state is not State.DONE]
        self.numbers = {cell: f"[{i}/{len(unfinished)}]" for i, cell in enumerate(unfinished, 1)}

    def work(self, again: str) -> list[str]:
        """Run what is left; a sentence for each cell that failed.

        Raises:
            InterruptedRunError: somebody asked to stop; ``again`` is the command that goes on.
        """
        try:
            interrupted = self.run()
        except BaseException:
            self.stop(at_once=False)
            raise
        self.watch.say(self.summary())
        failed = [f"{cell.name} failed: {out.said}" for cell, out in self.ended.items() if out.end is End.FAILED]
        if interrupted:
            said = "; ".join([*failed, f"interrupted: `{again}` goes on from the last checkpoints"])
            raise InterruptedRunError(said)
        return failed

    def run(self) -> bool:
        """Run what is left until all has ended; whether somebody asked to stop."""
        heard = 0
        with Signals() as signals:
            while self.waiting or self.going or (not heard and self.look_again()):
                if signals.count > heard:
                    heard = signals.count
                    self.stop(at_once=heard > 1)
                self.fill()
                self.look()
                if self.going:
                    time.sleep(POLL)
        return heard > 0

    def look_again(self) -> bool:
        """Take up, once, what others had when its turn came and have let go of since; whether that is anything."""
        others = [cell for cell, task in self.tasks.items() if task.state is State.GOING_ON]
        others += [cell for cell, outcome in self.ended.items() if outcome.end is End.ELSEWHERE]
        if self.looked_again or not others:
            return False
        self.looked_again = True
        time.sleep(GRACE)
        results = self.place.read()
        for cell in others:
            self.ended.pop(cell, None)
            self.tasks[cell] = cell.task(self.place, results)
            if self.tasks[cell].state is State.LEFT:
                self.waiting.append(cell)
        return bool(self.waiting)

    def fill(self) -> None:
        """Begin with as many cells as may go on at a time."""
        while self.waiting and len(self.going) < self.executor.at_once:
            cell = self.waiting.popleft()
            begun = self.executor.submit(cell)
            if isinstance(begun, Outcome):
                self.end(cell, begun, "")
                continue
            self.going[cell] = begun, time.monotonic()
            self.watch.say(f"{self.numbers[cell]} {cell.name}: {self.tasks[cell].command}")

    def look(self) -> None:
        """See which have ended, and how far the others are."""
        for cell, (job, since) in [*self.going.items()]:
            outcome = job.poll()
            if outcome is not None:
                del self.going[cell]
                self.end(cell, outcome, f" after {(time.monotonic() - since) / 60:.1f} min")
        self.watch.follow((self.numbers[cell], cell.log(self.place)) for cell in self.going)

    def end(self, cell: Cell, outcome: Outcome, after: str) -> None:
        """Say what came of a cell."""
        self.ended[cell] = outcome
        why = f": {outcome.said}" if outcome.said else ""
        self.watch.say(f"{self.numbers[cell]} {cell.name}: {outcome.end.value}{after}{why}")

    def stop(self, at_once: bool) -> None:
        """Begin nothing more, and let what goes on save its last checkpoint, or ``at_once`` not even that."""
        self.waiting.clear()
        for job, _ in self.going.values():
            if at_once:
                job.kill()
            else:
                job.stop()
        if self.going and not at_once:
            self.watch.say(f"stopping: {len(self.going)} of the runs save a last checkpoint; once more to end at once")

    def summary(self) -> str:
        """How all cells stand."""
        ends = [outcome.end for outcome in self.ended.values()]
        before = [task.state for task in self.tasks.values()]
        counts = {
            "done now": ends.count(End.DONE),
            "done before": before.count(State.DONE),
            State.GOING_ON.value: before.count(State.GOING_ON) + ends.count(End.ELSEWHERE),
            "failed": ends.count(End.FAILED),
            "stopped": ends.count(End.STOPPED),
            "not begun": before.count(State.LEFT) - len(ends),
        }
        said = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
        return f"{len(self.tasks)} cell{'' if len(self.tasks) == 1 else 's'}: {said}"

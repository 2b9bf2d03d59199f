"""``--run --dry_run``: the commands that ``--run`` would run, and how long each would take by the records there are."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from experiments.table_cells import COUNTERS
from experiments.table_jobs import Cell, State, Task
from experiments.table_results import Result


def show_plan(tasks: Mapping[Cell, Task], results: Sequence[Result]) -> None:
    """Print each command with its minutes, then the sum and what there is nothing to do for."""
    left = {cell: task for cell, task in tasks.items() if task.state is State.LEFT}
    minutes = {cell: minutes_of(cell, task, results) for cell, task in left.items()}
    width = max((len(task.command) for task in left.values()), default=0)
    for cell, task in left.items():
        print(f"{task.command:{width}}  {spoken(minutes[cell])}")
    known = [value for value in minutes.values() if value is not None]
    parts = [f"{len(left)} of {len(tasks)} cells to run"]
    parts += [f"{spoken(sum(known))} one after another"] if known else []
    parts += [f"{len(left) - len(known)} of unknown length"] if len(known) < len(left) else []
    going_on = sum(task.state is State.GOING_ON for task in tasks.values())
    parts += [f"{going_on} {State.GOING_ON.value}"] if going_on else []
    print(", ".join(parts))


def minutes_of(cell: Cell, task: Task, results: Iterable[Result]) -> float | None:
    """How long ``task`` takes, by runs of the same experiment: local ones where there are, else the committed.

    None where no record tells.
    """
    rates = {True: [], False: []}  # type: dict[bool, list[float]]
    for result in results:
        done = length_of(result, cell.wanted.length) if result.experiment == cell.wanted.experiment else None
        if done:
            rates[result.committed].append(result.minutes / done)
    here = rates[False] or rates[True]
    if not here:
        return None
    whole = 1.0 if cell.wanted.length is None else cell.wanted.length[1]
    return median(here) * whole * (1 - task.share)


def length_of(result: Result, wanted: tuple[str, float] | None) -> float | None:
    """What ``result`` has done, in the unit that is wanted; None where its record does not tell."""
    if wanted is None:
        return 1.0 if result.finished else None
    unit = wanted[0]
    stated = result.clock["length"]
    if unit in stated:
        return float(stated[unit]) * result.share
    return float(result.clock[COUNTERS[unit]]) if unit in COUNTERS else None


def spoken(minutes: float | None) -> str:
    """``minutes`` as people say them."""
    if minutes is None:
        return "unknown"
    if minutes < 1:
        return "under a minute"
    hours, rest = divmod(round(minutes), 60)
    return f"about {hours} h {rest} min" if hours else f"about {rest} min"

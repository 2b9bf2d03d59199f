"""The numbers of a table: mean and deviation over seeds, the best, the difference to what was published, and marks.

A run may have one score twice: its record's, of one evaluation, and that of ``atelier evaluate RUN --seeds 3``, a mean
over three sets of fakes. The table shows the one that was measured most nearly as it asks, which is a single evaluation
unless its preset or ``evaluations`` in its protocol says otherwise. Where there is only the other, it is marked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any

from experiments.table_cells import Filled, rounded
from experiments.table_file import EVALUATIONS, Column, Expected, Table
from experiments.table_results import Block, Result, is_generative
from lightning_modules.metrics.presets import Preset
from lightning_modules.metrics.protocol import FIELDS, Protocol, matters

DATA = ("data", "data_sha256")
Fields = Mapping[str, Any]
Departures = dict[str, tuple[Any, Any]]


@dataclass(frozen=True)
class Figure:
    """One score of one row, in the column's unit.

    Args:
        values: of the seeds, in their order.
        expected: what was published.
    """

    column: Column
    values: tuple[float, ...] = ()
    expected: Expected | None = None

    @property
    def mean(self) -> float | None:
        """Over the seeds; None where there is no run."""
        return fmean(self.values) if self.values else None

    @property
    def std(self) -> float | None:
        """Sample deviation over the seeds, which a single one does not have."""
        return stdev(self.values) if len(self.values) > 1 else None

    @property
    def difference(self) -> float | None:
        """Mean less the published value."""
        return None if self.mean is None or self.expected is None else self.mean - self.expected.value

    @property
    def tolerance(self) -> float | None:
        """How far from the published value is still right, in the column's unit; None where nothing says so."""
        if self.expected is None:
            return None
        stated = self.expected.tolerance or self.column.tolerance
        return None if stated is None else stated.of(self.expected.value, self.expected.spread)

    @property
    def is_outside(self) -> bool:
        """Whether the published value is missed by more than the tolerance, to either side."""
        tolerance, shown = self.tolerance, self.difference
        return tolerance is not None and shown is not None and round(abs(shown), self.column.digits) > tolerance


@dataclass
class Line:
    """A row ready to be shown.

    Args:
        filled: the row with its runs.
        figures: one a column.
        marks: what must be said of it.
        blocks: what each figure was taken from, one a run.
    """

    filled: Filled
    figures: list[Figure] = field(default_factory=list)
    marks: list[str] = field(default_factory=list)
    blocks: list[list[Block]] = field(default_factory=list)

    @property
    def results(self) -> list[Result]:
        """Its runs that count, by seed."""
        return [run.result for run in self.filled.counted.values()]


def lines(table: Table, rows: Sequence[Filled]) -> list[Line]:
    """Every row with its figures and marks, in the table's order."""
    found = [line(filled, table) for filled in rows]
    mark_protocols(found, table)
    if table.sorted:
        sign = 1 if table.columns[0].better == "lower" else -1
        found.sort(key=lambda one: (one.figures[0].mean is None, sign * (one.figures[0].mean or 0)))
    return found


def line(filled: Filled, table: Table) -> Line:
    """One row with its figures, and the marks of its runs."""
    result = Line(filled)
    shown_best = [column.score for column in table.columns if column.of == "best"]
    lacking = []
    for column in table.columns:
        score, of = name_of(column, filled), filled.row.of or column.of
        asked = {**table.must_hold, **filled.row.protocol}
        found = (block_with(run, score, of, asked) for run in result.results)
        blocks = [block for block in found if block is not None]
        numbers = [block.scores(of)[score] for block in blocks]
        values = tuple(in_unit(value, column) for value in numbers if value is not None)
        expected = filled.row.expected.get(column.title) if of in ("last", "best") else None
        result.figures.append(Figure(column, values, expected))
        result.blocks.append(blocks)
        if any(value is None for value in numbers):
            result.marks.append(f"{column.title} of a run is not finite")
        elif len(values) < len(result.results):
            lacking.append(column.title)
        if of == "last" and column.score not in shown_best:
            result.marks += best_mark(result.results, score, column, result.figures[-1])
        if result.figures[-1].is_outside:
            result.marks.append(f"{column.title} outside tolerance ({result.figures[-1].tolerance:.3g})")
    if lacking:
        *others, last = lacking
        are = f"{', '.join(others)} and {last} are" if others else f"{last} is"
        result.marks.append(f"{are} not in every record")
    result.marks += marks_of_runs(filled)
    return result


def name_of(column: Column, filled: Filled) -> str:
    """The score's name in the records of this row."""
    score = column.score
    for word, value in filled.row.fill.items():
        score = score.replace(f"{{{word}}}", value)
    return score


def in_unit(value: float, column: Column) -> float:
    """``value`` as the column shows it."""
    return 100 * value if column.percent else value


def block_with(result: Result, score: str, of: str, must_hold: Fields) -> Block | None:
    """Where ``result`` has ``score``; of several, the one nearest to the protocol that must hold."""
    having = [block for block in result.blocks if score in block.scores(of)]
    return min(having, key=lambda block: len(departures(must_hold, block, score, of)), default=None)


def best_mark(runs: Sequence[Result], score: str, column: Column, last: Figure) -> list[str]:
    """The best of the score that chose checkpoints, where it is not the last."""
    moments = [block.moments["best"] for run in runs for block in run.blocks if "best" in block.moments]
    moments = [moment for moment in moments if moment.get("by") == score]
    values = [in_unit(moment["metrics"][score], column) for moment in moments]
    if not values or last.mean is None or len(values) < len(runs):
        return []
    best = f"{fmean(values):.{column.digits}f}"
    if best == f"{last.mean:.{column.digits}f}":
        return []
    when = f"at {rounded(moments[0]['kimg'])} kimg" if len(values) == 1 else "(mean)"
    return [f"best {column.title} {best} {when}"]


def marks_of_runs(filled: Filled) -> list[str]:
    """What must be said of the row's runs, and the command that brings on the first one missing."""
    counted = filled.counted
    marks = [mark for run in counted.values() for mark in run.marks]
    others = {seed: run for seed, run in filled.runs.items() if seed not in counted}
    marks += [f"seed {seed} left out: {', '.join(run.marks)}" for seed, run in others.items()]
    return list(dict.fromkeys([*marks, *way_on(filled)]))


def way_on(filled: Filled) -> list[str]:
    """How many seeds there are of those wanted, and the command that brings on the next one."""
    of_all = f"seeds {len(filled.counted)} of {len(filled.seeds)}"
    idle = [seed for seed in filled.missing if seed not in filled.runs or filled.runs[seed].result.status != "running"]
    if not idle:
        return [of_all] if filled.missing and len(filled.seeds) > 1 else []
    run = filled.runs.get(idle[0])
    if not filled.runs:
        said = "not run"
    else:
        said = of_all if len(filled.seeds) > 1 else "to go on" if run is not None and run.resume else "in full"
    command = filled.wanted.command(idle[0]) if run is None or run.resume is None else run.resume
    return [f"{said}: `{command}`"]


def mark_protocols(found: Sequence[Line], table: Table) -> None:
    """Mark the figures that were measured otherwise than the table asks, or than the first row of their column.

    Columns of a row that depart alike are named together.
    """
    apart: list[dict[str, dict[str, None]]] = [{} for _ in found]  # by line, how: the columns
    for i, column in enumerate(table.columns):
        first: Fields | None = None
        for one, departed in zip(found, apart, strict=True):
            own = one.filled.row.protocol
            for block in one.blocks[i]:
                first = joined(first, {name: value for name, value in block.protocol.items() if name not in own})
                asked = {**first, **table.must_hold, **own}
                other = departures(asked, block, name_of(column, one.filled), one.filled.row.of or column.of)
                kind = "data" if other.keys() & set(DATA) else "protocol"
                named = ", ".join(f"{name} {value}, not {due}" for name, (due, value) in other.items())
                if other:
                    departed.setdefault(f"by other {kind} ({named})", {})[column.title] = None
    for one, departed in zip(found, apart, strict=True):
        measured = sum(bool(blocks) for blocks in one.blocks)
        for how, titles in departed.items():
            one.marks.append(f"{'all' if 1 < measured == len(titles) else ', '.join(titles)} {how}")


def departures(fixed: Fields, block: Block, score: str, of: str) -> Departures:
    """The fields that ``score`` hangs on in which ``block`` was not measured as ``fixed``: (fixed, measured).

    What learns nothing has no checkpoint that could be another.
    """
    protocol = block.protocol
    asked = {name: value for name, value in fixed.items() if name != EVALUATIONS}
    if not is_generative(protocol):
        return {name: (due, protocol.get(name)) for name, due in asked.items() if not alike(name, due, protocol)}
    evaluations = fixed.get(EVALUATIONS, block.evaluations) if of != "floor" else block.evaluations
    found: Departures = {} if evaluations == block.evaluations else {EVALUATIONS: (evaluations, block.evaluations)}
    found |= {name: (value, None) for name, value in asked.items() if name not in FIELDS}
    preset = Preset(name="", source="", fields={name: value for name, value in asked.items() if name in FIELDS})
    among = set(matters(score)) - ({"checkpoint"} if of != "last" or protocol.get("checkpoint") is None else set())
    return found | {name: pair for name, pair in preset.departures(Protocol(**protocol)).items() if name in among}


def alike(name: str, due: Any, protocol: Fields) -> bool:
    """Whether field ``name`` is as ``due``, where it says anything: a row without weights has none of a kind.

    Of sets of pairs, which rows have many of or few, those count that both have.
    """
    measured = protocol.get(name)
    if isinstance(due, Mapping) and isinstance(measured, Mapping):
        return all(due[part] == measured[part] for part in due.keys() & measured.keys())
    return due == measured or (name in protocol and None in (due, measured))


def joined(first: Fields | None, protocol: Fields) -> Fields:
    """``first`` with what a later ``protocol`` adds to it: fields that the first row has of its own, sets of pairs."""
    if first is None or is_generative(protocol):
        return protocol if first is None else {**protocol, **first}
    filled = {name: protocol.get(name) if value is None else value for name, value in {**protocol, **first}.items()}
    for name, value in first.items():
        if isinstance(value, Mapping) and isinstance(protocol.get(name), Mapping):
            filled[name] = {**protocol[name], **value}
    return filled

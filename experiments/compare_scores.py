"""Scores of several runs side by side; none shares a column with one of another protocol. Without torch."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from experiments.compare_runs import Contender
from experiments.errors import UserError, did_you_mean
from experiments.table_results import Block, is_generative
from lightning_modules.metrics.directions import better
from lightning_modules.metrics.protocol import matters

Fields = Mapping[str, Any]
QUANTISATION = "quantisation"  # what all scores of generated images hang on
LAST, BEST = "last", "best"  # moments of a run


@dataclass
class ScoreColumn:
    """One score by one protocol.

    Args:
        score: its name in the records.
        fields: of the protocol, those that it hangs on.
        blocks: where each of the runs has it, by the run's place.
        number: among the columns of this name, from 1; 0 where there is one.
        of: the "last" checkpoint's, or the "best" one's where `atelier evaluate` has measured that alone.
    """

    score: str
    fields: dict[str, Any]
    blocks: dict[int, Block] = field(default_factory=dict)
    number: int = 0
    of: str = LAST

    @property
    def name(self) -> str:
        """The score's, and which checkpoint it is of where that is not the last."""
        return self.score if self.of == LAST else f"{self.score}, {self.of} checkpoint"

    @property
    def title(self) -> str:
        """Its name; with a number where there are several protocols."""
        return f"{self.name} [{self.number}]" if self.number else self.name

    @property
    def better(self) -> str | None:
        """ "lower" or "higher"; None where nobody knows."""
        return better(self.score)

    def reorder(self, order: Sequence[int]) -> None:
        """Follow the runs, of which the first now is the one that was at ``order[0]``."""
        self.blocks = {new: self.blocks[old] for new, old in enumerate(order) if old in self.blocks}

    def value(self, place: int) -> float | None:
        """That of the run at ``place``; None where it has none, or one that was not finite."""
        return self.blocks[place].scores(self.of).get(self.score) if place in self.blocks else None

    def best(self, place: int) -> tuple[float, float] | None:
        """Its best value since training began, and the kimg then, of what the run at ``place`` was measured at."""
        if place not in self.blocks or self.of != LAST or self.better is None:
            return None
        block = self.blocks[place]
        kept = [block.moments[name] for name in (LAST, BEST) if "kimg" in block.moments.get(name, {})]
        moments = [*block.history, *kept]
        trained = [moment for moment in moments if moment["kimg"] > 0] or moments
        measured = [(moment["metrics"].get(self.score), moment["kimg"]) for moment in trained]
        values = [(value, kimg) for value, kimg in measured if value is not None and math.isfinite(value)]
        least = min if self.better == "lower" else max
        return least(values, key=lambda one: one[0]) if values else None

    @cached_property
    def was_better(self) -> bool:
        """Whether some run once had a better value than its last one."""
        return any((best := self.best(i)) is not None and best[0] != self.value(i) for i in self.blocks)


def score_columns(contenders: Sequence[Contender]) -> list[ScoreColumn]:
    """A column for each score, protocol and checkpoint; those that most runs have come first."""
    found: dict[tuple[str, str], list[ScoreColumn]] = {}
    for place, one in enumerate(contenders):
        for block in one.result.blocks:
            of = LAST if LAST in block.moments else BEST
            for score in block.scores(of):
                columns, fields = found.setdefault((score, of), []), fields_of(block, score)
                column = next((column for column in columns if alike(column.fields, fields)), None)
                if column is None:
                    columns.append(column := ScoreColumn(score, fields, of=of))
                if not is_generative(block.protocol):
                    column.fields |= {name: value for name, value in fields.items() if column.fields.get(name) is None}
                column.blocks.setdefault(place, block)
    for columns in found.values():
        columns.sort(key=lambda column: -len(column.blocks))
        for i, column in enumerate(columns if len(columns) > 1 else (), 1):
            column.number = i
    return sorted((column for columns in found.values() for column in columns), key=lambda column: -len(column.blocks))


def fields_of(block: Block, score: str) -> dict[str, Any]:
    """What ``score`` hangs on of the protocol of ``block``, but for which checkpoint it is of."""
    protocol = block.protocol
    if is_generative(protocol):
        fields = {name: protocol[name] for name in matters(score) if name != "checkpoint"}
        return fields | {"evaluations": block.evaluations}
    fields = {name: value for name, value in protocol.items() if name != "checkpoint"}
    pairs = score.rpartition("/")[0]
    data = fields.get("data")
    return {**fields, "data": data[pairs]} if isinstance(data, Mapping) and pairs in data else fields


def alike(a: Fields, b: Fields) -> bool:
    """Whether two protocols are one; of pairs a field that says nothing, as of a method without weights, is any."""
    if QUANTISATION in a or QUANTISATION in b:
        return a == b
    return all(None in (a.get(name), b.get(name)) or a[name] == b[name] for name in a.keys() | b.keys())


def departures(columns: Sequence[ScoreColumn]) -> list[str]:
    """What sets the protocols of each score apart that was measured by several, a sentence each."""
    said: dict[str, list[str]] = {}
    for first in (column for column in columns if column.number == 1):
        for other in (c for c in columns if c.name == first.name and c.number > 1):
            names = [name for name in first.fields if first.fields[name] != other.fields.get(name)]
            apart = "; ".join(f"{name} {other.fields.get(name)}, not {first.fields[name]}" for name in names)
            said.setdefault(f"[{other.number}] measured otherwise than [1]: {apart}.", []).append(first.name)
    return [f"{', '.join(scores)} {text}" for text, scores in said.items()]


def chosen(columns: Sequence[ScoreColumn], by: str | None) -> ScoreColumn | None:
    """The column that runs are ranked by: the one called ``by``, else the first whose better side is known.

    Raises:
        UserError: there is no such column, or its score was measured by several protocols.
    """
    if by is None:
        return next((column for column in columns if column.better), None)
    found = [column for column in columns if by in (column.title, column.name)]
    if not found:
        known = [column.title for column in columns]
        if not known:
            raise UserError(f"no run has a score {by}, nor any other: none of them was evaluated")
        raise UserError(f"no run has a score {by}: {did_you_mean(by, known, 'there are ' + ', '.join(known))}")
    if found[0].better is None:
        raise UserError(f"nobody knows which side of {by} is better: rank by another score")
    if len(found) > 1:
        raise UserError(
            f"{by} was measured by {len(found)} protocols, whose values are not to be ranked together: name one of "
            f"them, such as --by '{found[0].title}' ({departures(found)[0].rstrip('.')})"
        )
    return found[0]


def ranked(places: Sequence[int], column: ScoreColumn | None) -> list[int]:
    """``places`` by ``column``, the best first; those without a value keep their order behind them."""
    if column is None or column.better is None:
        return list(places)
    sign = 1 if column.better == "lower" else -1
    values = {place: column.value(place) for place in places}
    having = [place for place, value in values.items() if value is not None]
    having.sort(key=lambda place: sign * (values[place] or 0))
    return [*having, *(place for place, value in values.items() if value is None)]

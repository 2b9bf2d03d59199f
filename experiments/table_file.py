"""``experiments/tables/NAME.yaml``: what a benchmark's table shows and what was published. PyYAML alone, no torch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin

import yaml

from experiments.catalogue import ROOT
from experiments.errors import UserError, did_you_mean
from experiments.table_tolerance import Tolerance, as_tolerance
from lightning_modules.metrics.presets import PRESETS

Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's, where PyYAML was built with it
TABLES = ROOT / "tables"
KEYS = TABLES / "keys.yaml"
UNITS = ("g_steps", "kimg", "epochs")  # of the clock: what a length is given in
OF = ("last", "best", "first", "floor")
BETTER = ("lower", "higher")
FACTS = ("experiment", "kimg", "minutes", "parameters")
EVALUATIONS = "evaluations"  # whose mean a score is: what a protocol's ``seed`` does not say


@dataclass(frozen=True, kw_only=True)
class Expected:
    """A published value.

    Args:
        value: as printed, in the column's unit.
        spread: as printed beside it.
        origin: where it stands, if not in the table's source.
        tolerance: how far from it is still right; the column's unless given.
    """

    value: float
    spread: float | None = None
    origin: str = ""
    tolerance: Tolerance | None = None


@dataclass(frozen=True, kw_only=True)
class Column:
    """One score of every row.

    Args:
        score: as records name it, such as ``fid@digits-cnn``; ``{word}`` is filled from the row.
        title: of the column.
        of: the ``last`` checkpoint's (the headline, unless the source says otherwise), the ``best`` one's, that of the
            ``first`` look, before training, or the ``floor``, which real images reach.
        better: ``lower`` or ``higher``.
        digits: behind the point.
        percent: show a share as per cent.
        tolerance: how far from the published values is still right.
    """

    score: str
    title: str
    better: str
    of: str = "last"
    digits: int = 2
    percent: bool = False
    tolerance: Tolerance | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """One experiment with its overrides.

    Args:
        experiment: its name, or the path of its YAML.
        label: what the row is called; the experiment's name unless given.
        overrides: dotted keys of the configuration and their values.
        seeds: of the runs that make the row; the table's unless given.
        fill: words for the columns' ``score``.
        protocol: fields in which its scores are meant to differ from the other rows'.
        expected: published values by the columns' titles.
        of: what of its runs all columns show, whatever their own ``of``: "floor" makes a row of real images.
    """

    experiment: str
    label: str = ""
    overrides: dict[str, Any] = field(default_factory=dict)
    seeds: tuple[int, ...] = ()
    fill: dict[str, str] = field(default_factory=dict)
    protocol: dict[str, Any] = field(default_factory=dict)
    expected: dict[str, Expected] = field(default_factory=dict)
    of: str | None = None


@dataclass(frozen=True, kw_only=True)
class Table:
    """One benchmark.

    Args:
        title: in words.
        columns: of scores.
        rows: in the order of the source.
        source: paper and table.
        protocol: name of a preset, or the fields of a protocol that must hold; ``evaluations`` among them is how many
            sets of fakes a score is to be the mean over, by ``atelier evaluate RUN --seeds``: 1 unless given.
        seeds: of each row.
        facts: further columns, of ``FACTS``.
        sorted: order the rows by the first column instead.
        deviations: what is otherwise than in the source, a sentence each.
        name: of the file.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    source: str = ""
    protocol: str | dict[str, Any] = field(default_factory=dict)
    seeds: tuple[int, ...] = (0,)
    facts: tuple[str, ...] = ()
    sorted: bool = False
    deviations: tuple[str, ...] = ()
    name: str = ""

    @property
    def must_hold(self) -> Mapping[str, Any]:
        """The fields of the protocol that every score must have been measured by, and over how many evaluations."""
        if isinstance(self.protocol, str):
            return {**PRESETS[self.protocol].fields, EVALUATIONS: PRESETS[self.protocol].runs}
        return {EVALUATIONS: 1, **self.protocol}


def tables() -> dict[str, Path]:
    """Name to file of the tables that come with the package."""
    return {file.stem: file for file in sorted(TABLES.glob("*.yaml")) if file != KEYS}


def find_table(name: str) -> Table:
    """The table ``name``: one of the package's, or the path of a YAML.

    Raises:
        UserError: there is none, or its file has a mistake.
    """
    known = tables()
    if name in known:
        return read_table(known[name])
    if name.endswith((".yaml", ".yml")) and Path(name).is_file():
        return read_table(Path(name))
    raise UserError(f"there is no table {name}: {did_you_mean(name, known, '`atelier table` names them all')}")


def read_table(file: Path) -> Table:
    """The table in ``file``.

    Raises:
        UserError: a mistake in it, with its place.
    """
    given = read_yaml(file)
    try:
        return as_table(given, file.stem)
    except ValueError as error:
        raise UserError(f"{file.name}: {error}") from error


def read_yaml(file: Path) -> dict[str, Any]:
    """The keys and values of ``file``.

    Raises:
        UserError: it holds none.
    """
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
        where = f" (line {mark.line + 1})" if mark else ""
        raise UserError(f"{file} is no valid YAML{where}: mend it there") from error
    if not isinstance(content, dict):
        raise UserError(f"{file} must hold keys and values")
    return content


def as_table(given: dict[str, Any], name: str) -> Table:
    """A table from what its YAML holds.

    Raises:
        ValueError: a mistake, in words.
    """
    columns = tuple(_column(part, f"columns[{i}]") for i, part in enumerate(_listed(given, "columns")))
    _no_two([column.title for column in columns], "columns", "give each a title of its own")
    published = {column.title: column for column in columns if column.of in ("last", "best")}
    rows = [_row(part, f"rows[{i}]", published) for i, part in enumerate(_listed(given, "rows"))]
    table: Table = _made(Table, {**given, "columns": columns, "rows": tuple(rows), "name": name}, "the table")
    if isinstance(table.protocol, str):
        _one_of(table.protocol, PRESETS, "protocol")
    for fact in table.facts:
        _one_of(fact, FACTS, "facts")
    for seeds, where in ((table.seeds, "seeds"), *((row.seeds, f"rows[{i}].seeds") for i, row in enumerate(rows))):
        _no_two(seeds, where, "leave one out")
    return table


def _column(given: Any, where: str) -> Column:
    column: Column = _made(Column, _with_tolerance(given, where), where)
    _one_of(column.of, OF, f"{where}.of")
    _one_of(column.better, BETTER, f"{where}.better")
    if column.digits < 0:
        raise ValueError(f"{where}.digits expects 0 or more, got {column.digits}")
    return column


def _with_tolerance(given: Any, where: str) -> Any:
    stated = isinstance(given, dict) and "tolerance" in given
    return {**given, "tolerance": as_tolerance(given["tolerance"], f"{where}.tolerance")} if stated else given


def _row(given: Any, where: str, published: Mapping[str, Column]) -> Row:
    if not isinstance(given, dict):
        raise ValueError(f"{where} must hold keys and values, got {given!r}")
    expected = {}
    for title, value in dict(given.get("expected") or {}).items():
        _one_of(title, published, f"{where}.expected")
        place = f"{where}.expected.{title}"
        stated = value if isinstance(value, dict) else {"value": value}
        expected[title] = _made(Expected, _with_tolerance(stated, place), place)
        tolerance = expected[title].tolerance or published[title].tolerance
        if tolerance is not None and tolerance.of(expected[title].value, expected[title].spread) is None:
            raise ValueError(f"{place} lacks spread, in which its tolerance counts")
    row: Row = _made(Row, {**given, "expected": expected}, where)
    if row.of is not None:
        _one_of(row.of, OF, f"{where}.of")
    return row


def _listed(given: dict[str, Any], key: str) -> Iterator[Any]:
    if not isinstance(given.get(key), list) or not given[key]:
        raise ValueError(f"{key} must be a list of at least one")
    yield from given[key]


def _no_two(values: Sequence[Any], where: str, advice: str) -> None:
    twice = [value for i, value in enumerate(values) if value in values[:i]]
    if twice:
        raise ValueError(f"{where} names {twice[0]!r} twice: {advice}")


def _one_of(value: str, known: Any, where: str) -> None:
    if value not in known:
        advice = did_you_mean(str(value), known, f"known are {', '.join(known)}")
        raise ValueError(f"{where} has no use for {value!r}: {advice}")


def _made(kind: Any, given: Any, where: str) -> Any:
    """A ``kind`` from keys and values whose names and types are right; lists become tuples."""
    if not isinstance(given, dict):
        raise ValueError(f"{where} must hold keys and values, got {given!r}")
    known = {part.name: part for part in fields(kind)}
    for name, value in given.items():
        if name not in known:
            advice = did_you_mean(str(name), known, f"known are {', '.join(known)}")
            raise ValueError(f"{where} has no key {name}: {advice}")
        if not _fits(value, known[name].type):
            raise ValueError(f"{where}.{name} expects {_words(known[name].type)}, got {value!r}")
    for name, part in known.items():
        if part.default is MISSING and part.default_factory is MISSING and name not in given:
            raise ValueError(f"{where} lacks {name}")
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in given.items()})


def _fits(value: Any, hint: Any) -> bool:
    if isinstance(hint, UnionType):
        return any(_fits(value, choice) for choice in get_args(hint))
    if get_origin(hint) is tuple:
        return isinstance(value, list | tuple) and all(_fits(part, get_args(hint)[0]) for part in value)
    if get_origin(hint) is dict:
        return isinstance(value, dict) and all(_fits(part, get_args(hint)[1]) for part in value.values())
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return hint is Any or type(value) is (NoneType if hint is None else hint)


def _words(hint: Any) -> str:
    if isinstance(hint, UnionType):
        return " or ".join(_words(choice) for choice in get_args(hint))
    if get_origin(hint) is tuple:
        return f"a list of {_words(get_args(hint)[0])}"
    return {NoneType: "null", dict: "keys and values"}.get(get_origin(hint) or hint) or hint.__name__

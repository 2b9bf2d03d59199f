"""Which run fills which cell of a table. A cell is (experiment, overrides, seed); settings are compared by their key.

``tables/keys.yaml`` holds the keys, since computing one needs the classes and thus torch; `make tables` writes it.
"""

import hashlib
import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isclose
from pathlib import Path
from typing import Any

from experiments.catalogue import ROOT, find_experiment, name_of
from experiments.errors import UserError
from experiments.table_file import KEYS, UNITS, Row, Table, read_yaml
from experiments.table_results import RUNNING, Result

COUNTERS = {"g_steps": "g_step", "kimg": "kimg"}
ROUND = 0.01  # share by which a length may differ from what was asked for: the last round of batches is completed
HASHED = ("model", "data", "trainer")  # parts of a YAML that a key may hang on


@dataclass(frozen=True)
class Known:
    """What ``keys.yaml`` says of an experiment with its overrides.

    Args:
        key: today's.
        yaml: hash of the YAML that it is of.
        earlier: keys of other settings, that it had once.
        same: keys of today's settings, from when a constructor had another default for what the YAML says itself.
    """

    key: str
    yaml: str
    earlier: tuple[str, ...] = ()
    same: tuple[str, ...] = ()

    @property
    def current(self) -> tuple[str, ...]:
        """The keys of today's settings."""
        return self.key, *self.same


def read_keys(file: Path = KEYS) -> dict[str, Known]:
    """The keys that are known, by ``Wanted.name``; none where there is no file yet."""
    stored = read_yaml(file) if file.is_file() else {}
    return {
        name: Known(at["key"], at["yaml"], tuple(at.get("earlier", ())), tuple(at.get("same", ())))
        for name, at in stored.items()
    }


@dataclass(frozen=True)
class Wanted:
    """A row's experiment with its overrides: what a run must be to count."""

    experiment: str
    file: Path
    overrides: Mapping[str, Any]

    @cached_property
    def content(self) -> dict[str, Any]:
        """What the experiment's YAML holds."""
        return read_yaml(self.file)

    @property
    def name(self) -> str:
        """The experiment and what of the overrides a key hangs on."""
        return " ".join([self.experiment, *(f"{k}={v}" for k, v in sorted(self.settings.items()))])

    @property
    def settings(self) -> dict[str, Any]:
        """The overrides without the length, which is compared by itself."""
        return {key: value for key, value in self.overrides.items() if not key.startswith("clock.")}

    @property
    def yaml(self) -> str:
        """A hash of what the YAML says that a key may hang on."""
        parts = {name: self.content.get(name) for name in HASHED}
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:12]

    @cached_property
    def length(self) -> tuple[str, float] | None:
        """Unit and value; None where there is nothing to train.

        Raises:
            UserError: it is no number.
        """
        clock = dict(self.content.get("clock") or {})
        given = {key.removeprefix("clock."): value for key, value in self.overrides.items() if key.startswith("clock.")}
        if any(unit in given for unit in UNITS):
            clock = given
        for unit in UNITS:
            if isinstance(value := clock.get(unit), int | float):
                return unit, float(value)
            if value is not None:
                raise UserError(f"{self.experiment}: clock.{unit} is {value!r}, which is no number")
        return None

    @property
    def words(self) -> list[str]:
        """The command that runs it, without a seed."""
        named = self.file.is_relative_to(ROOT) and name_of(self.file) == self.experiment
        words = ["test" if self.length is None else "fit", self.experiment if named else str(self.file)]
        return words + options(self.overrides)

    def command(self, seed: int) -> str:
        """What runs it."""
        return shlex.join(["atelier", *self.words, *(["--seed_everything", str(seed)] if seed else [])])


def options(overrides: Mapping[str, Any]) -> list[str]:
    """``overrides`` as words of a command line, values as YAML reads them."""
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in overrides.items()}
    return [word for key, text in texts.items() for word in (f"--{key}", text)]


def wanted(row: Row, table: str) -> Wanted:
    """What the runs of ``row`` must be.

    Raises:
        UserError: there is no such experiment.
    """
    try:
        name, file = find_experiment(row.experiment)
    except UserError as error:
        raise UserError(f"table {table}: {error}") from error
    return Wanted(name, file, row.overrides)


@dataclass(frozen=True)
class Candidate:
    """A run that may fill a cell, and what must be said of it."""

    result: Result
    part: str = ""  # of the length, in words; empty where it is whole
    shorter: bool = False  # than what is wanted, was its length from the start
    unkeyed: bool = False
    stale: bool = False

    @property
    def marks(self) -> list[str]:
        """What must be said of it."""
        status = self.result.status
        said = [] if self.result.finished or status == "stopped" else [status]
        said += [self.part] if self.part else []
        said += ["stale"] if self.stale else []
        said += ["unkeyed"] if self.unkeyed else []
        said += ["resumed with other settings"] if self.result.changed else []
        said += [f"on {self.result.devices} devices"] if self.result.devices > 1 else []
        return said + (["dirty"] if self.result.dirty else [])

    @property
    def resume(self) -> str | None:
        """What goes on with it; None where it goes on already, cannot, or would end as something else."""
        result, folder = self.result, Path(self.result.path).parent
        other = result.committed or result.finished or result.status == RUNNING or self.shorter or self.stale
        if other or not (folder / "checkpoints" / "last.ckpt").is_file():
            return None
        return shlex.join(["atelier", "fit", "--resume", str(folder)])

    @property
    def is_whole(self) -> bool:
        """Whether it has come to the end of the length that is wanted."""
        return self.result.finished and not self.part

    @property
    def standing(self) -> tuple[bool, bool]:
        """Whole, and by today's settings: runs of different standing are not averaged."""
        return self.is_whole, not self.stale

    @property
    def rank(self) -> tuple[Any, ...]:
        """The greater counts: by its standing, committed, the latest."""
        result = self.result
        return *self.standing, not self.unkeyed, result.committed, result.clock["d_step"], result.started


def candidate(result: Result, row: Wanted, seed: int, known: Known | None) -> Candidate | None:
    """``result`` as a candidate for the cell of ``row`` and ``seed``, or None where it is something else."""
    if (result.experiment, result.seed) != (row.experiment, seed):
        return None
    keyed = known is not None and result.key is not None
    if keyed:
        assert known is not None
        if result.key not in (*known.current, *known.earlier):
            return None
    elif row.settings:
        return None  # nothing says that it had these overrides
    part = part_of(result, row.length)
    if part is None:
        return None
    stale = known is not None and (known.yaml != row.yaml or (keyed and result.key not in known.current))
    return Candidate(result, part, shorter=not aims_at(result, row.length), unkeyed=not keyed, stale=stale)


def aims_at(result: Result, length: tuple[str, float] | None) -> bool:
    """Whether a run asked for ``length``."""
    return length is None or isclose(goal_of(result, *length), length[1], rel_tol=ROUND)


def part_of(result: Result, length: tuple[str, float] | None) -> str | None:
    """``40 of 100 kimg`` where a run did a part of ``length``, empty where all of it; None where it asked for more."""
    if length is None:
        return ""
    unit, asked = length
    goal, done = goal_of(result, unit, asked), result.share
    if goal > asked * (1 + ROUND):
        return None
    if result.finished and aims_at(result, length):
        return ""
    return f"{rounded(goal * done)} of {rounded(asked)} {unit.replace('_', ' ')}"


def goal_of(result: Result, unit: str, asked: float) -> float:
    """The length that a run asked for, in ``unit``; ``asked`` where its record does not tell, which is an old one's."""
    stated = result.clock["length"]
    if unit in stated:
        return float(stated[unit])
    done = result.clock.get(COUNTERS.get(unit, ""), 0)
    return done / result.share if done else asked


def rounded(value: float) -> str:
    """``value`` to a few digits, without an empty fraction."""
    if value >= 10:
        return f"{value:.0f}"
    return f"{value:.1f}".removesuffix(".0") if value >= 1 else f"{value:.2g}"


def choose(found: Iterable[Candidate]) -> tuple[Candidate | None, list[str]]:
    """The run that fills a cell, and a sentence where another whole run could fill it as well."""
    ranked = sorted(found, key=lambda one: one.rank, reverse=True)
    if not ranked:
        return None, []
    first = ranked[0]
    same = [one for one in ranked[1:] if one.rank[:3] == first.rank[:3] and first.rank[0]]
    others = [one for one in same if one.result.started != first.result.started]  # a copy is no second run
    return first, [f"{one.result.path} is a duplicate of {first.result.path}, which counts" for one in others]


@dataclass(frozen=True)
class Filled:
    """A row with its runs.

    Args:
        row: as the table has it.
        wanted: what its runs must be.
        runs: by seed; those that are not there are missing.
    """

    row: Row
    wanted: Wanted
    runs: Mapping[int, Candidate]
    seeds: Sequence[int]

    @property
    def counted(self) -> dict[int, Candidate]:
        """The runs whose mean is shown: no part of the length beside whole ones, nothing stale beside today's."""
        best = max((run.standing for run in self.runs.values()), default=None)
        return {seed: self.runs[seed] for seed in self.seeds if seed in self.runs and self.runs[seed].standing == best}

    @property
    def missing(self) -> list[int]:
        """Seeds whose cell needs a run."""
        return [seed for seed in self.seeds if seed not in self.runs or not self.runs[seed].is_whole]


def fill(table: Table, results: Sequence[Result], keys: Mapping[str, Known]) -> tuple[list[Filled], list[str]]:
    """Every row of ``table`` with its runs, and what is odd about them.

    Raises:
        UserError: a row names an experiment that does not exist.
    """
    rows, said = [], []
    for row in table.rows:
        want = wanted(row, table.name)
        known, runs = keys.get(want.name), {}
        if known is not None and known.yaml != want.yaml:
            said.append(f"{want.experiment} has changed since its key was computed: `make tables` brings it up to date")
        for seed in row.seeds or table.seeds:
            options = (candidate(result, want, seed, known) for result in results)
            first, duplicates = choose(one for one in options if one is not None)
            said += duplicates
            if first is not None:
                runs[seed] = first
        rows.append(Filled(row, want, runs, row.seeds or table.seeds))
    return rows, list(dict.fromkeys(said))

"""What ``atelier compare`` is given: run directories, records, folders of either, experiments, and runs of W&B.

Without torch: records are JSON, configurations YAML, pictures stay in their files. Only what W&B wrote needs wandb.
"""

import fnmatch
import glob
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from experiments.catalogue import experiments
from experiments.compare_settings import Settings, flat, read_settings
from experiments.errors import UserError
from experiments.runs import RunDirectory, find_runs_below, pictures_over_time
from experiments.table_cells import Known, read_keys
from experiments.table_file import UNITS
from experiments.table_results import DAMAGE, RESULTS, Result, read_records, result_of, what_is_wrong
from experiments.wandb_runs import LoggedRun, find_files, joined, read_offline, read_project

EVALUATIONS = "evaluations"  # the folder of results/ that mirrors the others
PROJECT = "wandb:"  # before the name of a W&B project
KINDS = (".json", ".wandb")  # files that may be runs
LENGTHS = tuple(f"clock.{unit}" for unit in UNITS)
COSTS = {  # title: name in a record's cost, and what it is counted in
    "GFLOPs a sample": ("flops_per_sample", 1e9),
    "peak MB": ("memory_mb", 1.0),
    "samples/s": ("sampling_images_per_second", 1.0),
}
Place = tuple[Path, str, bool]


@dataclass(frozen=True)
class Contender:
    """A run among others.

    Args:
        name: that no other of them has.
        result: its record.
        settings: its configuration.
        folder: its run directory; None where there is only a record.
        pictures: the last one of each panel, or all that there are, by the panel's name and images seen.
    """

    name: str
    result: Result
    settings: Settings = Settings()  # noqa: RUF009  # it cannot change
    folder: Path | None = None
    pictures: Mapping[str, Sequence[tuple[int, Path]]] = field(default_factory=dict)


def find_contenders(targets: Sequence[str], runs: Path) -> tuple[list[Contender], list[str]]:
    """Those that ``targets`` name, each once, and what was left out of them and why.

    Raises:
        UserError: a target names nothing, or nothing of it can be read.
    """
    targets = [found for target in targets for found in expanded(target, runs)]
    given = [target for target in targets if not is_logged(target)]
    places: dict[Path, Place] = {}
    empty: list[str] = []
    for target in given:
        try:
            places |= {place[0].resolve(): place for place in find_places(target, runs)}
        except UserError as error:
            if len(targets) == 1 or not Path(target).is_dir():
                raise
            empty.append(str(error))  # a run that is just beginning, or came to nothing, among others
    with_evaluations = [place for file, place in places.items() for place in (place, *evaluations_beside(file))]
    found, problems = read_records(with_evaluations)
    problems += empty
    logged, more = find_logged([target for target in targets if is_logged(target)])
    problems += more
    if not found and not logged:
        said = f": {problems[0]}" if problems else ""
        raise UserError(f"there is no run to compare in {' '.join(targets)}{said}")
    known, by_shown = read_keys(), {place[1]: place for place in places.values()}
    contenders = []
    for result in found:
        file, _, committed = by_shown[result.path]
        folder = None if committed else file.parent
        try:
            settings = settings_of_run(file.parent) if folder else settings_of_record(result, known)
        except (OSError, ValueError) as error:
            problems.append(f"the configuration of {result.path} cannot be read ({error})")
            settings = Settings()
        pictures = pictures_over_time(file.parent / "samples") if folder else beside(file)
        contenders.append(Contender("", result, settings, folder, pictures))
    return named([*contenders, *logged]), problems


def expanded(target: str, runs: Path) -> list[str]:
    """What a pattern matches, but for what is no run, record or folder; anything else as it is.

    A pattern that matches no file is one of experiments, those with a committed result or a run below ``runs``.

    Raises:
        UserError: it matches nothing.
    """
    if not glob.has_magic(target) or Path(target).exists():
        return [target]
    matches = [
        path for path in sorted(glob.glob(target, recursive=True)) if Path(path).is_dir() or path.endswith(KINDS)
    ]
    if matches:
        return matches
    names = fnmatch.filter(experiments(), target)
    if not names:
        raise UserError(f"nothing matches {target}")
    if not (matches := [name for name in names if any(places_of(name, runs))]):
        raise UserError(f"none of the {len(names)} experiments {target} has a committed result or a run below {runs}")
    return matches


def is_logged(target: str) -> bool:
    """Whether ``target`` is a run, or a project, as W&B has it."""
    path = Path(target)
    return target.startswith(PROJECT) or path.suffix == ".wandb" or (path.is_dir() and bool(find_files(path)))


def find_logged(targets: Sequence[str]) -> tuple[list[Contender], list[str]]:
    """The runs that W&B has, and what was left out of them and why.

    Raises:
        UserError: a project cannot be had.
    """
    found: list[Contender] = []
    problems: list[str] = []
    for run in joined(logged_runs(targets, problems)):
        try:
            result = result_of(run.record(), f"{PROJECT}{run.id}", False)
            found.append(Contender("", result, Settings(flat(run.config), whole=True), None, run.pictures))
        except DAMAGE as error:
            problems.append(f"W&B's run {run.id} is left out ({what_is_wrong(error)})")
    return found, problems


def logged_runs(targets: Sequence[str], problems: list[str]) -> Iterator[LoggedRun]:
    """The runs of W&B projects and of offline files; what cannot be read goes to ``problems``.

    Raises:
        UserError: a project cannot be had.
    """
    met: set[Path] = set()
    for target in targets:
        if target.startswith(PROJECT):
            try:
                yield from read_project(target.removeprefix(PROJECT))
            except ValueError as error:
                raise UserError(str(error)) from error
            continue
        path = Path(target)
        for file in find_files(path) if path.is_dir() else [path]:
            if file.resolve() in met:  # `latest-run` is one of the others
                continue
            met.add(file.resolve())
            try:
                yield read_offline(file)
            except (OSError, *DAMAGE) as error:
                problems.append(f"{file} is left out ({what_is_wrong(error)})")


def find_places(target: str, runs: Path) -> Iterator[Place]:
    """The records that ``target`` names: each file, how it is shown, and whether it is a committed one.

    Raises:
        UserError: there are none.
    """
    if target and Path(target).exists():
        yield from places_at(Path(target))
    elif target in experiments():
        found = [*places_of(target, runs)]
        if not found:
            raise UserError(f"{target} has no committed result and no run below {runs}: `atelier fit {target}`")
        yield from found
    else:
        raise UserError(f"there is no run at {target}: give run directories, records, or an experiment's name")


def places_of(name: str, runs: Path) -> Iterator[Place]:
    """The records of the experiment ``name``: committed ones, and those of its runs below ``runs``."""
    for path in (*sorted(RESULTS.glob(f"{name}-s*.json")), *find_runs_below(runs / name)):
        yield from places_at(path)


def places_at(path: Path) -> Iterator[Place]:
    """The records of a file, of a run directory, or of a folder of either.

    Raises:
        UserError: there is none.
    """
    if path.is_file():
        if path.suffix != ".json":
            raise UserError(f"{path} is no record: those end in .json")
        yield path, path.as_posix(), path.name != "record.json"
        return
    if (path / "config.yaml").is_file():
        yield path / "record.json", (path / "record.json").as_posix(), False
        return
    inside = [place for folder in find_runs_below(path) for place in places_at(folder)]
    inside += [] if inside else [place for file in sorted(path.rglob("*.json")) for place in places_at(file)]
    if not inside:
        raise UserError(f"{path} holds no run and no record")
    yield from inside


def evaluations_beside(file: Path) -> Iterator[Place]:
    """The evaluation of the run whose committed record is ``file``, where there is one."""
    other = file.parent.parent / EVALUATIONS / file.parent.name / file.name
    if file.name != "record.json" and other.is_file():
        yield other, other.as_posix(), True


def settings_of_run(folder: Path) -> Settings:
    """Those in force in a run directory."""
    return read_settings(RunDirectory(folder).config.read_text(encoding="utf-8"), whole=True)


def settings_of_record(result: Result, known: Mapping[str, Known]) -> Settings:
    """Those of its experiment's YAML, where that is still what was run; none elsewhere."""
    file = experiments().get(result.experiment)
    if file is None or result.experiment not in known or result.key not in known[result.experiment].current:
        return Settings()
    found = read_settings(file.read_text(encoding="utf-8"), whole=False)
    kept = {name: value for name, value in found.values.items() if name not in LENGTHS}
    length = flat({"clock": result.clock["length"] or {"kimg": round(result.clock["kimg"])}})  # no part of the key
    return Settings({**kept, **length}, whole=False)


def beside(file: Path) -> dict[str, list[tuple[int, Path]]]:
    """The pictures that lie beside a committed record: of its end."""
    found = {"samples": file.with_suffix(".png")} | {
        path.stem.removeprefix(f"{file.stem}-"): path for path in sorted(file.parent.glob(f"{file.stem}-*.png"))
    }
    return {name: [(0, path)] for name, path in found.items() if path.is_file()}


def named(contenders: Sequence[Contender]) -> list[Contender]:
    """``contenders`` with names: experiment and seed; the same ones also say when they began, or where they lie."""
    results = [one.result for one in contenders]
    short = [f"{result.experiment}, seed {result.seed}" for result in results]
    longer = [f"{name}, {result.started[0][:19]}" for name, result in zip(short, results, strict=True)]
    whole = [f"{name}, {result.path}" for name, result in zip(short, results, strict=True)]
    counts = Counter([*short, *longer])
    names = [next((n for n in of if counts[n] == 1), of[2]) for of in zip(short, longer, whole, strict=True)]
    return [replace(one, name=name) for one, name in zip(contenders, names, strict=True)]

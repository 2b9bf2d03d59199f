"""``atelier report``: all that a run directory holds as one page: configuration, cost, scores, curves, pictures.

Without torch: it reads what the run has written, also while it goes on.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

from datamodules.functional.files import replacing
from experiments.errors import UserError
from experiments.nested import flat
from experiments.page import charts, folded, over, page, panel, pictures, section, source, table, thinned
from experiments.request import new_path, read_request
from experiments.runs import RunDirectory, open_run, pictures_over_time
from experiments.table_results import status_of

POINTS = 600  # of a curve, at most
FRAMES = 60  # of a panel, at most
AXIS = ("d_step", "kimg", "time")  # of a row of metrics.jsonl
WORDS = 400  # of a caption, at most

Point = tuple[float | None, float | None, float | None, float]
Moments = list[dict[str, Any]]


def report(argv: Sequence[str]) -> int:
    """Write the page, and say where it is.

    Raises:
        UserError: there is no run.
    """
    request = read_request(argv, ("--out",))
    if request.target is None or request.overrides or request.configs:
        raise UserError("report needs a run and nothing else: `atelier report RUN_DIR [--out FILE.html]`")
    run = open_run(request.target)
    out = new_path(request.own["--out"]) if "--out" in request.own else run.path / "report.html"
    text = written(run)
    with replacing(out) as file:
        file.write(text.encode())
    print(f"{len(text) / 2**20:.1f} MB: {out}")
    return 0


def written(run: RunDirectory) -> str:
    """The page of ``run``."""
    record = read_json(run.path / "record.json")
    curves, frames = series(continued(rows(run), record.get("started") or ())), panels(run.path / "samples")
    names = list(curves)
    measured = {name for scores in scored_blocks(record) for name in scores["last"]["metrics"]}
    scored = {i: name for i, name in enumerate(names) if name.removeprefix("val/") in measured}
    losses = {i: name for i, name in enumerate(names) if i not in scored}
    title = f"{record.get('experiment') or run.path.parent.name}, seed {record.get('seed', 'unknown')}"
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="quiet">{escape(run.path.name)}, {escape(status(run, record))}</p>',
        section("Scores", *(block(scores) for scores in scored_blocks(record))),
        section("Curves", over() if names else "", charts(scored), folded("losses", charts(losses)) if losses else ""),
        section("Pictures over time", *(panel(i, name, len(f)) for i, (name, f) in enumerate(frames.items()))),
        section("Edits", pictures(told(run.path / "edits"))),
        section("Explanations", pictures(told(run.path / "explanations"))),
        section("Cost", table(known({key: record.get(key) for key in ("wall_seconds", "clock", "cost", "hardware")}))),
        section("What was run", *recipe(run, record)),
    ]
    data = {
        "charts": [[{"points": curves[name]}] for name in names],
        "panels": [[{"source": source(path), "caption": path.stem} for path in found] for found in frames.values()],
    }
    return page(title, "\n".join(body), data)


def scored_blocks(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The record's blocks of scores that have been measured yet."""
    return [scores for scores in record.get("scores", []) if "last" in scores]


def status(run: RunDirectory, record: dict[str, Any]) -> str:
    """Where the run stands; a record's own word may be that of a process that was killed."""
    return status_of(record, run.path / "record.json", committed=False) if "status" in record else "no record"


def read_json(file: Path) -> dict[str, Any]:
    """What stands in a JSON file; nothing where it is absent.

    Raises:
        UserError: it is damaged.
    """
    if not file.is_file():
        return {}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{file} is damaged ({error}): take it away to see the rest") from error
    return found if isinstance(found, dict) else {}


def rows(run: RunDirectory) -> Iterator[dict[str, Any]]:
    """Those of metrics.jsonl, in order; a last one that a killed process left unfinished is left out."""
    file = run.path / "metrics.jsonl"
    for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else []:
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            yield found


def continued(moments: Iterable[dict[str, Any]], started: Sequence[str]) -> Moments:
    """``moments`` as of a run without a break: of steps that a resume repeats the later rows, and no pauses.

    Args:
        moments: rows of metrics.jsonl, in order.
        started: when the run was started and resumed, in ISO's form.
    """
    resumed = sorted(datetime.fromisoformat(text).timestamp() for text in started)[1:]
    kept: Moments = []
    done, ahead = 0, 0.0  # resumes met so far, and how far the clock is behind the rows' own
    for row in moments:
        if (met := sum(row.get("time", 0.0) >= one for one in resumed)) > done:
            kept = [old for old in kept if old.get("d_step", 0) < row.get("d_step", math.inf)]
            begun = resumed[met - 1]
            done, ahead = met, begun - max((old["time"] for old in kept if "time" in old), default=begun)
        kept.append(row | {"time": row["time"] - ahead} if "time" in row else row)
    return kept


def series(moments: Moments) -> dict[str, list[Point]]:
    """Each value's course: steps, thousands of images, minutes, value."""
    begun = next((float(row["time"]) for row in moments if "time" in row), 0.0)
    found: dict[str, list[Point]] = {}
    for row in moments:
        step, kimg, time = (row.get(name) for name in AXIS)
        at = (step, kimg, None if time is None else round((time - begun) / 60, 3))
        for name, value in row.items():
            if name not in (*AXIS, "step", "g_step") and isinstance(value, int | float) and math.isfinite(value):
                found.setdefault(name, []).append((*at, value))
    return {name: thinned(points, POINTS) for name, points in sorted(found.items())}


def panels(folder: Path) -> dict[str, list[Path]]:
    """The pictures over time of ``folder`` by name; about ``FRAMES`` of each, the last among them."""
    return {name: [path for _, path in thinned(found, FRAMES)] for name, found in pictures_over_time(folder).items()}


def told(folder: Path) -> Iterator[tuple[Path, str]]:
    """The pictures of ``folder``, each with the numbers in the JSON file beside it."""
    for path in sorted([*folder.glob("*.png"), *folder.glob("*.webp")]):
        facts = read_json(path.with_suffix(".json"))
        text = ", ".join(f"{key} {value}" for key, value in facts.items() if key != "asked")
        yield path, text if len(text) <= WORDS else f"{text[:WORDS]} ..."


def block(scores: Mapping[str, Any]) -> str:
    """Scores measured under one protocol: the first, the best, the last, the floor."""
    moments = {name: scores[name] for name in ("first", "best", "last") if scores.get(name)}
    floor = scores.get("floor") or {}
    measured = sorted({metric for moment in moments.values() for metric in moment["metrics"]})
    lines = [
        [metric, *(moment["metrics"].get(metric, "") for moment in moments.values()), floor.get(metric, "")]
        for metric in measured
    ]
    head = ["", *(f"{name}, {moment.get('kimg', 0):g} kimg" for name, moment in moments.items()), "real images"]
    return table(lines, head) + folded("protocol", table(known(scores.get("protocol") or {})))


def known(values: Mapping[str, Any]) -> list[tuple[str, object]]:
    """Nested values as lines; without those that are None."""
    return [(key, value) for key, value in flat(values) if value is not None and value != {}]


def recipe(run: RunDirectory, record: Mapping[str, Any]) -> list[str]:
    """Command lines, commit, versions, configurations."""
    commands = run.path / "command.txt"
    typed = commands.read_text(encoding="utf-8") if commands.is_file() else ""
    facts = table(known({key: record.get(key) for key in ("key", "started", "code", "versions")}))
    files = [folded(path.name, f"<pre>{escape(path.read_text(encoding='utf-8'))}</pre>") for path in run.configs]
    return [f"<pre>{escape(typed)}</pre>" if typed else "", facts, *files]

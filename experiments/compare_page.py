"""The page of ``atelier compare``: a table to sort, curves over each other, pictures of several runs side by side.

Curves and pictures are of the first runs in the order of the table; a row's box hides its run in both.
"""

import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from experiments.compare_runs import COSTS, Contender
from experiments.compare_scores import ScoreColumn
from experiments.page import abreast, charts, over, page, section, sortable, source, table, thinned

DRAWN, PICTURED = 24, 8  # runs, at most, that have curves, and pictures
FRAMES = 12  # pictures of a run and panel, at most

Frames = dict[int, list[tuple[int, Path]]]  # by the run's place: images seen, picture


def compared_page(
    contenders: Sequence[Contender],
    columns: Sequence[ScoreColumn],
    by: ScoreColumn | None,
    apart: Mapping[str, Sequence[str | None]],
    notes: Sequence[str],
) -> str:
    """The whole page; ``apart`` are the settings that differ, ``notes`` what must be said."""
    drawn = curves(contenders[:DRAWN], columns)
    panels = pictures(contenders[:PICTURED])
    ranking = f" by {by.title}" if by is not None else ""
    data = {
        "runs": [one.name for one in contenders],
        "charts": list(drawn.values()),
        "abreast": [{"ticks": ticks(frames), "runs": framed(frames)} for frames in panels.values()],
    }
    body = [
        f"<h1>{len(contenders)} runs{escape(ranking)}</h1>",
        *(f'<p class="quiet">{escape(note)}</p>' for note in [*notes, *limits(contenders)]),
        scores(contenders, columns, by),
        '<p class="quiet">A click on a name sorts by it; the box of a run hides its curves and pictures.</p>',
        section("Settings that differ", settings(contenders, apart)),
        section("Curves", over(), charts(dict(enumerate(drawn)))) if drawn else "",
        section(
            "Pictures", *(side_by_side(i, name, frames, contenders) for i, (name, frames) in enumerate(panels.items()))
        ),
    ]
    return page(f"{len(contenders)} runs", "\n".join(body), data)


HEAD = ("run", "status")
FACTS = ("kimg", "minutes", "images/s", "parameters", *COSTS, "on")
UP, DOWN = "ascending", "descending"  # as browsers call it


def limits(contenders: Sequence[Contender]) -> list[str]:
    """What the page leaves out, a sentence."""
    if len(contenders) <= PICTURED:
        return []
    return [f"Curves are of the first {DRAWN} runs, pictures of the first {PICTURED}."]


def scores(contenders: Sequence[Contender], columns: Sequence[ScoreColumn], by: ScoreColumn | None) -> str:
    """A row for each run: the score that they are ranked by, what the run cost, and the other scores."""
    others = [column for column in columns if column is not by]
    head = [*HEAD, *(head_of(by) if by else []), *FACTS, *(name for column in others for name in head_of(column))]
    rows = [
        [
            *(one.name, one.result.status),
            *(measured(by, i) if by else []),
            *facts(one),
            *(value for column in others for value in measured(column, i)),
        ]
        for i, one in enumerate(contenders)
    ]
    return sortable(head, rows, (len(HEAD), UP if by.better == "lower" else DOWN) if by else None)


def head_of(column: ScoreColumn) -> list[str]:
    """What the values of ``measured`` are."""
    return [column.title, *([f"best {column.title}", "at kimg"] if column.was_better else [])]


def measured(column: ScoreColumn, place: int) -> list[object]:
    """The last value of the run at ``place``, and the best with its kimg where some run's last is not its best."""
    value = column.value(place)
    return ["" if value is None else value, *((column.best(place) or ("", "")) if column.was_better else ())]


def facts(one: Contender) -> list[object]:
    """What a run cost."""
    result = one.result
    costs = ("" if name not in result.cost else result.cost[name] / per for name, per in COSTS.values())
    sizes = sum(result.parameters.values()) or ""
    return [float(result.clock["kimg"]), round(result.minutes, 2), speed(one), sizes, *costs, result.device]


def speed(one: Contender) -> float:
    """Images seen in a second, evaluation included, to four digits."""
    return float(f"{1000 * one.result.clock['kimg'] / max(60 * one.result.minutes, 1e-9):.4g}")


def settings(contenders: Sequence[Contender], apart: Mapping[str, Sequence[str | None]]) -> str:
    """A column for each run."""
    lines = [[name, *(value or "" for value in values)] for name, values in apart.items()]
    return f'<div class="wide">{table(lines, ["", *(one.name for one in contenders)])}</div>' if lines else ""


def curves(contenders: Sequence[Contender], columns: Sequence[ScoreColumn]) -> dict[str, list[dict[str, Any]]]:
    """By the score's title, the courses of the runs that have one: steps, thousands of images, minutes, value."""
    found: dict[str, list[dict[str, Any]]] = {}
    for column in columns:
        for place in range(len(contenders)):
            history = column.blocks[place].history if place in column.blocks else ()
            points = [
                [row["d_step"], row["kimg"], round(row["seconds"] / 60, 3) if "seconds" in row else None, value]
                for row in history
                if (value := row["metrics"].get(column.score)) is not None and math.isfinite(value)
            ]
            if points:
                found.setdefault(column.title, []).append({"run": place, "points": points})
    return found


def pictures(contenders: Sequence[Contender]) -> dict[str, Frames]:
    """By the panel's name and the run's place: images seen and picture, at most ``FRAMES`` and the last."""
    found: dict[str, Frames] = {}
    for place, one in enumerate(contenders):
        for name, frames in one.pictures.items():
            found.setdefault(name, {})[place] = thinned(frames, FRAMES)
    return found


def ticks(frames: Frames) -> list[int]:
    """The counts of images that the slider of a panel stands at."""
    return sorted({count for found in frames.values() for count, _ in found})


def side_by_side(number: int, name: str, frames: Frames, contenders: Sequence[Contender]) -> str:
    """The place of one panel's pictures."""
    return abreast(number, name, {place: contenders[place].name for place in frames}, len(ticks(frames)))


def framed(frames: Frames) -> list[dict[str, Any]]:
    """What the script shows of one panel."""
    return [
        {"run": place, "frames": [{"at": count, "source": source(path)} for count, path in found]}
        for place, found in frames.items()
    ]

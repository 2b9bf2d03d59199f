"""Self-contained HTML pages: style, script, data and pictures in one file, which asks no network for anything."""

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from math import ceil
from pathlib import Path
from typing import Any, TypeVar

Item = TypeVar("Item")
HERE = Path(__file__).parent / "page"
KINDS = {".png": "image/png", ".webp": "image/webp", ".svg": "image/svg+xml"}
AXES = ("steps", "thousands of images", "minutes")  # a point's first three numbers


def thinned(items: Sequence[Item], most: int) -> list[Item]:
    """About ``most`` of ``items``, at equal distances, the last one among them."""
    return [*items[: -1 : ceil(len(items) / most)], items[-1]]


def page(title: str, body: str, data: Mapping[str, Any], behaviour: str = "page.js") -> str:
    """A whole page.

    Args:
        title: plain text.
        body: HTML.
        data: what the script draws: ``charts``, each a list of ``{"points": ..., "run": place}``, ``panels`` and
            ``abreast`` by number, and the names of the ``runs``.
        behaviour: the script's file.
    """
    style, script = ((HERE / name).read_text(encoding="utf-8") for name in ("page.css", behaviour))
    held = json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<link rel="icon" href="data:,">\n'
        f'<meta name="viewport" content="width=device-width">\n<title>{escape(title)}</title>\n'
        f"<style>\n{style}</style>\n</head>\n<body>\n{body}\n"
        f'<script type="application/json" id="data">{held}</script>\n<script>\n{script}</script>\n</body>\n</html>\n'
    )


def source(picture: Path) -> str:
    """The picture in a file, as what an ``img`` shows."""
    return f"data:{KINDS[picture.suffix]};base64,{base64.b64encode(picture.read_bytes()).decode()}"


def section(title: str, *parts: str) -> str:
    """A heading and what stands below it; nothing where there is nothing."""
    return "\n".join([f"<h2>{escape(title)}</h2>", *parts]) if any(parts) else ""


def folded(summary: str, inner: str) -> str:
    """What is shown when asked for."""
    return f"<details><summary>{escape(summary)}</summary>\n{inner}\n</details>"


def table(rows: Iterable[Sequence[object]], head: Sequence[str] = ()) -> str:
    """Cells of plain text; numbers stand to the right."""
    first = f"<tr>{''.join(f'<th>{escape(name)}</th>' for name in head)}</tr>" if head else ""
    lines = [f"<tr>{''.join(cell(value) for value in row)}</tr>" for row in rows]
    return f"<table>{first}{''.join(lines)}</table>" if lines else ""


def sortable(head: Sequence[str], rows: Iterable[Sequence[object]], order: tuple[int, str] | None = None) -> str:
    """A table that a click on its head sorts, a row for each run, with a box that shows and hides it elsewhere.

    Args:
        head: a name for each column.
        rows: the cells of each run.
        order: the column that they are sorted by already, and whether "ascending" or "descending".
    """
    sorts = {order[0]: f' aria-sort="{order[1]}"'} if order else {}
    names = "".join(
        f'<th{sorts.get(i, "")}><button type="button">{escape(name)}</button></th>' for i, name in enumerate(head)
    )
    lines = [
        f'<tr data-run="{i}"><td><input type="checkbox" checked aria-label="{escape(str(row[0]))}"></td>'
        f"{''.join(map(cell, row))}</tr>"
        for i, row in enumerate(rows)
    ]
    return (
        f'<div class="wide"><table class="sortable"><thead><tr><th></th>{names}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def cell(value: object) -> str:
    """One of a table."""
    if isinstance(value, float):
        return f'<td class="number">{value:.6g}</td>'
    return f'<td class="number">{value}</td>' if isinstance(value, int) else f"<td>{escape(str(value))}</td>"


def charts(names: Mapping[int, str]) -> str:
    """Places for the charts of these numbers, each with its name."""
    places = [
        f'<figure data-chart="{number}"><figcaption>{escape(name)} <output></output></figcaption></figure>'
        for number, name in names.items()
    ]
    return f'<div class="charts">{"".join(places)}</div>' if places else ""


def over(axes: Sequence[str] = AXES, chosen: int = 1) -> str:
    """The choice of what charts run over."""
    buttons = [
        f'<label><input type="radio" name="over" value="{i}"{" checked" if i == chosen else ""}> {escape(name)}</label>'
        for i, name in enumerate(axes)
    ]
    return f'<fieldset>{"".join(buttons)}<label><input type="checkbox" id="logarithmic"> logarithmic</label></fieldset>'


def panel(number: int, name: str, frames: int) -> str:
    """A picture that changes with a slider."""
    return (
        f'<figure class="panel" data-panel="{number}"><figcaption>{escape(name)}</figcaption><img alt="{escape(name)}">'
        f'<div><input type="range" min="0" max="{frames - 1}" value="{frames - 1}"> <output></output></div></figure>'
    )


def abreast(number: int, name: str, runs: Mapping[int, str], frames: int) -> str:
    """Pictures of several runs, by their places, side by side; one slider moves all."""
    figures = "".join(
        f'<figure data-run="{place}"><img alt="{escape(said)}"><figcaption>{escape(said)} <output></output>'
        "</figcaption></figure>"
        for place, said in runs.items()
    )
    slider = f'<input type="range" min="0" max="{frames - 1}" value="{frames - 1}">' if frames > 1 else ""
    return (
        f'<div class="abreast" data-abreast="{number}"><p class="quiet">{escape(name)} {slider} <output></output></p>'
        f'<div class="pictures">{figures}</div></div>'
    )


def pictures(shown: Iterable[tuple[Path, str]]) -> str:
    """Pictures, each above what is said of it."""
    found = [
        f'<figure><img alt="{escape(path.stem)}" src="{source(path)}"><figcaption>{escape(text)}</figcaption></figure>'
        for path, text in shown
    ]
    return f'<div class="pictures">{"".join(found)}</div>' if found else ""

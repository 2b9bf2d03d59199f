"""``python -m experiments.table_curves TABLE SCORE FILE.svg``: the course of a score in the runs that a table shows.

One panel over thousands of images, one over minutes of training, both with a logarithmic score; a line a run, a colour
a row. Without torch and without a plotting library: what is written is SVG.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from datamodules.functional.files import replacing
from experiments.errors import UserError, leave_by
from experiments.table_cells import fill, read_keys
from experiments.table_file import Table, find_table
from experiments.table_results import RESULTS, read_results

WIDTH, HEIGHT, GAP = 420, 320, 60  # of a panel in px, and what is left of each
TOP, BOTTOM = 30, 40
COLOURS = ("#c86e14", "#5a8cd2", "#14783c", "#823ca0", "#b41e32", "#4b4b4b", "#a08c00", "#009696")
USAGE = "`python -m experiments.table_curves TABLE SCORE FILE.svg`"
Points = list[tuple[float, float]]
AXES: Mapping[str, Callable[[Mapping[str, Any]], float]] = {
    "kimg": lambda moment: float(moment["kimg"]),
    "minutes": lambda moment: float(moment["seconds"]) / 60,
}


@dataclass(frozen=True)
class Course:
    """One run's scores, each with its place.

    Args:
        label: of its row, and which part of the length it is, where it is a part.
        over: by what a place is counted, places and scores.
    """

    label: str
    over: Mapping[str, Points]


def courses(table: Table, score: str, results: Path = RESULTS) -> list[Course]:
    """Those of the committed runs that ``table`` shows, row by row and seed by seed.

    Raises:
        UserError: no run of it has the score.
    """
    found = []
    rows, _ = fill(table, read_results(results)[0], read_keys())
    for row in rows:
        for run in row.counted.values():
            histories = ([m for m in block.history if m["metrics"].get(score)] for block in run.result.blocks)
            moments = next(filter(None, histories), [])
            over = {axis: [(count(m), m["metrics"][score]) for m in moments] for axis, count in AXES.items()}
            label = row.row.label or row.row.experiment
            if moments:
                found.append(Course(f"{label} ({run.part})" if run.part else label, over))
    if not found:
        name = table.name
        raise UserError(
            f"no committed run of the table {name} has a course of {score}: `atelier table {name}` names them"
        )
    return found


def drawn(title: str, score: str, lines: Sequence[Course]) -> str:
    """The picture as SVG."""
    labels = list(dict.fromkeys(line.label for line in lines))
    values = [value for line in lines for _, value in line.over["kimg"]]
    if min(values) <= 0:
        raise UserError(f"{score} has values of 0 or less, which have no place between powers of ten: choose another")
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    parts = [text(GAP, 18, f"{title}: {score}")]
    for number, axis in enumerate(AXES):
        left = GAP + number * (WIDTH + GAP)
        most = max(place for line in lines for place, _ in line.over[axis]) or 1.0
        parts += frame(left, low, high, most, axis)
        for line in lines:
            colour = COLOURS[labels.index(line.label) % len(COLOURS)]
            points = " ".join(
                f"{left + place / most * WIDTH:.1f},{height(value, low, high):.1f}" for place, value in line.over[axis]
            )
            parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
    for i, label in enumerate(labels):
        colour = COLOURS[i % len(COLOURS)]
        parts.append(text(2 * (WIDTH + GAP) + 12, TOP + 12 + 18 * i, label, colour))
    beside = 30 + 7 * max(map(len, labels))
    size = f'width="{2 * (WIDTH + GAP) + beside}" height="{TOP + HEIGHT + BOTTOM}"'
    body = "\n".join(parts)
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>\n<rect {size} fill="white"/>\n{body}\n</svg>\n'


def height(value: float, low: int, high: int) -> float:
    """Where ``value`` lies between the powers ``low`` and ``high`` of ten, in px from above."""
    return TOP + HEIGHT * (1 - (math.log10(value) - low) / max(high - low, 1))


def frame(left: int, low: int, high: int, most: float, axis: str) -> list[str]:
    """A panel's lines and numbers."""
    parts = [text(left + WIDTH // 2, TOP + HEIGHT + 32, axis)]
    for power in range(low, high + 1):
        y = height(10.0**power, low, high)
        parts += [line_of(left, y, left + WIDTH, y), text(left - 42, y + 4, f"{10.0**power:g}")]
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = left + share * WIDTH
        parts += [line_of(x, TOP, x, TOP + HEIGHT), text(x - 8, TOP + HEIGHT + 16, f"{share * most:.3g}")]
    return parts


def line_of(x1: float, y1: float, x2: float, y2: float) -> str:
    """A thin grey line."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#e0e0e0"/>'


def text(x: float, y: float, words: str, colour: str = "#282828") -> str:
    """Words whose first letter stands at (``x``, ``y``)."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-family="sans-serif" font-size="12" fill="{colour}">{escape(words)}</text>'
    )


def main(argv: Sequence[str]) -> int:
    """Draw what ``argv`` names."""
    if len(argv) != 3:
        raise UserError(f"three words are needed: {USAGE}")
    name, score, out = argv
    table = find_table(name)
    picture = drawn(table.title, score, courses(table, score))
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    with replacing(Path(out)) as file:
        file.write(picture.encode())
    print(f"{out}: written")
    return 0


if __name__ == "__main__":
    leave_by(main)

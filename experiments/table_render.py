"""A table as Markdown, for the terminal, as CSV, LaTeX or HTML."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from statistics import fmean
from typing import Any

from experiments.table_cells import rounded
from experiments.table_figures import Figure, Line
from experiments.table_file import Column, Table

ARROWS = {"lower": "↓", "higher": "↑"}
NOTHING = "–"
UNBOUNDED = 10_000  # characters: wider than any table


@dataclass(frozen=True)
class Sheet:
    """A table as texts.

    Args:
        title: above it.
        header: of its columns.
        rows: as wide as the header.
        left: which columns are words, the others numbers.
        notes: sentences below it.
        lines: what the texts were made from.
        has_marks: whether the last column is what must be said of the rows.
    """

    title: str
    header: list[str]
    rows: list[list[str]]
    left: list[bool]
    notes: list[str]
    lines: Sequence[Line]
    has_marks: bool


def sheet(table: Table, found: Sequence[Line], said: Sequence[str]) -> Sheet:
    """The texts of ``table``: label, scores with what was published, runs, facts, marks; then source and notes."""
    columns: list[tuple[str, bool, list[str]]] = [("", True, [label(one) for one in found])]
    for i, column in enumerate(table.columns):
        figures = [one.figures[i] for one in found]
        columns.append((heading(column), False, [number(figure) for figure in figures]))
        if any(figure.expected for figure in figures):
            columns.append(("published", False, [published(figure) for figure in figures]))
            columns.append(("difference", False, [difference(figure) for figure in figures]))
    for fact in table.facts:
        columns.append((fact, fact == "experiment", [FACT[fact](one) for one in found]))
    columns.append(("runs", False, [runs(one) for one in found]))
    marks = ["; ".join(one.marks) for one in found]
    has_marks = any(marks)
    columns += [("", True, marks)] if has_marks else []
    return Sheet(
        title=table.title,
        header=[name for name, _, _ in columns],
        rows=[[cells[i] for _, _, cells in columns] for i in range(len(found))],
        left=[left for _, left, _ in columns],
        notes=[*notes(table, found), *said],
        lines=found,
        has_marks=has_marks,
    )


def label(line: Line) -> str:
    """What the row is called: the experiment's name where it has none of its own."""
    return line.filled.row.label or f"`{line.filled.wanted.experiment}`"


def heading(column: Column) -> str:
    """The column's title, with which way is better where that is a matter."""
    arrow = f" {ARROWS[column.better]}" if column.of in ("last", "best") else ""
    return f"{column.title}{arrow}{', %' if column.percent else ''}"


def number(figure: Figure) -> str:
    """Mean and deviation."""
    if figure.mean is None:
        return NOTHING
    digits = figure.column.digits
    return f"{figure.mean:.{digits}f}" + (f" ± {figure.std:.{digits}f}" if figure.std else "")


def published(figure: Figure) -> str:
    """The published value and its spread."""
    if figure.expected is None:
        return NOTHING
    digits, spread = figure.column.digits, figure.expected.spread
    return f"{figure.expected.value:.{digits}f}" + ("" if spread is None else f" ± {spread:.{digits}f}")


def difference(figure: Figure) -> str:
    """Ours less the published, with its sign."""
    if figure.difference is None:
        return NOTHING
    shown = f"{figure.difference:+.{figure.column.digits}f}"
    return shown.replace("-", "\N{MINUS SIGN}") if float(shown) else shown.lstrip("+-")


def runs(line: Line) -> str:
    """How many runs there are, of how many."""
    have, want = len(line.filled.counted), len(line.filled.seeds)
    return str(want) if have == want else f"{have} of {want}"


def kimg(line: Line) -> str:
    """Thousands of images seen."""
    seen = [float(result.clock["kimg"]) for result in line.results]
    return rounded(fmean(seen)) if seen else NOTHING


def minutes(line: Line) -> str:
    """Of one run, and on what where that was the same for all."""
    if not line.results:
        return NOTHING
    devices = {result.device for result in line.results}
    on = f" ({devices.pop()})" if len(devices) == 1 else ""
    return f"{rounded(fmean(result.minutes for result in line.results))}{on}"


FACT: Mapping[str, Callable[[Line], str]] = {
    "experiment": lambda line: f"`{line.filled.wanted.experiment}`",
    "kimg": kimg,
    "minutes": minutes,
}


def notes(table: Table, found: Sequence[Line]) -> list[str]:
    """Source, protocol, origins of single values and deviations, a sentence each."""
    said = [f"Source: {table.source}."] if table.source else []
    protocol = next((p for one in found for some in one.protocols for p in some), None)
    if protocol is not None:
        common = protocol.keys() - {name for one in found for name in one.filled.row.protocol}
        said.append(f"Measured by: {measured_by({name: protocol[name] for name in protocol if name in common})}.")
    elif isinstance(table.protocol, str):
        said.append(f"To be measured by: {table.protocol}.")
    for one in found:
        for title, expected in one.filled.row.expected.items():
            said += [f"{label(one)}, {title}: {expected.origin}."] if expected.origin else []
    return [*said, *table.deviations]


def measured_by(protocol: Mapping[str, Any]) -> str:
    """A protocol in a line."""
    if "extractor" not in protocol:
        return ", ".join(f"{name} {value}" for name, value in protocol.items() if isinstance(value, str | int))
    split, weights = protocol["reference_split"], {"ema": "averaged"}.get(protocol["weights"], protocol["weights"])
    return (
        f"{protocol['extractor']}, {protocol['fakes']:,} fakes against {protocol['reference_count']:,} images of "
        f"{protocol['data']} ({split}), {protocol['checkpoint']} checkpoint, {weights} weights"
    )


def markdown(page: Sheet) -> str:
    """A pipe table, notes as a list below it."""
    lines = [page.header, [":---" if left else "---:" for left in page.left], *page.rows]
    body = ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
    return "\n".join([f"{page.title}", "", *body, *([""] if page.notes else []), *(f"- {note}" for note in page.notes)])


def as_csv(page: Sheet) -> str:
    """One line a score and row, in numbers that nobody rounded."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["row", "experiment", "score", "of", "mean", "std", "runs", "seeds", "published", "spread", "marks"]
    )
    for one in page.lines:
        for figure in one.figures:
            column, expected = figure.column, figure.expected
            writer.writerow(
                [
                    *(
                        one.filled.row.label,
                        one.filled.wanted.experiment,
                        column.title,
                        one.filled.row.of or column.of,
                        figure.mean,
                        figure.std,
                    ),
                    *(len(figure.values), len(one.filled.seeds)),
                    *((expected.value, expected.spread) if expected else (None, None)),
                    "; ".join(one.marks),
                ]
            )
    return text.getvalue().rstrip("\n")


LATEX = {"\\": r"\textbackslash{}", "±": r"$\pm$", "↓": r"$\downarrow$", "↑": r"$\uparrow$", "–": "--", "−": "$-$"}
LATEX |= {sign: f"\\{sign}" for sign in "&%$#_{}"} | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
LATEX |= {"`": "", "<": r"\textless{}", ">": r"\textgreater{}"}


def latex(page: Sheet) -> str:
    """A tabular that needs no package, notes as a paragraph below it."""
    rows = [" & ".join(latex_text(cell) for cell in row) + r" \\" for row in [page.header, *page.rows]]
    spec = "".join("l" if left else "r" for left in page.left)
    body = [rf"\begin{{tabular}}{{{spec}}}", r"\hline", rows[0], r"\hline", *rows[1:], r"\hline", r"\end{tabular}"]
    return "\n".join([f"% {page.title}", *body, *([""] if page.notes else []), *map(latex_text, page.notes)])


def latex_text(text: str) -> str:
    """``text`` with what LaTeX reads as its own escaped."""
    return "".join(LATEX.get(sign, sign) for sign in text)


def html(page: Sheet) -> str:
    """A table with a caption, notes as a list below it."""
    header = "".join(f"<th>{escape(cell)}</th>" for cell in page.header)
    rows = ["<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in page.rows]
    notes = ["<ul>", *(f"<li>{escape(note)}</li>" for note in page.notes), "</ul>"] if page.notes else []
    return "\n".join(
        ["<table>", f"<caption>{escape(page.title)}</caption>", f"<tr>{header}</tr>", *rows, "</table>", *notes]
    )


def show(page: Sheet) -> None:
    """Print it on the terminal: numbers are not broken over lines, and marks stand below."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console  # a fifth of a second, which the other formats do without
    from rich.table import Table as RichTable
    from rich.text import Text

    shown = RichTable(title=Text(page.title), title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    width = len(page.header) - page.has_marks
    for i, (name, left) in enumerate(zip(page.header[:width], page.left, strict=False)):
        longest = max(len(row[i].replace("`", "")) for row in page.rows)
        shown.add_column(Text(name), justify="left" if left else "right", min_width=longest)
    for row in page.rows:
        shown.add_row(*(Text(cell.replace("`", "")) for cell in row[:width]))
    console = Console(highlight=False)
    console.width = max(console.width, Console(width=UNBOUNDED).measure(shown).maximum)
    console.print(shown)
    marks = [f"{label(one)}: {mark}" for one in page.lines for mark in one.marks]
    for note in [*marks, *page.notes]:
        console.print(Text(note.replace("`", "")))


FORMATS: Mapping[str, Callable[[Sheet], str]] = {"markdown": markdown, "csv": as_csv, "latex": latex, "html": html}

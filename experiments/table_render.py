"""A table as Markdown, for the terminal, as CSV, LaTeX or HTML."""

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from statistics import fmean
from typing import Any

from experiments.table_facts import FACTS, NOTHING
from experiments.table_figures import Figure, Line
from experiments.table_file import Column, Table

ARROWS = {"lower": "↓", "higher": "↑"}
MINUS = "\N{MINUS SIGN}"
CODE = re.compile(r"`([^`]*)`")
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


def sheet(table: Table, found: Sequence[Line], said: Sequence[str], beside: Sequence[Line] | None = None) -> Sheet:
    """The texts of ``table``: label, scores with what was published, runs, facts, marks; then source and notes.

    ``beside`` each score stands what other lines of the same rows have.
    """
    others = None if beside is None else {id(one.filled.row): one for one in beside}
    columns: list[tuple[str, bool, list[str]]] = [("", True, [label(one) for one in found])]
    for i, column in enumerate(table.columns):
        figures = [one.figures[i] for one in found]
        columns.append((heading(column), False, [number(figure) for figure in figures]))
        if others is not None:
            columns.append(("committed", False, [number(others[id(one.filled.row)].figures[i]) for one in found]))
        if any(figure.expected for figure in figures):
            columns.append(("published", False, [published(figure) for figure in figures]))
            columns.append(("difference", False, [difference(figure) for figure in figures]))
    for fact in table.facts:
        columns.append((fact, fact == "experiment", [FACTS[fact](one) for one in found]))
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
    return f"{column.title}{arrow}{unit(column)}"


def unit(column: Column) -> str:
    """What stands behind the column's title."""
    return ", %" if column.percent else ""


def number(figure: Figure) -> str:
    """Mean and deviation."""
    if figure.mean is None:
        return NOTHING
    digits = figure.column.digits
    spread = "" if figure.std is None else f" ± {figure.std:.{digits}f}"
    return f"{figure.mean:z.{digits}f}".replace("-", MINUS) + spread


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
    return shown.replace("-", MINUS) if float(shown) else shown.lstrip("+-")


def runs(line: Line) -> str:
    """How many runs there are, of how many."""
    have, want = len(line.filled.counted), len(line.filled.seeds)
    return str(want) if have == want else f"{have} of {want}"


def notes(table: Table, found: Sequence[Line]) -> list[str]:
    """Source, protocol, origins of single values and deviations, a sentence each."""
    said = [f"Source: {table.source}."] if table.source else []
    block = next((block for one in found for some in one.blocks for block in some), None)
    if block is not None:
        own = {name for one in found for name in one.filled.row.protocol}
        common = {name: value for name, value in block.protocol.items() if name not in own}
        means = f", means of {block.evaluations} evaluations" if block.evaluations > 1 else ""
        said.append(f"Measured by: {measured_by(common)}{means}.")
    elif isinstance(table.protocol, str):
        said.append(f"To be measured by: {table.protocol}.")
    tolerances = [f"{column.title} {column.tolerance}" for column in table.columns if column.tolerance is not None]
    for one in found:
        for title, expected in one.filled.row.expected.items():
            said += [f"{label(one)}, {title}: {expected.origin}."] if expected.origin else []
            tolerances += [f"{label(one)}, {title} {expected.tolerance}"] if expected.tolerance else []
    said += [f"Tolerance: {'; '.join(tolerances)}."] if tolerances else []
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


def dressed(text: str, plain: Callable[[str], str], code: Callable[[str], str]) -> str:
    """``text`` with what stands between backticks through ``code`` and the rest through ``plain``."""
    parts = CODE.split(text)
    return "".join(code(part) if i % 2 else plain(part) for i, part in enumerate(parts))


def markdown(page: Sheet) -> str:
    """A pipe table, notes as a list below it."""
    lines = [page.header, [":---" if left else "---:" for left in page.left], *page.rows]
    body = ["| " + " | ".join(markdown_text(cell).replace("|", "\\|") for cell in line) + " |" for line in lines]
    said = [f"- {markdown_text(note)}" for note in page.notes]
    return "\n".join([markdown_text(page.title), "", *body, *([""] if said else []), *said])


def markdown_text(text: str) -> str:
    """``text`` with what Markdown would read as HTML escaped; in code it reads nothing."""
    return dressed(text, lambda part: part.replace("<", "\\<"), lambda part: f"`{part}`")


CSV = (
    *("row", "experiment", "score", "of", "mean", "std", "runs", "seeds"),
    *("published", "spread", "tolerance", "kimg", "minutes", "marks"),
)


def as_csv(page: Sheet) -> str:
    """One line a score and row, in numbers that nobody rounded; kimg and minutes are means over the runs."""
    text = io.StringIO()
    writer = csv.DictWriter(text, CSV, lineterminator="\n")
    writer.writeheader()
    for one in page.lines:
        writer.writerows(csv_line(one, figure) for figure in one.figures)
    return text.getvalue().rstrip("\n")


def csv_line(line: Line, figure: Figure) -> dict[str, Any]:
    """What the columns ``CSV`` say of one figure."""
    column, expected = figure.column, figure.expected
    return {
        "row": label(line).replace("`", ""),
        "experiment": line.filled.wanted.experiment,
        "score": column.title + unit(column),
        "of": line.filled.row.of or column.of,
        "mean": figure.mean,
        "std": figure.std,
        "runs": len(figure.values),
        "seeds": len(line.filled.seeds),
        "published": expected and expected.value,
        "spread": expected and expected.spread,
        "tolerance": figure.tolerance,
        "kimg": fmean(result.clock["kimg"] for result in line.results) if line.results else None,
        "minutes": fmean(result.minutes for result in line.results) if line.results else None,
        "marks": "; ".join(line.marks),
    }


LATEX = {"\\": r"\textbackslash{}", "±": r"$\pm$", "↓": r"$\downarrow$", "↑": r"$\uparrow$", "–": "--", MINUS: "$-$"}
LATEX |= {sign: f"\\{sign}" for sign in "&%$#_{}"} | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
LATEX |= {"<": r"\textless{}", ">": r"\textgreater{}", "×": r"$\times$"}
LATEX_CODE = {**LATEX, "-": "-{}"}  # two hyphens would become a dash


def latex(page: Sheet) -> str:
    """A tabular that needs no package, notes as a paragraph below it."""
    rows = [" & ".join(latex_text(cell) for cell in row) + r" \\" for row in [page.header, *page.rows]]
    spec = "".join("l" if left else "r" for left in page.left)
    body = [rf"\begin{{tabular}}{{{spec}}}", r"\hline", rows[0], r"\hline", *rows[1:], r"\hline", r"\end{tabular}"]
    return "\n".join([f"% {page.title}", *body, *([""] if page.notes else []), *map(latex_text, page.notes)])


def latex_text(text: str) -> str:
    """``text`` with what LaTeX reads as its own escaped, code in typewriter letters."""

    def code(part: str) -> str:
        return rf"\texttt{{{''.join(LATEX_CODE.get(sign, sign) for sign in part)}}}"

    return dressed(text, lambda part: "".join(LATEX.get(sign, sign) for sign in part), code)


STYLE = (
    "body{font-family:sans-serif}table{border-collapse:collapse}caption{text-align:left;padding:.5em 0}"
    "th,td{padding:.2em .6em;border-bottom:1px solid #ccc;text-align:right}.words{text-align:left}"
)


def html(page: Sheet) -> str:
    """A page that needs nothing but itself: a table with a caption, notes as a list below it."""
    rows = [html_row(page, "th", page.header), *(html_row(page, "td", row) for row in page.rows)]
    notes = ["<ul>", *(f"<li>{html_text(note)}</li>" for note in page.notes), "</ul>"] if page.notes else []
    head = f'<meta charset="utf-8"><title>{escape(page.title)}</title><style>{STYLE}</style>'
    body = ["<table>", f"<caption>{html_text(page.title)}</caption>", *rows, "</table>", *notes]
    return "\n".join(["<!doctype html>", f'<html lang="en"><head>{head}</head><body>', *body, "</body></html>"])


def html_row(page: Sheet, tag: str, cells: Sequence[str]) -> str:
    """A row of ``th`` or ``td``."""
    opening = [f'<{tag} class="words">' if left else f"<{tag}>" for left in page.left]
    return f"<tr>{''.join(f'{o}{html_text(cell)}</{tag}>' for o, cell in zip(opening, cells, strict=True))}</tr>"


def html_text(text: str) -> str:
    """``text`` with what HTML reads as its own escaped."""
    return dressed(text, escape, lambda part: f"<code>{escape(part)}</code>")


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

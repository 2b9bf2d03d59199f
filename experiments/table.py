"""``atelier table``: a benchmark from its file and the records that there are. It imports no torch."""

import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.errors import UserError, did_you_mean
from experiments.request import read_request
from experiments.table_cells import fill, read_keys
from experiments.table_figures import lines
from experiments.table_file import Table, find_table, read_table, tables
from experiments.table_render import FORMATS, Sheet, sheet, show
from experiments.table_results import RESULTS, read_results

RICH = "rich"  # for terminals


def table(argv: Sequence[str]) -> int:
    """Print one table; without a name, what tables there are.

    Raises:
        UserError: an unknown name or format, or a mistake in the table's file.
    """
    request = read_request(argv, own=("--format", "--runs_dir"))
    if request.overrides or request.configs:
        raise UserError(
            f"table has no use for {[*request.overrides, '--config'][0]}: it takes a name, --format, --runs_dir"
        )
    format_ = request.own.get("--format", RICH if sys.stdout.isatty() else "markdown")
    if format_ not in (RICH, *FORMATS):
        known = (RICH, *FORMATS)
        raise UserError(
            f"there is no format {format_}: {did_you_mean(format_, known, 'known are ' + ', '.join(known))}"
        )
    if request.target is None:
        show_tables()
        return 0
    page = assemble(find_table(request.target), RESULTS, Path(request.own.get("--runs_dir", "runs")))
    if format_ == RICH:
        show(page)
    else:
        print(FORMATS[format_](page))
    return 0


def assemble(which: Table, results: Path, runs: Path | None = None) -> Sheet:
    """``which`` as texts, from the records below ``results`` and, where given, the run directories below ``runs``.

    Raises:
        UserError: a row names an experiment that does not exist.
    """
    found, problems = read_results(results, runs)
    rows, said = fill(which, found, read_keys())
    return sheet(which, lines(which, rows), [*said, *problems])


def show_tables() -> None:
    """Print what tables there are."""
    named = tables()
    width = max((len(name) for name in named), default=0)
    for name, file in named.items():
        print(f"{name:{width}}  {read_table(file).title}")

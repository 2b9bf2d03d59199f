"""``atelier table``: a benchmark from its file and the records that there are. It imports no torch."""

import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.errors import RunError, UserError, did_you_mean, report
from experiments.request import Request, read_request
from experiments.table_cells import fill, read_keys
from experiments.table_figures import lines
from experiments.table_file import Table, find_table, read_table, tables
from experiments.table_jobs import Place
from experiments.table_render import FORMATS, Sheet, sheet, show
from experiments.table_results import RESULTS, read_results
from experiments.table_run import DRY_RUN, OPTIONS, OWN, RUN, check, run
from experiments.table_run_keys import stored_keys

RICH = "rich"  # for terminals


def table(argv: Sequence[str]) -> int:
    """Print one table, after running what is missing where that is asked for; without a name, what tables there are.

    Raises:
        UserError: an unknown name or format, or a mistake in the table's file.
        InterruptedRunError: Ctrl-C while cells were run.
    """
    request = read_request(argv, own=("--format", "--runs_dir", *OPTIONS), flags=(RUN, DRY_RUN, OWN))
    if request.overrides or request.configs:
        raise UserError(
            f"table has no use for {[*request.overrides, '--config'][0]}: it takes a name, --run, --format, --runs_dir"
        )
    format_ = format_of(request)
    check(request)
    if request.target is None:
        show_tables()
        return 0
    runs = Path(request.own.get("--runs_dir", "runs"))
    which, place = find_table(request.target), Place(RESULTS, runs, own=OWN in request.flags)
    failed = run(which, place, request, argv) if request.flags & {RUN, DRY_RUN} else []
    if DRY_RUN in request.flags:
        return 0
    page = assemble(which, place.results, place.runs, place.own)
    if format_ == RICH:
        show(page)
    else:
        print(FORMATS[format_](page), flush=True)
    return max([report(RunError(said)) for said in failed], default=0)


def format_of(request: Request) -> str:
    """How the table is to be printed.

    Raises:
        UserError: there is no such format.
    """
    format_ = request.own.get("--format", RICH if sys.stdout.isatty() else "markdown")
    known = (RICH, *FORMATS)
    if format_ not in known:
        raise UserError(
            f"there is no format {format_}: {did_you_mean(format_, known, 'known are ' + ', '.join(known))}"
        )
    return format_


def assemble(which: Table, results: Path, runs: Path | None = None, own: bool = False) -> Sheet:
    """``which`` as texts, from the records below ``results`` and, where given, the run directories below ``runs``.

    Where ``own``, of the latter alone, with what the former have beside.

    Raises:
        UserError: a row names an experiment that does not exist.
    """
    found, problems = read_results(results, runs)
    keys = read_keys() if runs is None else stored_keys(runs)
    committed = [result for result in found if result.committed]
    rows, said = fill(which, [result for result in found if not result.committed] if own else found, keys)
    beside = lines(which, fill(which, committed, keys)[0]) if own else None
    return sheet(which, lines(which, rows), [*said, *problems], beside)


def show_tables() -> None:
    """Print what tables there are."""
    named = tables()
    width = max((len(name) for name in named), default=0)
    for name, file in named.items():
        print(f"{name:{width}}  {read_table(file).title}")

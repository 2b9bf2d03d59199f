"""``atelier compare``: what sets runs apart: scores, each by one protocol, cost, and the settings that differ.

It imports no torch. Runs are ranked by one score alone, and only those that have it by one and the same protocol.
"""

import sys
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from itertools import combinations
from pathlib import Path

from datamodules.functional.files import replacing
from experiments.compare_page import compared_page
from experiments.compare_runs import COSTS, Contender, find_contenders
from experiments.compare_scores import ScoreColumn, chosen, departures, ranked, score_columns
from experiments.compare_settings import differences
from experiments.errors import UserError
from experiments.request import Request, new_path, number, read_request
from experiments.table_facts import NOTHING
from experiments.table_render import ARROWS, Sheet, markdown, show
from experiments.table_results import Result

OPTIONS, BLIND = ("--by", "--out", "--runs_dir", "--pairs", "--seed", "--votes"), "--blind"
PAIRS = 50  # of a blind comparison
SCORES = 5  # in the terminal, beside the one that runs are ranked by
ABREAST = 6  # runs whose settings stand side by side; of more, values are counted
MOST = 60  # characters of a setting's value
KEYED = ("model", "data", "trainer")  # settings that a run's key hangs on


def compare(argv: Sequence[str]) -> int:
    """Print the comparison; write it as a page where --out says so.

    Raises:
        UserError: no runs, or a score to rank by that is none of one protocol.
    """
    request = read_request(argv, own=OPTIONS, flags=(BLIND,))
    if "--votes" in request.own:
        return votes(request)
    if BLIND in request.flags:
        return blind(request)
    if strange := [name for name in ("--pairs", "--seed") if name in request.own]:
        raise UserError(f"{strange[0]} is for a blind comparison: add --blind")
    contenders, problems = find_contenders(targets_of(request), Path(request.own.get("--runs_dir", "runs")))
    columns = score_columns(contenders)
    by = chosen(columns, request.own.get("--by"))
    order = ranked(range(len(contenders)), by)
    contenders = [contenders[place] for place in order]
    for column in columns:
        column.reorder(order)
    apart = differences([one.settings for one in contenders])
    out = new_path(request.own["--out"]) if "--out" in request.own else None
    said = [*departures(columns), *remarks(contenders, by), *problems]
    for page in (scores_sheet(contenders, columns, by, said), settings_sheet(contenders, apart)):
        if page.rows:
            show(page) if sys.stdout.isatty() else print(markdown(page), end="\n\n", flush=True)
    if out is not None:
        text = compared_page(contenders, columns, by, apart, said)
        with replacing(out) as file:
            file.write(text.encode())
        print(f"{len(text) / 2**20:.1f} MB: {out}")
    return 0


def votes(request: Request) -> int:
    """Say what the votes of blind comparisons come to."""
    from experiments.compare_blind import tell_votes

    if request.target is not None or BLIND in request.flags or request.configs or len(request.own) > 1:
        raise UserError("--votes takes the files alone: `atelier compare --votes votes.json ...`")
    print(tell_votes([request.own["--votes"], *request.overrides]))
    return 0


def blind(request: Request) -> int:
    """Write the page on which a person votes."""
    from experiments.compare_blind import blind_page  # numpy and Pillow, which the rest does without

    if "--by" in request.own:
        raise UserError("--by ranks runs, which a blind comparison does not: leave it out")
    count, seed = number(request, "--pairs", 1) or PAIRS, number(request, "--seed", 0) or 0
    out = new_path(request.own.get("--out", "blind.html"))
    text = blind_page(targets_of(request), Path(request.own.get("--runs_dir", "runs")), count, seed)
    with replacing(out) as file:
        file.write(text.encode())
    print(f"{len(text) / 2**20:.1f} MB: {out}; then `atelier compare --votes votes.json`")
    return 0


def targets_of(request: Request) -> list[str]:
    """The runs that were named.

    Raises:
        UserError: none, or something that is no run.
    """
    targets = [*([] if request.target is None else [request.target]), *request.overrides]
    if not targets:
        raise UserError("compare needs runs: `atelier compare RUN_DIR|RECORD.json|FOLDER|EXPERIMENT|WANDB_RUN ...`")
    strange = [word for word in targets if word.startswith("-")]
    if strange or request.configs:
        raise UserError(f"compare has no use for {[*strange, '--config'][0]}: it takes runs, {', '.join(OPTIONS)}")
    return targets


def remarks(contenders: Sequence[Contender], by: ScoreColumn | None) -> list[str]:
    """What must be said of the runs, a sentence each."""
    lacking = [] if by is None else [i for i in range(len(contenders)) if by.value(i) is None]
    said = [f"{len(lacking)} of {len(contenders)} have no {by.title} and stand last."] if by and lacking else []
    said += [f"{one.name}: {state}." for one in contenders if (state := state_of(one))]
    unknown = [one.name for one in contenders if not one.settings.values]
    if unknown:
        said.append(f"Settings of {', '.join(unknown)} are not known: its YAML is another by now, or it has none.")
    first = {(one.result.experiment, one.result.key, one.settings.whole): one for one in reversed(contenders)}
    return said + [
        f"{a.name} and {b.name} may differ in a setting that a committed result leaves at its default: their keys do."
        for a, b in combinations(reversed(first.values()), 2)
        if unlike_unsaid(a, b)
    ]


def unlike_unsaid(a: Contender, b: Contender) -> bool:
    """Whether the keys of two runs of one experiment differ, and no setting that they hang on does.

    Of runs whose defaults are all spelt out a setting does.
    """
    keys = {a.result.key, b.result.key}
    if a.result.experiment != b.result.experiment or None in keys or len(keys) == 1:
        return False
    if a.settings.whole == b.settings.whole or not (a.settings.values and b.settings.values):
        return False
    return not any(name.split(".")[0] in KEYED for name in differences([a.settings, b.settings]))


def scores_sheet(
    contenders: Sequence[Contender], columns: Sequence[ScoreColumn], by: ScoreColumn | None, notes: Sequence[str]
) -> Sheet:
    """Names, cost and the first scores of which it is known which side is better; a page has all."""
    known = [column for column in columns if column.better and column is not by]
    numbered, shown_columns = len(contenders) > 1, [*([by] if by else []), *known[:SCORES]]
    known_facts, with_best = facts(contenders), by is not None and any(by.best(i) for i in range(len(contenders)))
    if len(known) > SCORES:
        notes = [*notes, f"{len(known) - SCORES} more scores are on the page (--out FILE.html)."]
    cells = [
        [
            *([str(i + 1)] if numbered else []),  # by which settings name it
            one.name,
            *(fact[i] for fact in known_facts.values()),
            *(text for column in shown_columns for text in scores_of(column, i, column is by and with_best)),
        ]
        for i, one in enumerate(contenders)
    ]
    head = [*(["#"] if numbered else []), "run", *known_facts]
    for column in shown_columns:
        arrow = ARROWS.get(column.better or "", "")
        head += [f"{column.title} {arrow}".rstrip(), *(["best (kimg)"] if column is by and with_best else [])]
    ranking = f", by {by.title}" if by is not None and numbered else ""
    left = [name == "run" for name in head]
    title = f"{len(contenders)} runs{ranking}" if numbered else contenders[0].name
    return Sheet(title, head, cells, left, list(notes), (), has_marks=False)


def facts(contenders: Sequence[Contender]) -> dict[str, list[str]]:
    """What the runs cost, by what it is called; what is known of none of them is left out."""
    results = [one.result for one in contenders]
    sizes = [sum(result.parameters.values()) for result in results]
    found = {
        "kimg": [plain(result.clock["kimg"], 4) for result in results],
        "minutes": [plain(result.minutes, 3) for result in results],
        "parameters": [f"{size:,}" if size else NOTHING for size in sizes],
        **{title: [costed(result, name, per) for result in results] for title, (name, per) in COSTS.items()},
        "on": [result.device for result in results],
    }
    return {title: said for title, said in found.items() if set(said) != {NOTHING}}


def costed(result: Result, name: str, per: float) -> str:
    """One of the record's costs, in units of ``per``."""
    return plain(result.cost[name] / per, 3) if name in result.cost else NOTHING


def plain(value: float, digits: int) -> str:
    """``value`` with so many digits and, if it has more, all before the point: never in powers of ten."""
    return f"{value:.0f}" if value >= 10**digits else f"{Decimal(f'{value:.{digits}g}'):f}"


def scores_of(column: ScoreColumn, place: int, with_best: bool) -> list[str]:
    """The last value, and where runs are ranked by it the best one with its kimg."""
    value, best = column.value(place), column.best(place)
    last = NOTHING if value is None else f"{value:.4g}"
    return [last, *([NOTHING if best is None else f"{best[0]:.4g} ({plain(best[1], 4)})"] if with_best else [])]


def state_of(one: Contender) -> str:
    """What must be said of a run that is not a finished one of clean code."""
    result = one.result
    said = [] if result.finished else [result.status if result.share == 0 else f"{result.status}, {result.share:.0%}"]
    return ", ".join([*said, *(["uncommitted code"] if result.dirty else [])])


def settings_sheet(contenders: Sequence[Contender], apart: dict[str, list[str | None]]) -> Sheet:
    """The settings that differ; of many runs, how often each value is there."""
    few = len(contenders) <= ABREAST
    head = ["setting", *([str(i + 1) for i in range(len(contenders))] if few else ["values"])]
    rows = [[name, *(map(shown, values) if few else [counted(values)])] for name, values in apart.items()]
    return Sheet("Settings that differ", head, rows, [True] * len(head), [], (), has_marks=False)


def shown(value: str | None) -> str:
    """A setting's value."""
    return NOTHING if value is None else value if len(value) <= MOST else f"{value[:MOST]} ..."


def counted(values: Sequence[str | None]) -> str:
    """Each value with how many runs have it, the most frequent first."""
    counts = Counter(map(shown, values)).most_common()
    parts = [f"{value} ({n})" if n > 1 else value for value, n in counts[:ABREAST]]
    return ", ".join(parts) + (f" and {len(counts) - ABREAST} more" if len(counts) > ABREAST else "")

"""``atelier evaluate``: score a trained generator, or images that are there already, under a named protocol.

What is to be measured: the command line's options come first, then the preset, then what the run was evaluated by.
"""

import time
from collections.abc import Sequence

from datamodules import inspection
from experiments import evaluate_pairs
from experiments.errors import UserError
from experiments.evaluate_options import OWN, Options, read_options
from experiments.evaluate_runs import score_run
from experiments.evaluate_sets import score_sets
from experiments.lightning_cli import hush_lightning, users_mistakes
from experiments.request import Request, read_request
from experiments.score_report import ScoreReport
from experiments.train import say
from lightning_modules.metrics import cache

CACHE = "--cache"


def evaluate(argv: Sequence[str]) -> int:
    """Print the scores as a table, and write them as JSON where asked to.

    Raises:
        UserError: it cannot be done as asked, and why.
    """
    hush_lightning()
    request = read_request(argv, OWN)
    start = time.monotonic()
    with users_mistakes():
        if CACHE in request.own:
            return tend_cache(request)
        options = read_options(request)
        report = score(options)
    report.seconds = time.monotonic() - start
    report.show()
    if options.out is not None:
        say("written: " + ", ".join(map(str, report.write(options.out))))
    return 0


def score(options: Options) -> ScoreReport:
    """Measure in the one of three ways that ``options`` ask for."""
    if options.paired:
        return evaluate_pairs.score(options)
    return score_run(options) if options.other is None else score_sets(options)


def tend_cache(request: Request) -> int:
    """Show what is remembered of references, or delete it.

    Raises:
        UserError: for another word, or more of them.
    """
    word = request.own[CACHE]
    if word not in ("show", "clear"):
        raise UserError(f"{CACHE} expects show or clear, got {word!r}")
    if request.target is not None or len(request.own) > 1 or request.configs or request.overrides:
        raise UserError(f"{CACHE} {word} stands alone: `atelier evaluate {CACHE} {word}`")
    if word == "clear":
        about_files = inspection.forget()
        say(f"{cache.clear()} statistics and {about_files} findings about files deleted from {cache.cache_folder()}")
        return 0
    found = cache.entries()
    for entry in found:
        what = entry.what
        about = " ".join(str(what.get(name, "")) for name in ("data", "split", "count", "kind")) if what else "damaged"
        through = f" through {what['extractor']}" if "extractor" in what else ""
        say(f"{entry.size / 2**20:9.2f} MiB  {about}{through}  {entry.path.name[:12]}")
    total = sum(entry.size for entry in found) / 2**20
    say(f"{len(found)} statistics, {total:.2f} MiB in all, in {cache.cache_folder()}")
    return 0

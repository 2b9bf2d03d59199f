"""``python -m experiments.bench.memory [CASE]``: a step where freed memory is given back to the system, and where not.

A process cannot take back that it keeps memory, so each measurement is of a process of its own, turn by turn; each
trains a case of ``step_time.py`` by a bare loop: a step of D and one of G, first once unmeasured.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from typing import Any

import torch

from experiments.bench.step_time import BareLoop, cases
from experiments.cpu import keep_memory

WAYS = {"given_back": False, "kept": True}


def child(name: str, width: int, rounds: int, threads: int, kept: bool) -> dict[str, float]:
    """One process: median seconds of a round, page faults of one, and the process's peak in MB."""
    torch.set_num_threads(threads)
    if kept:
        keep_memory()
    torch.manual_seed(0)
    case = replace(cases(name, width)[0], n_critic=1)
    loop = BareLoop(case, case.G(), case.D(), case.data(case.batch).reference("train"))
    loop()
    faults, seconds = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, []
    for _ in range(rounds):
        start = time.perf_counter()
        loop()
        seconds.append(time.perf_counter() - start)
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "seconds": statistics.median(seconds),
        "page_faults": (used.ru_minflt - faults) // rounds,
        "peak_mb": used.ru_maxrss // 1024,
    }


def measure(name: str, width: int, rounds: int, turns: int, threads: int) -> dict[str, Any]:
    """Both ways, turn by turn, and the medians over the turns."""
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    base = [sys.executable, "-m", "experiments.bench.memory", name, "--width", str(width), "--rounds", str(rounds)]
    for turn in range(turns):
        for way in list(WAYS)[:: 1 if turn % 2 else -1]:
            words = [*base, "--threads", str(threads), "--way", way]
            said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
            found[way].append(json.loads(said))
    middle = {
        way: {key: round(statistics.median(one[key] for one in runs), 3) for key in runs[0]}
        for way, runs in found.items()
    }
    case = cases(name, width)[0]
    return {
        "network": f"{case.name}, batch {case.batch}, a step of D and one of G",
        "settings": case.settings,
        "turns": turns,
        "rounds": rounds,
        "threads": threads,
        **middle,
        "ratio": round(middle["kept"]["seconds"] / middle["given_back"]["seconds"], 4),
    }


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", nargs="?", default="sngan", choices=["dcgan", "sngan", "biggan"])
    parser.add_argument("--width", type=int, default=96, help="of DCGAN and of BigGAN")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        found = child(options.case, options.width, options.rounds, options.threads, WAYS[options.way])
    else:
        found = measure(options.case, options.width, options.rounds, options.turns, options.threads)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()

"""``python experiments/bench/denormals.py CHECKPOINT``: what denormal numbers in Adam's averages cost a CPU.

For each optimizer of a checkpoint: the share of its averages that is denormal, and what one of its updates takes
with those numbers as they are and taken as zero, as ``atelier fit`` does. The two take turns, from the same averages.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from experiments.weights import read_checkpoint

AVERAGES = ("exp_avg", "exp_avg_sq")


def denormal(averages: list[torch.Tensor]) -> float:
    """The share of numbers that are denormal, counted by the bits of their exponent."""
    numbers = torch.cat([average.flatten() for average in averages]).view(torch.int32) & 0x7FFFFFFF
    return ((numbers > 0) & (numbers < 1 << 23)).float().mean().item()


def measure(state: dict[str, Any], rounds: int) -> dict[str, Any]:
    """One optimizer, whose ``state`` a checkpoint holds: shares, and the medians of an update in ms."""
    weights = [torch.randn_like(of["exp_avg"]).requires_grad_() for of in state["state"].values()]
    opt = torch.optim.Adam(weights, fused=True)
    opt.load_state_dict(state)
    kept = {key: [of[key].clone() for of in state["state"].values()] for key in AVERAGES}
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for turn in range(2 * (rounds + 1)):
        as_zero = turn % 2 == 1
        for weight, *averages in zip(weights, *kept.values(), strict=True):
            weight.grad = torch.zeros_like(weight)
            for key, average in zip(AVERAGES, averages, strict=True):
                opt.state[weight][key].copy_(average)
        torch.set_flush_denormal(as_zero)
        start = time.perf_counter()
        opt.step()
        seconds[as_zero].append(time.perf_counter() - start)
        torch.set_flush_denormal(False)
    as_they_are, zero = (round(1000 * statistics.median(seconds[as_zero][1:]), 2) for as_zero in (False, True))
    return {
        "numbers": sum(weight.numel() for weight in weights),
        "denormal": {key: round(denormal(averages), 4) for key, averages in kept.items()},
        "update_ms": as_they_are,
        "update_as_zero_ms": zero,
    }


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="of a run whose optimizers are Adam")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    checkpoint = read_checkpoint(options.checkpoint)
    found = {
        "steps": checkpoint["global_step"],
        "threads": options.threads,
        "optimizers": [measure(state, options.rounds) for state in checkpoint["optimizer_states"]],
    }
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()

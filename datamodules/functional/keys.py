"""Keyed randomness: every random stream is a function of what it is for, never of how the program got there."""

import torch

_MASK = (1 << 64) - 1


def key(*parts: int) -> int:
    """Hash integers to a seed in [0, 2^63), so that streams of neighbouring keys are unrelated.

    splitmix64's finaliser (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators", fig. 15)
    applied once a part. The order of the parts matters: ``key(1, 2) != key(2, 1)``.
    """
    state = len(parts)
    for part in parts:
        state = (state + (part & _MASK) + 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state >> 1


def seed_streams(seed: int, device: torch.device) -> None:
    """Seed the global random streams of the CPU and of ``device``.

    What torch.manual_seed does beyond that (all devices, and a stack trace kept for late ones) costs 0.2 ms a call.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)

"""What makes a CPU train faster and touches no result: denormals as zero, memory kept, no GPU sought at each step."""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # glibc's malloc.h


@contextmanager
def cpu_at_speed() -> Iterator[None]:
    """Take denormal numbers as zero within, and keep memory from here on.

    Numbers below 1.2e-38 cost a CPU many times as much as others, and Adam's averages of a unit that has stopped
    learning sink among them and stay there: nearly half of the first averages of PacGAN's discriminator after 190,000
    steps, whose update took four times as long (``experiments/bench/denormals.py``).
    """
    keep_memory()
    seek_gpu_fast()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def keep_memory() -> None:
    """Let freed memory stay with the process, where the C library is glibc.

    By itself it gives each block of over 32 MB back to the system, which clears it page by page when the next step asks
    for it: an eighth of a step of SNGAN and BigGAN at 32 px. Their peak is an eighth higher where memory is kept
    (``experiments/bench/memory.py``).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(MMAP_MAX, 0)
        mallopt(TRIM_THRESHOLD, -1)


def seek_gpu_fast() -> None:
    """Where there is no GPU, let torch's optimizers find so by the runtime, which remembers it.

    They ask before each update, and Lightning has them ask NVML, which looks for a driver each time: 0.1 ms.
    """
    if not torch.cuda.is_available():
        os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)

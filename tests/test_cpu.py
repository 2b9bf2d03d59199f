"""What makes a CPU train faster: denormal numbers as zero within a run alone, and memory that is kept."""

import subprocess
import sys

import pytest
import torch
from command_line import ROOT, fit, place

from experiments.train import Opening

PAGES = 64 * 2**20 // 4096
FAULTS = """
import resource
import numpy as np
from experiments.cpu import keep_memory
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(2**23)  # 64 MB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
first = [faults(), faults()]
keep_memory()
faults()
print(*first, faults())
"""


@pytest.mark.usefixtures(place.__name__)
def test_training_takes_denormals_as_zero_and_leaves_the_process_as_it_was(monkeypatch):
    def below() -> bool:
        return bool((torch.full((40,), 1e-30) * 1e-9).any())

    seen = []
    monkeypatch.setattr(Opening, "on_train_batch_start", lambda *_: seen.append(below()))
    fit("--clock.g_steps", "2")
    assert seen == [False, False]
    assert below()


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's memory")
def test_memory_that_is_kept_is_not_asked_for_again():
    said = subprocess.run([sys.executable, "-c", FAULTS], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    first, second, kept = map(int, said.split())
    assert min(first, second) >= PAGES / 512  # as few as huge pages ask for
    assert kept < PAGES / 512

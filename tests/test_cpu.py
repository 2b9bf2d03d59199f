"""What makes a CPU train faster: denormals as zero within a run alone, memory that is kept, no GPU sought each step."""

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


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU to be found")
@pytest.mark.usefixtures(place.__name__)
def test_no_driver_is_sought_before_each_update(monkeypatch):
    monkeypatch.setenv("PYTORCH_NVML_BASED_CUDA_CHECK", "1")  # as Lightning has it
    sought = []
    monkeypatch.setattr(torch.cuda, "_device_count_nvml", lambda: sought.append(len(begun)) or -1)
    begun = []
    monkeypatch.setattr(Opening, "on_train_batch_start", lambda *_: begun.append(True))
    fit("--clock.g_steps", "3")
    assert len(begun) == 3
    assert not any(sought)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's memory")
def test_memory_that_is_kept_is_not_asked_for_again():
    said = subprocess.run([sys.executable, "-c", FAULTS], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    first, second, kept = map(int, said.split())
    assert min(first, second) >= PAGES / 512  # as few as huge pages ask for
    assert kept < PAGES / 512

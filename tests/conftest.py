"""One thread a process: the suites' networks are tiny, and results must not depend on how many cores are free.

ATELIER_DATA means the same folder wherever a test goes.
"""

import os
from pathlib import Path

import torch

torch.set_num_threads(1)
if data := os.environ.get("ATELIER_DATA"):
    os.environ["ATELIER_DATA"] = str(Path(data).resolve())

"""One thread a process: the suites' networks are tiny, and results must not depend on how many cores are free.

ATELIER_DATA means the same folder wherever a test goes.
"""

import os
import urllib.error
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)
if data := os.environ.get("ATELIER_DATA"):
    os.environ["ATELIER_DATA"] = str(Path(data).resolve())


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without published weights and without a network to fetch them: its folder, with torch's hub cache."""

    def offline(*args: object, **kwargs: object) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.delenv("ATELIER_WEIGHTS", raising=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    return tmp_path

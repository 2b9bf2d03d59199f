"""What is remembered of files that were looked through: not of other files, nor of an error that passes."""

import os
from pathlib import Path

import pytest
from PIL import Image

import datamodules.inspection
from datamodules.folder import Folder
from datamodules.sources import FolderSource
from experiments.bench.mixed import make_mixed


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATELIER_CACHE", str(tmp_path_factory.mktemp("cache")))


def folder(path: Path) -> Folder:
    """Those files as data, not held in memory."""
    return Folder(path.name, 8, root=str(path.parent), memory_limit_gib=0, batch_size=4)


def test_a_changed_file_is_looked_at_again(tmp_path: Path) -> None:
    make_mixed(tmp_path / "mixed", 30)
    before = folder(tmp_path / "mixed")
    before.prepare_data()
    (tmp_path / "mixed" / "blobs" / "00000.jpg").write_bytes(b"no image")
    after = folder(tmp_path / "mixed")
    after.prepare_data()
    assert len(after.report.faults) == len(before.report.faults) + 1


def test_files_of_equal_names_sizes_and_times_are_told_apart(tmp_path: Path) -> None:
    hashes = []
    for name, level in (("a", 0), ("b", 100)):
        (tmp_path / name).mkdir()
        for i in range(30):
            file = tmp_path / name / f"{i:02d}.bmp"
            Image.new("RGB", (12, 12), (level + i, 0, 0)).save(file)
            os.utime(file, (0, 0))  # as tools that pack reproducibly leave them
        hashes.append(folder(tmp_path / name).reference("train").sha256)
    assert hashes[0] != hashes[1]


def test_a_reading_error_that_passes_is_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_mixed(tmp_path / "mixed", 30)
    fetch = FolderSource.fetch
    with monkeypatch.context() as broken:
        broken.setattr(FolderSource, "fetch", lambda source, i: out_of_files() if i == 0 else fetch(source, i))
        before = folder(tmp_path / "mixed")
        before.prepare_data()
    after = folder(tmp_path / "mixed")
    after.prepare_data()
    assert len(after.report.faults) == len(before.report.faults) - 1
    assert datamodules.inspection.forget() == 2  # splits
    assert datamodules.inspection.forget() == 0


def out_of_files() -> bytes:
    raise OSError(24, "Too many open files")

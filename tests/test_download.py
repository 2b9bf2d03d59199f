"""Laws of downloads: one at a time, and what is there is whole."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from toys import start

from datamodules.mnist import MNIST
from datamodules.stl10 import STL10


def write_slowly(self: MNIST, root: Path) -> None:
    """What a download does to its folder, in many steps."""
    for path in self.files:
        (place := root / path.relative_to(self.root)).parent.mkdir(parents=True, exist_ok=True)
        with place.open("wb") as file:
            for _ in range(4):
                file.write(b"part")
                file.flush()
                time.sleep(0.01)


def fetch_until_killed(root: str) -> None:
    def fetch(self: MNIST, root: Path) -> None:
        write_slowly(self, root)
        os.kill(os.getpid(), signal.SIGKILL)

    MNIST.fetch = fetch  # type: ignore[method-assign]
    MNIST(root=root, download=True).prepare_data()


def test_two_runs_fetch_once_and_neither_reads_what_is_not_whole(tmp_path, monkeypatch):
    calls = []

    def fetch(self, root):
        calls.append(root)
        write_slowly(self, root)

    def whole(_):
        data = MNIST(root=str(tmp_path), download=True)
        data.prepare_data()
        return [path.read_bytes() for path in data.files] == [b"part" * 4] * 4

    monkeypatch.setattr(MNIST, "fetch", fetch)
    with ThreadPoolExecutor(2) as pool:
        assert [*pool.map(whole, range(2))] == [True, True]
    assert len(calls) == 1


def test_a_download_that_was_killed_leaves_nothing_that_is_taken_for_there(tmp_path, monkeypatch):
    process = start(fetch_until_killed, str(tmp_path))
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    data = MNIST(root=str(tmp_path), download=True)
    assert data.absent == data.files[0]
    monkeypatch.setattr(MNIST, "fetch", write_slowly)
    data.prepare_data()
    assert data.absent is None
    assert [path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")] == ["MNIST"]


def test_a_folder_that_is_a_link_to_another_disk_is_filled_within_it(tmp_path, monkeypatch):
    (disk := tmp_path / "disk").mkdir()
    (root := tmp_path / "root").mkdir()
    (root / "MNIST").symlink_to(disk)
    moves = []
    monkeypatch.setattr(MNIST, "fetch", write_slowly)
    monkeypatch.setattr(Path, "replace", lambda self, to: moves.append((self, to)) or os.replace(self, to))
    data = MNIST(root=str(root), download=True)
    data.prepare_data()
    assert data.absent is None
    assert all(disk in one.parents for move in moves for one in move)
    assert sorted(path.name for path in (disk / "raw").iterdir()) == sorted(path.name for path in data.files)


def test_an_archive_that_is_there_is_at_hand(tmp_path, monkeypatch):
    (tmp_path / "archive.tar.gz").write_bytes(b"whole")

    def fetch(self, root):
        assert (root / "archive.tar.gz").read_bytes() == b"whole"
        write_slowly(self, root)

    monkeypatch.setattr(MNIST, "fetch", fetch)
    MNIST(root=str(tmp_path), download=True).prepare_data()
    assert (tmp_path / "archive.tar.gz").read_bytes() == b"whole"


def test_two_names_of_the_same_files_wait_for_one_another(tmp_path, monkeypatch):
    monkeypatch.setattr(STL10, "fetch", lambda self, root: None)
    for size in (96, 48):
        with pytest.raises(FileNotFoundError, match=r"is absent"):
            STL10(size=size, root=str(tmp_path), download=True).prepare_data()
    assert [path.name for path in tmp_path.iterdir()] == [".stl10_binary.lock"]

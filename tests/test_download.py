"""Laws of downloads: one at a time, and what is there is whole."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from toys import start

from datamodules.mnist import MNIST


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

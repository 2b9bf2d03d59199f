"""Laws of the search for published weights: its order, hashes, and what it says where there is nothing."""

import hashlib
from pathlib import Path

import pytest
import torch

from lightning_modules.metrics.found_weights import PublishedWeights, sha256_of

FILE, URL = "toy-1.pth", "https://example.org/toy-1.pth"
BYTES = b"published"
TOY = PublishedWeights("Toy", FILE, URL, hashlib.sha256(BYTES).hexdigest()[:8], "toy.weights")


def written(path: Path, content: bytes = BYTES) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_the_order_is_explicit_environment_cache_download(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError):
        TOY.find()
    downloaded: list[tuple[str, str, str]] = []
    monkeypatch.setattr(
        torch.hub,
        "download_url_to_file",
        lambda url, path, hash_prefix: downloaded.append((url, path, hash_prefix)) or written(Path(path)),
    )
    cached = nowhere / "hub" / "checkpoints" / FILE
    assert TOY.find() == cached
    assert downloaded == [(URL, str(cached), TOY.sha256)]
    assert TOY.find() == cached
    monkeypatch.setenv("ATELIER_WEIGHTS", str(nowhere / "own"))
    assert TOY.find() == cached  # the folder is not there
    own = written(nowhere / "own" / FILE)
    assert TOY.find() == own
    mine = written(nowhere / "mine.pth", b"another")
    assert TOY.find(str(mine)) == mine
    assert len(downloaded) == 1


def test_the_environment_may_name_a_file(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached = written(nowhere / "hub" / "checkpoints" / FILE)
    for name, content, found in (
        (FILE, BYTES, True),
        ("renamed.pth", BYTES, True),
        ("inception.pth", b"of another network", False),
    ):
        path = written(nowhere / "files" / name, content)
        monkeypatch.setenv("ATELIER_WEIGHTS", str(path))
        assert TOY.find() == (path if found else cached)


@pytest.mark.parametrize("place", ["own", "hub/checkpoints"])
def test_another_hash_is_refused_unless_named(nowhere: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    path = written(nowhere / place / FILE, b"another")
    monkeypatch.setenv("ATELIER_WEIGHTS", str(nowhere / "own"))
    with pytest.raises(ValueError, match=rf"{FILE} does not have the sha256 {TOY.sha256}.*toy\.weights") as error:
        TOY.find()
    assert "\n" not in str(error.value)
    assert TOY.find(str(path)) == path


def test_what_is_absent_is_named_with_file_url_and_setting(nowhere: Path) -> None:
    with pytest.raises(FileNotFoundError) as error:
        TOY.find()
    for part in ("Toy", FILE, URL, "toy.weights", "ATELIER_WEIGHTS", "no network"):
        assert part in str(error.value)
    assert "\n" not in str(error.value)
    with pytest.raises(FileNotFoundError, match=r"Toy weights .*absent\.pth \(toy\.weights\) are no file"):
        TOY.find(str(nowhere / "absent.pth"))


def test_the_hash_is_of_the_whole_file(tmp_path: Path) -> None:
    assert sha256_of(written(tmp_path / "a")) == hashlib.sha256(BYTES).hexdigest()

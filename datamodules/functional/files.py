"""Files that are either whole or not there: written beside their place, flushed to the disk, then moved into it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


def cache_folder() -> Path:
    """Where what can be computed again is kept: ATELIER_CACHE, else ``~/.cache/atelier``. It need not exist."""
    return Path(os.environ.get("ATELIER_CACHE") or Path.home() / ".cache" / "atelier")


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file that takes the place of ``path`` when the block ends well; else ``path`` stays as it was.

    The temporary file lies in the same folder, so that the move is a rename and not a copy that a kill can cut short.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` survive a power cut, where the system lets a folder be synchronised."""
    with suppress(OSError):  # the file itself is whole and in its place
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

"""Where image files lie: a folder or a zip archive, read file by file, and never outside it."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from datamodules.open_image import BadImageError, PassingError

HIDDEN = (".", "__MACOSX", "Thumbs.db", "desktop.ini")


class Entry(NamedTuple):
    """One file: its name below the source ("/" between parts), its bytes, and what changes when its content does."""

    name: str
    size: int
    stamp: int  # time of change in a folder, checksum in an archive
    placed: int = 0  # when it came to where it is, in a folder: tools that pack give all files one time of change


class Fault(NamedTuple):
    """A file that is not used, and why."""

    name: str
    reason: str


@dataclass
class Source(ABC):
    """The files of a folder or archive, sorted by name. Reading needs no open handle, so any process or thread may.

    Attributes:
        entries: the files, without hidden ones.
        refused: names that lead outside, and other things that are no files.
    """

    path: Path
    entries: list[Entry] = field(default_factory=list, init=False)
    refused: list[Fault] = field(default_factory=list, init=False)

    def read(self, index: int, max_bytes: int) -> bytes:
        """The content of file ``index``.

        Raises:
            BadImageError: more than ``max_bytes`` bytes, or the file cannot be read.
        """
        size = self.entries[index].size
        if size > max_bytes:
            raise BadImageError(f"a file of {size:,} bytes, {max_bytes:,} are the most that max_pixels allows")
        try:
            return self.fetch(index)
        except OSError as error:
            raise PassingError(f"cannot be read: {error.strerror or error}") from error

    @abstractmethod
    def fetch(self, index: int) -> bytes:
        """The content of file ``index``, ``entries[index].size`` bytes."""


class FolderSource(Source):
    """A folder and all below it. A link to a file inside counts as that file; a link that leads outside is refused."""

    def __init__(self, path: Path) -> None:
        super().__init__(path.resolve())
        self.entries.extend(sorted(self._walk(self.path)))
        self.refused.sort()

    def fetch(self, index: int) -> bytes:
        """The file's bytes, if it is as it was when it was listed."""
        entry = self.entries[index]
        with open(self.path / entry.name, "rb", buffering=0) as file:
            about = os.fstat(file.fileno())
            if (about.st_size, about.st_mtime_ns) != (entry.size, entry.stamp):
                raise PassingError("changed since the folder was listed")
            return file.read(entry.size)

    def _walk(self, folder: Path) -> Iterator[Entry]:
        with os.scandir(folder) as found:
            for item in found:
                if item.name.startswith(HIDDEN):
                    continue
                if item.is_dir(follow_symlinks=False):
                    yield from self._walk(Path(item.path))
                elif self._may_be_read(item):
                    about = item.stat()
                    yield Entry(self._name(item), about.st_size, about.st_mtime_ns, about.st_ctime_ns)

    def _may_be_read(self, item: os.DirEntry[str]) -> bool:
        reason = _why_not(item, self.path)
        if reason is not None:
            self.refused.append(Fault(self._name(item), reason))
        return reason is None

    def _name(self, item: os.DirEntry[str]) -> str:
        return Path(item.path).relative_to(self.path).as_posix()


def _why_not(item: os.DirEntry[str], root: Path) -> str | None:
    if item.is_symlink():
        target = Path(os.path.realpath(item.path))
        if not target.exists():
            return "a link to nothing"
        if not target.is_relative_to(root):
            return "a link that leads out of the folder"
        if target.is_dir():
            return "a link to a folder, which is not followed"
    return None if item.is_file() else "neither a file nor a folder"

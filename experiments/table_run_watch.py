"""What ``atelier table NAME --run`` says on its way: lines that stay and, on a terminal, one that is rewritten."""

import shutil
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from experiments.table_jobs import tail

EVERY_SECONDS = 60.0  # between two lines of a cell where the output is no terminal
REWRITE = "\r\x1b[2K"


class Watch:
    """Writes to stderr, since stdout is the table's."""

    def __init__(self) -> None:
        self.interactive = sys.stderr.isatty()
        self._shown = time.monotonic()
        self._before: dict[str, str] = {}

    def say(self, text: str) -> None:
        """A line that stays."""
        print(f"{REWRITE if self.interactive else ''}{text}", file=sys.stderr, flush=True)

    def follow(self, going: Iterable[tuple[str, Path]]) -> None:
        """How far the cells are, by number and output: on a terminal in place, elsewhere a line now and then."""
        now = time.monotonic()
        if now - self._shown < (0.5 if self.interactive else EVERY_SECONDS):
            return
        self._shown = now
        lines = {name: shortened(["starting", *tail(log)][-1]) for name, log in going}
        if self.interactive:
            width = shutil.get_terminal_size().columns - 1
            text = "  ".join(f"{name} {line}" for name, line in lines.items())[:width]
            print(f"{REWRITE}{text}", end="", file=sys.stderr, flush=True)
            return
        for name, line in lines.items():
            if self._before.get(name) != line:
                self.say(f"{name} {line}")
        self._before = lines


def shortened(line: str) -> str:
    """Of a line of progress, how far a run is and how much time is left."""
    parts = line.split("  ")  # as ``ProgressLine`` sets them apart
    return parts[0] if len(parts) == 1 or not parts[-1].endswith(" left") else f"{parts[0]}, {parts[-1]}"


class Signals:
    """Counts requests to stop, Ctrl-C and SIGTERM, instead of dying of them.

    Attributes:
        count: so far.
    """

    def __init__(self) -> None:
        self.count = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Signals":
        self._before = {number: signal.signal(number, self.hear) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def hear(self, number: int, frame: FrameType | None) -> None:
        """One more."""
        self.count += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

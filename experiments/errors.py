"""What the command line says when it cannot go on: one sentence that names the mistake and the fix."""

import difflib
import errno
import io
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from typing import NoReturn

TOO_LARGE_A_STEP = "a step does not fit the memory of the device: lower data.batch_size, or give model.micro_batch"


class AtelierError(Exception):
    """Ends the command with one sentence on stderr and ``exit_code``."""

    exit_code: int


class UserError(AtelierError):
    """The command as given cannot be run: nothing was begun."""

    exit_code = 2


class RunError(AtelierError):
    """The command was sound and its run failed: what was written so far is kept."""

    exit_code = 1


class InterruptedRunError(RunError):
    """Ctrl-C: nothing is wrong."""

    exit_code = 130


def report(error: AtelierError) -> int:
    """Print ``error`` on stderr, after its traceback where ATELIER_DEBUG=1, and return its exit code."""
    if os.environ.get("ATELIER_DEBUG") == "1":
        traceback.print_exception(error)
    print(f"atelier: {one_line(str(error))}", file=sys.stderr)
    return error.exit_code


def leave_by(main: Callable[[Sequence[str]], int]) -> NoReturn:
    """Run ``main`` on the command line's words and leave by its exit code: what stands under ``__main__``."""
    print_any_name()
    try:
        sys.exit(main(sys.argv[1:]))
    except AtelierError as error:
        sys.exit(report(error))


def print_any_name() -> None:
    """Print what the terminal has no letter for as an escape: a file's name may be any bytes, not all take UTF-8."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def one_line(text: str) -> str:
    """``text`` with every run of white space as one blank, ending in a full stop."""
    line = " ".join(text.split())
    return line if line.endswith((".", "!", "?")) else f"{line}."


def nearest(word: str, known: Iterable[str], cutoff: float = 0.5) -> str | None:
    """The one of ``known`` that ``word`` was most likely meant to be; ``cutoff`` in [0, 1] is how like it must be."""
    by_fold = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(word.casefold(), by_fold, n=1, cutoff=cutoff)
    return by_fold[close[0]] if close else None


def did_you_mean(word: str, known: Iterable[str], otherwise: str) -> str:
    """``did you mean X?`` where some of ``known`` is near to ``word``, else ``otherwise``."""
    found = nearest(word, known)
    return otherwise if found is None else f"did you mean {found}?"


def disk_is_full(error: BaseException) -> bool:
    """Whether ``error``, or what it was raised from, is the system's "no space left"."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def memory_is_full(error: BaseException) -> bool:
    """Whether ``error`` is of a device, or of a CPU, whose memory does not suffice.

    PyTorch has a class for the first alone: the second is a RuntimeError of its allocator.
    """
    of_device = type(error).__name__ == "OutOfMemoryError"  # this file imports no torch
    return of_device or isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error)


def of_memory(error: BaseException) -> RunError:
    """What the command line says of a full memory that no command has made a sentence of."""
    failed = RunError("the memory of the device does not suffice: ask for less at a time, or for smaller images")
    failed.__cause__ = error
    return failed


def of_the_system(error: OSError) -> RunError:
    """What the command line says of an ``error`` that no command has made a sentence of."""
    said = "the disk is full: make room, or give another --out" if disk_is_full(error) else sentence_of(error)
    failed = RunError(said)
    failed.__cause__ = error
    return failed


def sentence_of(error: BaseException) -> str:
    """What ``error`` says; what the system says of a file names that file."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__

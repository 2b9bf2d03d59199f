"""Locks on files that end with the process that holds them, however it ends: no lock is ever stale.

They are ``flock``'s, which hold between machines too where the file system carries them, as NFS does. A process that
was handed the open file holds the lock with the one that took it, until both have let go.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ASIDE = 0.05  # seconds between two attempts


def take(file: Path, patience: float = 0.0) -> int | None:
    """Lock ``file``, which is made where it is not there, and return its open descriptor; None where another has it.

    Args:
        file: to lock; it is neither read nor written.
        patience: seconds to go on trying.

    Raises:
        OSError: the file cannot be made, or its file system has no locks.
    """
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    until = time.monotonic() + patience
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= until:
                    os.close(descriptor)
                    return None
                time.sleep(ASIDE)
            else:
                return descriptor
    except OSError:
        os.close(descriptor)
        raise


@contextmanager
def taken(file: Path, patience: float = 0.0) -> Iterator[bool]:
    """Hold the lock of ``file`` inside, and tell whether it could be had; see ``take``."""
    descriptor = take(file, patience)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)


def is_taken(file: Path) -> bool | None:
    """Whether somebody holds the lock of ``file``; None where that cannot be told, as where there is no such file.

    Asking takes a share of the lock for a moment: whoever takes it meanwhile needs some patience.
    """
    try:
        descriptor = os.open(file, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    else:
        return False
    finally:
        os.close(descriptor)

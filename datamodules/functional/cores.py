"""How many processor cores there are to share."""

import os


def cores() -> int:
    """Processor cores that this process may use; not every system tells of fewer than it has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

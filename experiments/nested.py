"""Settings within settings as one list of keys with dots."""

from collections.abc import Iterator, Mapping
from typing import Any


def flat(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Keys as one path each, with their values; lists are values."""
    for name, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value

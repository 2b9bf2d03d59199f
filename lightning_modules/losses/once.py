"""Terms of an objective are told apart by their names."""

from collections.abc import Sequence
from typing import Protocol


class Named(Protocol):
    """A term."""

    @property
    def name(self) -> str:
        """What it is logged as."""
        ...


def require_once(where: str, terms: Sequence[Named]) -> None:
    """Raise ValueError where two ``terms`` bear one name: the second would take the first one's place."""
    names = [term.name for term in terms]
    if len(set(names)) < len(names):
        raise ValueError(f"{where}: each may stand once, got {', '.join(names)}")

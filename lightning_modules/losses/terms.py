"""Named, weighted terms of an objective, told apart by their names."""

from abc import ABC
from collections.abc import Sequence
from typing import ClassVar, Protocol


class Named(Protocol):
    """A term."""

    @property
    def name(self) -> str:
        """What it is logged as."""
        ...


class WeightedTerm(ABC):
    """One term of a sum; what it is given to judge, its kind says.

    Args:
        weight: of the term.

    Attributes:
        name: what it is logged as.

    Raises:
        ValueError: a negative weight.
    """

    name: ClassVar[str]

    def __init__(self, weight: float = 1.0) -> None:
        if weight < 0:
            raise ValueError(f"{type(self).__name__}: weight must not be negative, got {weight}")
        self.weight = weight


def require_once(where: str, terms: Sequence[Named]) -> None:
    """Raise ValueError where two ``terms`` bear one name: the second would take the first one's place."""
    names = [term.name for term in terms]
    if len(set(names)) < len(names):
        raise ValueError(f"{where}: each may stand once, got {', '.join(names)}")

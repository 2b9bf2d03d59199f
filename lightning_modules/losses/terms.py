"""Named, weighted terms of an objective, told apart by their names."""

from abc import ABC
from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol

from torch import Tensor


class ContractError(ValueError):
    """A class that somebody wrote gives something else than its base asks for."""


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


def check_terms(terms: object, by: str, maker: Callable[[str], object]) -> dict[str, Tensor]:
    """``terms``, which ``by`` gave, if they are named scalars, else ContractError; shapes are read, no values.

    ``maker`` tells whose term a name is.
    """
    wanted = "a dict of scalars belongs there, name -> tensor []"
    if not isinstance(terms, dict) or not terms:
        raise ContractError(f"{by} gives {terms if terms == {} else f'a {type(terms).__name__}'}: {wanted}")
    for name, term in terms.items():
        if not isinstance(term, Tensor) or term.ndim:
            kind = f"of shape {list(term.shape)}" if isinstance(term, Tensor) else f"a {type(term).__name__}"
            raise ContractError(
                f"{by}: the term {name} of {type(maker(name)).__name__} is {kind}: {wanted}; take its .mean()"
            )
    return terms


class MakesTerms(Protocol):
    """A family."""

    def maker(self, term: str) -> object:
        """What makes ``term``."""
        ...


class FirstLook:
    """Looks at the terms of an objective where one of their names is new: some are not in every step."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    def check(self, terms: object, family: MakesTerms, method: str) -> None:
        """As ``check_terms``, of what the ``method`` of ``family`` gave, unless all names are known."""
        if not (isinstance(terms, dict) and terms and terms.keys() <= self._names):
            self._names.update(check_terms(terms, f"{type(family).__name__}.{method}", family.maker))

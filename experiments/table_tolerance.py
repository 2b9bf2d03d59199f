"""How far from a published value a number is still right."""

from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """One of three measures.

    Args:
        absolute: in the unit of the value.
        share: of the value.
        spreads: as many times what is printed beside it.
    """

    absolute: float | None = None
    share: float | None = None
    spreads: float | None = None

    def of(self, value: float, spread: float | None) -> float | None:
        """In the unit of ``value``; None where it counts in a spread that is not printed."""
        if self.spreads is not None:
            return None if spread is None else self.spreads * spread
        return self.absolute if self.share is None else self.share * abs(value)

    def __str__(self) -> str:
        if self.share is not None:
            return f"{100 * self.share:g} % of the published value"
        if self.spreads is not None:
            return f"{self.spreads:g} times the published spread"
        return f"{self.absolute:g}"


MEASURES = tuple(part.name for part in fields(Tolerance))


def as_tolerance(given: Any, where: str) -> Tolerance | None:
    """A tolerance from what a YAML holds: a number, which is absolute, or one of the measures with its number.

    Raises:
        ValueError: it is neither, with ``where``.
    """
    if given is None:
        return None
    stated = given if isinstance(given, dict) else {"absolute": given}
    for name, value in stated.items():
        if len(stated) == 1 and name in MEASURES and _is_number(value) and value >= 0:
            return Tolerance(**{name: value})
    raise ValueError(f"{where} expects a number of 0 or more, or one of {', '.join(MEASURES)} with one, got {given!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

"""What data modules say of themselves, compared with the networks before the first step."""

from typing import Any, Protocol, runtime_checkable

from datamodules.functional.quantise import ValueRange


@runtime_checkable
class StatesItsData(Protocol):
    """What a data module says of its samples; compared with the module before the first step."""

    value_range: ValueRange | None
    out_shape: tuple[int, ...]


@runtime_checkable
class StatesItsClasses(Protocol):
    """What a data module with labels says of them."""

    num_classes: int | None


@runtime_checkable
class StatesItsScales(Protocol):
    """What a data module for super-resolution says of its pairs."""

    scales: tuple[int, ...]


@runtime_checkable
class StatesItsFindings(Protocol):
    """What a data module that reads image files says of them, for the run's record."""

    @property
    def findings(self) -> dict[str, Any] | None:
        """Plain values: how many images were used, and which were left out and why."""
        ...

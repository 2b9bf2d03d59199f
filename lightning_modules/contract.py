"""What data modules say of themselves, compared with the networks before the first step."""

from typing import Protocol, runtime_checkable

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

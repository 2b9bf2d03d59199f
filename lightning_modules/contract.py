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
class NumbersItsItems(Protocol):
    """What a data module says whose training batches can tell which of its items they hold."""

    indexed: bool  # whether they do, as a third part [N] beside x and y

    @property
    def images_per_epoch(self) -> int:
        """Items in the training split: their numbers lie below."""
        ...


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


@runtime_checkable
class GivesReference(Protocol):
    """What a data module whose images are held, or can be read, in fixed order says of them."""

    def reference(self, split: str) -> Any:
        """The images of ``split`` ("train" or "test"): ``s[i:j]`` uint8 [n, C, H, W], ``s.labels`` [N], ``len(s)``."""
        ...

"""The card of a shipped extractor: what it is, what it reads, where it comes from. Stored beside its weights."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Card:
    """All that is needed to rebuild an extractor from its weights file and to judge its scores."""

    name: str
    architecture: str  # a key of extractors.ARCHITECTURES
    init_args: dict[str, Any]  # of the architecture
    tap: str  # where the features are read
    dim: int
    num_classes: int
    channels: int
    size: int  # side of the square images it was trained on
    padded: list[int]  # smaller sides that it takes too, zero-padded to `size`
    value_range: list[float]  # of its input: what byte 0 and byte 255 become
    sha256: str  # of the weights file
    test_accuracy: float  # of the fp16 weights as shipped
    data: str  # what it was trained on
    command: str  # what trained it

    @classmethod
    def read(cls, path: Path) -> "Card":
        """Read the JSON at ``path``.

        Raises:
            ValueError: if it is no card.
        """
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{path} is not the card of an extractor ({error}): restore the file, or export the extractor again."
            ) from error

    def dump(self) -> bytes:
        """The card as JSON that a person can read."""
        return (json.dumps(asdict(self), indent=2) + "\n").encode()

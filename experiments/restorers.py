"""Networks for restoration that the package carries: ``lightning_modules/weights/NAME.safetensors`` and its card.

The card, ``NAME.json``, says which class with which arguments takes the weights, what it reads, and where it comes
from. A shipped network never changes, since what it made could not be made again: a better one is ``NAME-v2``.
``experiments/ship_restorer.py`` writes them.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

import lightning_modules.tools
from experiments.export import rebuilt, sha256
from lightning_modules.restoring import Reads

SHIPPED = Path(lightning_modules.tools.__path__[0]).parent / "weights"


@dataclass(frozen=True)
class Card:
    """All that is needed to build a restorer again from its weights file, and to judge it."""

    name: str
    network: dict[str, Any]  # class_path and init_args
    reads: Reads
    scales: list[int] | None  # None where it keeps a picture's size
    parameters: int
    sha256: str  # of the weights file
    precision: Literal["fp32", "fp16"]  # of the weights as shipped; they are computed with in fp32
    weights: str  # which of the run: "ema" or "raw"
    difference: float  # the largest between the outputs, in [0, 1], of the shipped and the trained weights
    experiment: str
    seed: int
    checkpoint: str
    g_step: int
    scores: list[dict[str, Any]]  # of the weights as trained, with their protocols

    def dump(self) -> bytes:
        """The card as JSON that a person can read."""
        return (json.dumps(asdict(self), indent=2, allow_nan=False) + "\n").encode()


def restorer_names() -> list[str]:
    """All that are shipped."""
    return sorted(file.stem for file in SHIPPED.glob("*.safetensors"))


def files_of(name: str, folder: Path | None = None) -> tuple[Path, Path]:
    """Where weights and card of ``name`` lie."""
    folder = folder or SHIPPED
    return folder / f"{name}.safetensors", folder / f"{name}.json"


def load_restorer(name: str) -> tuple[nn.Module, Card]:
    """The shipped network ``name``, on the CPU, and its card.

    Raises:
        ValueError: its files are not what they should be.
    """
    weights, card_file = files_of(name)
    try:
        card = Card(**json.loads(card_file.read_text(encoding="utf-8")))
        content = weights.read_bytes()
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(
            f"{card_file} is not the card of a shipped network ({error}): install the package again"
        ) from error
    return assembled(card, content), card


def assembled(card: Card, content: bytes) -> nn.Module:
    """The network of ``card`` with the weights in ``content``.

    Raises:
        ValueError: they are not those of the card.
    """
    if sha256(content) != card.sha256:
        raise ValueError(f"the weights of {card.name} are not those of its card: install the package again")
    network = rebuilt(card.network)
    try:
        network.load_state_dict({key: _full(value) for key, value in load(content).items()})
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(f"the weights of {card.name} do not fit its network: install the package again") from error
    return network


def _full(value: Tensor) -> Tensor:
    return value.float() if value.is_floating_point() else value

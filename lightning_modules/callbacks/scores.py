"""What callbacks that measure have in common: a history of scores for the record, in the checkpoint too."""

from typing import Any

from lightning.pytorch.callbacks import Callback

from lightning_modules.base import AtelierModule


class Scores(Callback):
    """Keeps what was measured, when, and by which protocol.

    Attributes:
        history: one row a measurement: the counters and the scores.
        protocol: how the scores were measured, plain values.
        floor: scores of real images, the least that can be reached; empty where there is none.
    """

    def __init__(self) -> None:
        self.history: list[dict[str, float]] = []
        self.protocol: dict[str, Any] = {}
        self.floor: dict[str, float] = {}

    def keep(self, module: AtelierModule, scores: dict[str, float]) -> None:
        """Add ``scores`` to the history, the loggers and what other callbacks can monitor."""
        self.history = [row for row in self.history if row["d_step"] != module.global_step]
        self.history.append({**module.counters(), **scores})
        module.log_scores({f"val/{name}": value for name, value in scores.items()})

    def state_dict(self) -> dict[str, Any]:
        """History, protocol and floor: plain values."""
        return {"history": self.history, "protocol": self.protocol, "floor": self.floor}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take them back."""
        self.history, self.protocol, self.floor = (state_dict[k] for k in ("history", "protocol", "floor"))

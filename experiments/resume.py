"""What may change when a run goes on: its length, the hardware, the loggers and how it is looked at. Nothing else."""

from collections.abc import Mapping
from typing import Any

from experiments.errors import UserError
from experiments.house import SCORES
from experiments.nested import flat

MAY_CHANGE = (
    "clock",
    *SCORES,
    "samples",
    "collapse",
    "checkpoint",
    "progress",
    *(f"data.init_args.{name}" for name in ("device", "root", "download", "workers", "memory_limit_gib")),
    *(f"model.init_args.{name}" for name in ("compile", "channels_last")),
    *(
        f"trainer.{name}"
        for name in (
            "accelerator",
            "devices",
            "num_nodes",
            "strategy",
            "precision",
            "logger",
            "log_every_n_steps",
            "profiler",
            "enable_progress_bar",
            "enable_model_summary",
        )
    ),
)


def refuse_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Compare a stored configuration with the one asked for.

    Raises:
        UserError: something else changed, where every such key is listed; or a score that the run has would be gone,
            and all that it had measured with it.
    """
    gone = [name for name in SCORES if old.get(name) is not None and new.get(name) is None]
    if gone:
        raise UserError(
            f"a resumed run keeps its scores, and this would end {', '.join(gone)}: leave that as it is, only a new run"
            " can do without"
        )
    before, after = dict(flat(old)), dict(flat(new))
    changed = [key for key in sorted(before.keys() | after.keys()) if before.get(key) != after.get(key)]
    refused = [key for key in changed if not any(key == free or key.startswith(f"{free}.") for free in MAY_CHANGE)]
    if refused:
        listed = ", ".join(f"{key} ({before.get(key)} to {after.get(key)})" for key in refused)
        raise UserError(
            f"a resumed run keeps its model, its data and its seed, and this would change {listed}: leave it out, or"
            " start a new run"
        )

"""Checkpoints as files: read one, see whether it is this model's, and take its weights."""

from pathlib import Path
from typing import Any

import lightning as L
import torch

from experiments.errors import UserError


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The checkpoint at ``path``, on the CPU.

    Raises:
        UserError: there is none, or the file is no checkpoint of a Lightning module.
    """
    if not path.is_file():
        raise UserError(f"there is no checkpoint at {path}")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what reads a pickle of anything raises anything
        raise UserError(f"{path} is no checkpoint, or a damaged one") from error
    if not isinstance(checkpoint, dict) or not {"state_dict", "global_step"} <= checkpoint.keys():
        raise UserError(f"{path} is no checkpoint of a run: it holds no state_dict with a global_step")
    return checkpoint


def check_weights(model: L.LightningModule, checkpoint: dict[str, Any], path: Path) -> None:
    """Compare names and shapes.

    Raises:
        UserError: ``checkpoint`` is of another model.
    """
    own, theirs = model.state_dict(), checkpoint["state_dict"]
    wrong = sorted(own.keys() ^ theirs.keys())
    if wrong:
        lacking = "lacks" if wrong[0] in own else "has, and the model lacks,"
        difference = f"it {lacking} {wrong[0]}"
    else:
        wrong = [name for name in own if own[name].shape != theirs[name].shape]
        if not wrong:
            return
        difference = f"{wrong[0]} is {list(theirs[wrong[0]].shape)} there and {list(own[wrong[0]].shape)} here"
    raise UserError(
        f"{path} is a checkpoint of another model ({difference}; {len(wrong)} tensors differ): give its own run"
    )


def has_weights(model: L.LightningModule) -> bool:
    """Whether ``model`` has a parameter that training could have given it."""
    return next(model.parameters(), None) is not None


def load_weights(model: L.LightningModule, path: Path) -> int:
    """Put the weights and counters of the checkpoint at ``path`` into ``model`` and return its step.

    Raises:
        UserError: there is none, or it is of another model.
    """
    checkpoint = read_checkpoint(path)
    check_weights(model, checkpoint, path)
    model.on_load_checkpoint(checkpoint)
    model.load_state_dict(checkpoint["state_dict"])
    return int(checkpoint["global_step"])

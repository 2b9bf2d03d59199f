"""Weights of another checkpoint, as far as they fit: for fine-tuning and for runs of another shape."""

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor, nn


def matching_weights(
    path: str, module: nn.Module, other_names: Mapping[str, str]
) -> tuple[dict[str, Tensor], list[str]]:
    """The weights of the checkpoint ``path`` whose names and shapes are those of ``module``, and a line on each other.

    Args:
        path: of the checkpoint.
        module: that is to take them.
        other_names: beginnings of names in checkpoints of another family, and what stands for them in ``module``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no checkpoint, or it has nothing in common with ``module``.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"init_from: there is no checkpoint at {path}")
    try:
        theirs = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    except (RuntimeError, UnpicklingError, EOFError, KeyError, TypeError) as error:
        raise ValueError(f"init_from: {path} is no checkpoint, or a damaged one") from error
    theirs = {renamed(name, other_names): value for name, value in theirs.items()}
    own = module.state_dict()
    match = {k: v for k, v in theirs.items() if k in own and own[k].shape == v.shape}
    if not match:
        raise ValueError(f"init_from: {path} shares no weight with {type(module).__name__}")
    others = []
    for name in sorted((own.keys() | theirs.keys()) - match.keys()):
        where = "other shape" if name in own and name in theirs else "missing there" if name in own else "unused"
        others.append(f"{where}: {name}")
    return match, others


def renamed(name: str, other_names: Mapping[str, str]) -> str:
    """``name`` with its beginning exchanged as ``other_names`` says; of none, ``name`` itself."""
    for theirs, own in other_names.items():
        if name.startswith(theirs):
            return own + name.removeprefix(theirs)
    return name

"""``atelier interpolate``: a checkpoint between two, so that an image can be chosen between smooth and sharp."""

from collections.abc import Sequence
from pathlib import Path

import torch

from datamodules.functional.files import replacing
from experiments.errors import UserError
from experiments.request import new_path, read_request
from experiments.train import say, show
from experiments.weights import read_checkpoint
from lightning_modules.tools.interpolate import interpolated


def interpolate(argv: Sequence[str]) -> int:
    """Write the checkpoint, and say where.

    Raises:
        UserError: the command cannot be run.
    """
    request = read_request(argv, own=("--alpha", "--out"))
    if request.target is None or len(request.overrides) != 1 or request.overrides[0].startswith("-"):
        raise UserError("interpolate needs two runs: `atelier interpolate RUN_DIR OTHER_RUN_DIR --alpha 0.8`")
    if "--alpha" not in request.own:
        raise UserError("interpolate needs --alpha: 0 is the first network, 1 the second, 0.8 nearer the second")
    try:
        alpha = float(request.own["--alpha"])
    except ValueError as error:
        raise UserError(f"--alpha expects a number from 0 to 1, got {request.own['--alpha']!r}") from error
    first, second = (checkpoint_at(place) for place in (request.target, request.overrides[0]))
    out = Path(request.own.get("--out", second.with_name(f"interpolated-{alpha:g}.ckpt")))
    new_path(out)
    try:
        checkpoint = interpolated(read_checkpoint(first), read_checkpoint(second), alpha)
    except ValueError as error:
        raise UserError(str(error)) from error
    with replacing(out) as file:
        torch.save(checkpoint, file)
    say(show(out.resolve()))
    return 0


def checkpoint_at(place: str) -> Path:
    """The checkpoint ``place``, or the last one of the run directory ``place``."""
    path = Path(place)
    return path / "checkpoints" / "last.ckpt" if path.is_dir() else path

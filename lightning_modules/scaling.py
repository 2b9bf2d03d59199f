"""Fp16's scaled gradients beside optimizers that undo the scale within their own step (``fused: true``)."""

import lightning as L
import torch
from lightning.fabric.plugins.precision.amp import _optimizer_handles_unscaling
from lightning.pytorch.plugins.precision import MixedPrecision
from torch import Tensor
from torch.optim import Optimizer


def scaler_left_to(optimizer: Optimizer, trainer: L.Trainer) -> torch.amp.GradScaler | None:
    """The scaler whose scale is in the gradients until ``optimizer`` steps; None where it is taken out before."""
    plugin = trainer.precision_plugin
    return plugin.scaler if isinstance(plugin, MixedPrecision) and _optimizer_handles_unscaling(optimizer) else None


def unscaled(norm: Tensor, optimizer: Optimizer, trainer: L.Trainer) -> Tensor:
    """The ``norm`` [] of the gradients that ``optimizer`` is about to step by, without the scale; waits for nothing."""
    scaler = scaler_left_to(optimizer, trainer)
    return norm if scaler is None else norm / scaler.scale(torch.ones_like(norm))


def refuse_to_clip(clip: str, optimizer: Optimizer, setting: str, trainer: L.Trainer) -> None:
    """Raise ValueError where ``clip`` would see scaled gradients; ``setting`` is that of the optimizer."""
    if scaler_left_to(optimizer, trainer) is not None:
        raise ValueError(
            f"{clip} would clip gradients that are still scaled in {trainer.precision}, as {setting} is fused: set "
            f"fused to false, or leave {clip} out"
        )

"""What precisions ask of training: weights in full, and fp16's scaled gradients unscaled where they are looked at.

Optimizers with ``fused: true`` undo the scale within their own step.
"""

import lightning as L
import torch
from lightning.fabric.plugins.precision.amp import _optimizer_handles_unscaling
from lightning.pytorch.plugins.precision import HalfPrecision, MixedPrecision
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


def refuse_half_weights(trainer: L.Trainer) -> None:
    """Raise ValueError where the weights themselves would be half precise: what is computed beside them is not."""
    if isinstance(trainer.precision_plugin, HalfPrecision):
        raise ValueError(
            f"trainer.precision {trainer.precision} would train weights of half precision, which learn little by small"
            f" steps: set {str(trainer.precision).removesuffix('-true')}-mixed, which keeps them in full"
        )

"""The law of resuming: a run that was cut off ends as one that was not."""

from collections.abc import Callable, Sequence
from pathlib import Path

import lightning as L
import torch
from toys import same, trainer

from lightning_modules.base import AtelierModule
from lightning_modules.callbacks.checkpoints import Checkpoints
from lightning_modules.callbacks.clock import Clock

PARTS = ("state_dict", "optimizer_states", "histories", "counters")  # of a checkpoint, which has them or not


class CutOff(L.Callback):
    """Ends a run before a step.

    Args:
        at: the step; None lets it end by itself.
    """

    def __init__(self, at: int | None) -> None:
        self.at = at

    def on_train_batch_start(self, trainer: L.Trainer, *args: object) -> None:
        if trainer.global_step == self.at:
            raise RuntimeError("cut off")


def ends_alike(
    folder: Path,
    make: Callable[[], AtelierModule],
    data: Callable[[], L.LightningDataModule],
    cuts: Sequence[int],
    steps: int,
    looks: int = 0,
) -> AtelierModule:
    """See that a run of ``steps`` steps of G which is cut off at each of ``cuts`` ends with the state of a whole one.

    Args:
        folder: where both keep their checkpoints.
        make: the module, the same at each call.
        data: its data.
        cuts: steps before which it ends, rising.
        steps: of both.
        looks: validations of the whole one, which are to change no weight.

    Returns:
        The module as the cut run left it.
    """
    runs: dict[str, list[int | None]] = {"whole": [None], "cut": [*cuts, None]}
    ends = []
    for name, ats in runs.items():
        last = folder / name / "checkpoints" / "last.ckpt"
        for at in ats:
            module = make()
            clock = Clock(g_steps=steps, validations=looks if name == "whole" else 0)
            run = trainer(folder / name, clock, Checkpoints(every_steps=1), CutOff(at))
            try:
                run.fit(module, datamodule=data(), ckpt_path=last if last.exists() else None)
            except RuntimeError:
                assert run.global_step == at
        saved = torch.load(last, weights_only=True)
        ends.append({part: saved[part] for part in PARTS if part in saved})
    assert same(*ends)
    return module

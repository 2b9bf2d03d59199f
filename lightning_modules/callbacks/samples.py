"""The module's pictures over time, from the same noise each time."""

from pathlib import Path

import lightning as L
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_only

from lightning_modules.base import AtelierModule
from lightning_modules.callbacks.pictures import grid, show


class ImageGrid(Callback):
    """Writes ``samples/<name>-<images seen>.png`` before training and at each validation, and shows it to W&B.

    Args:
        columns: of the grid; as square as it goes unless given. A sheet brings its own.
    """

    def __init__(self, columns: int | None = None) -> None:
        self.columns = columns
        self.last: Path | None = None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The untrained network's pictures."""
        if trainer.global_step == 0:
            self.write(trainer, pl_module)

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The pictures of this moment."""
        if not trainer.sanity_checking:
            self.write(trainer, pl_module)

    @rank_zero_only
    def write(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write every panel of the module."""
        assert isinstance(pl_module, AtelierModule)
        for name, images in pl_module.panels().items():
            sheet = grid(images.flatten(0, 1), images.shape[1]) if images.ndim == 5 else grid(images, self.columns)
            self.last = show(trainer, pl_module, name, sheet)

"""Pictures as 8-bit files: one helper, since loggers quietly save float tensors as black."""

from math import ceil
from pathlib import Path

import lightning as L
import torch
from PIL import Image
from torch import Tensor

from datamodules.functional.files import replacing
from lightning_modules.base import AtelierModule
from lightning_modules.callbacks.loggers import RunLogger


def grid(images: Tensor, columns: int | None = None, gap: int = 2) -> Tensor:
    """Tile uint8 ``images`` [n, C, H, W] row by row into one [C, rows*(H+gap)+gap, columns*(W+gap)+gap].

    As square as it goes unless ``columns`` is given; the gaps are mid-gray.
    """
    if images.dtype != torch.uint8:
        raise ValueError(f"a picture is made of uint8 values, got {images.dtype}: quantise it with to_uint8")
    n, C, H, W = images.shape
    columns = columns or ceil(n**0.5)
    rows = ceil(n / columns)
    sheet = torch.full((C, rows * (H + gap) + gap, columns * (W + gap) + gap), 128, dtype=torch.uint8)
    for i, image in enumerate(images.cpu()):
        top, left = gap + i // columns * (H + gap), gap + i % columns * (W + gap)
        sheet[:, top : top + H, left : left + W] = image
    return sheet


def to_pil(image: Tensor) -> Image.Image:
    """uint8 ``image`` [C, H, W] with one or three channels as a PIL image."""
    array = image.cpu().permute(1, 2, 0).numpy()
    return Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)


def save_png(image: Tensor, path: Path) -> None:
    """Write uint8 ``image`` [C, H, W] to ``path``, whole or not at all."""
    with replacing(path) as file:
        to_pil(image).save(file, format="PNG")


def show(trainer: L.Trainer, module: AtelierModule, name: str, sheet: Tensor) -> Path:
    """Write uint8 ``sheet`` [C, H, W] as ``samples/<name>-<images seen>.png`` of the run; loggers get it, too."""
    path = Path(trainer.default_root_dir) / "samples" / f"{name}-{module.images_seen:09d}.png"
    save_png(sheet, path)
    for logger in trainer.loggers:
        if isinstance(logger, RunLogger):
            logger.show(name, to_pil(sheet), module.images_seen / 1000, trainer.global_step)
    return path

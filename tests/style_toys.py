"""Features, contents and styles of a few pixels: what the laws of style transfer share."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor
from toys import Listed, trainer

from datamodules.single_image import Again
from datamodules.style import Styled
from lightning_modules.callbacks.clock import Clock
from lightning_modules.networks.base import FeatureMaps

S = 16


class Seen(FeatureMaps):
    """The image itself, as the only layer."""

    title, widths, minimum = "itself", {"x": 3}, 1

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        self.looks += 1
        return {"x": x}


def images(n: int, seed: int = 0, side: int = S) -> Tensor:
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(seed))


class One(L.LightningDataModule):
    """One content, K styles, and a guide."""

    value_range, images_per_epoch, batch_size, out_shape = (0.0, 1.0), 1, 1, (3, S, S)

    def __init__(self, styles: int = 1, guide: Tensor | None = None) -> None:
        super().__init__()
        self.batch = Styled(images(1), images(styles, 1)[None], torch.ones(1, 1, S, S) if guide is None else guide)

    def held_out(self) -> Iterator[Styled]:
        yield self.batch

    def train_dataloader(self) -> Again:
        return Again(self.batch)

    def val_dataloader(self) -> Listed:
        return Listed([self.batch])


class Many(One):
    """Contents and styles in batches."""

    batch_size, images_per_epoch = 2, 8

    def __init__(self, styles: int = 1) -> None:
        super().__init__()
        self.whole_styles = images(styles, 1)
        self.train = [(images(2, i), images(2, 20 + i)) for i in range(4)]

    def train_dataloader(self) -> Listed:  # type: ignore[override]
        return Listed(self.train)


class Endless(Many):
    """The first of them without end."""

    def train_dataloader(self) -> Again:  # type: ignore[override]
        return Again(self.train[0])


def fit(folder: Path, module: L.LightningModule, data: L.LightningDataModule, steps: int, *callbacks: Any) -> Any:
    trainer(folder, Clock(g_steps=steps), *callbacks).fit(module, datamodule=data)
    return module

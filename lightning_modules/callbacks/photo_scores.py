"""How a model of one photograph does: other layouts of the same patches, beside windows of the photograph itself."""

from hashlib import sha256
from typing import Any, Protocol, runtime_checkable

import lightning as L
import torch
from torch import Tensor

from datamodules.functional.keys import key
from lightning_modules.base import AtelierModule
from lightning_modules.callbacks.scores import MeasuredScores
from lightning_modules.generative import GenerativeModule
from lightning_modules.metrics.patches import layout_distance, patch_distance

STREAM = int.from_bytes(b"photo")
WINDOW = 0.75  # of the photograph's sides


@runtime_checkable
class HasPhoto(Protocol):
    """What the callback asks of the data module."""

    @property
    def photo(self) -> Tensor:
        """The photograph, uint8 [1, 3, H, W]."""
        ...


class PhotoScores(MeasuredScores):
    """Scores ``layout`` and ``patches`` of samples, and ``layout@windows`` and ``patches@windows`` of the photograph's.

    All of windows of 3/4 of the sides: of samples and photograph the middle ones, at ``@windows`` the photograph's own
    from random places, as what merely looks at other parts of it. ``patches`` are looked for in all of the photograph.

    Args:
        samples: how many.

    Raises:
        ValueError: no samples; in ``setup``, data that is no photograph, or a family that samples none.
    """

    def __init__(self, samples: int = 16) -> None:
        super().__init__()
        if samples < 1:
            raise ValueError(f"photo.samples is {samples}: give 1 or more")
        self.samples = samples
        self.photo_sha256: str | None = None
        self.own: dict[str, float] = {}  # of the photograph's windows, measured once

    @property
    def described(self) -> dict[str, Any]:
        """Of which photograph, how many samples, and windows of what share."""
        return {
            "photo_sha256": self.photo_sha256,
            "samples": self.samples,
            "window": WINDOW,
            "checkpoint": self.checkpoint,
        }

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """See that there is something to compare, before training starts."""
        data = trainer.datamodule  # type: ignore[attr-defined]
        if not isinstance(data, HasPhoto) or not isinstance(pl_module, GenerativeModule):
            raise ValueError(
                f"photo: a {type(pl_module).__name__} on {type(data).__name__} samples no photograph; set it to null"
            )
        photo = data.photo
        self.photo_sha256 = sha256(f"{tuple(photo.shape)}".encode() + photo.contiguous().numpy().tobytes()).hexdigest()

    def measure(self, module: AtelierModule) -> dict[str, float]:
        """As the base."""
        assert isinstance(module, GenerativeModule)
        photo: Tensor = module.trainer.datamodule.photo.to(module.device)  # type: ignore[attr-defined]
        with torch.random.fork_rng(devices=[module.device] if module.device.type == "cuda" else []):
            torch.manual_seed(key(module.seed, STREAM))
            made = middle(module.sample(self.samples))
            if not self.own:
                self.own = distances(windows(photo, self.samples), photo, "@windows")
        return distances(made, photo) | self.own


def distances(images: Tensor, photo: Tensor, suffix: str = "") -> dict[str, float]:
    """Both scores of ``images``, windows of what is compared with ``photo``."""
    return {
        f"layout{suffix}": float(layout_distance(images, middle(photo)).mean()),
        f"patches{suffix}": float(patch_distance(images, photo).mean()),
    }


def middle(x: Tensor) -> Tensor:
    """The middle 3/4 of the sides of ``x`` [N, C, H, W]."""
    h, w = (round(WINDOW * side) for side in x.shape[2:])
    top, left = (x.shape[2] - h) // 2, (x.shape[3] - w) // 2
    return x[:, :, top : top + h, left : left + w]


def windows(photo: Tensor, n: int) -> Tensor:
    """``n`` windows of ``photo`` [1, C, H, W] of that size, from anywhere."""
    h, w = middle(photo).shape[2:]
    tops = torch.randint(photo.shape[2] - h + 1, (n,)).tolist()
    lefts = torch.randint(photo.shape[3] - w + 1, (n,)).tolist()
    return torch.cat([photo[:, :, top : top + h, left : left + w] for top, left in zip(tops, lefts, strict=True)])

"""Tiny restoring networks, run directories of them, and pictures, for what tests ``atelier restore``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from experiments.catalogue import DEFAULTS
from experiments.cli import main
from experiments.layers import read_layer
from experiments.lightning_cli import AtelierCLI
from lightning_modules.networks.base import Network, Upscaler

FAMILY = "lightning_modules.super_resolution.SuperResolution"
KEEPING = "lightning_modules.reconstruction.ReconstructionModule"
SR_DATA = "datamodules.super_resolution.SuperResolutionImages"


class Brighter(Network):
    """y + gain."""

    def __init__(self, gain: float = 10 / 255, channels: int = 3) -> None:
        super().__init__()
        self.channels, self.gain = channels, nn.Parameter(torch.tensor(gain))

    def forward(self, y: Tensor) -> Tensor:
        assert y.shape[1] == self.channels, f"{self.channels} channels are read"
        return y + self.gain


class Twice(Upscaler):
    """Each pixel four times, times gain."""

    def __init__(self, gain: float = 1.0, scales: tuple[int, ...] = (2,)) -> None:
        super().__init__()
        self.scales, self.gain = scales, nn.Parameter(torch.tensor(gain))

    def forward(self, y: Tensor, scale: int) -> Tensor:
        return y.repeat_interleave(scale, 2).repeat_interleave(scale, 3) * self.gain


class Everywhere(Network):
    """Sees the whole image."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(1.0))

    def forward(self, y: Tensor) -> Tensor:
        return y * self.gain + 1e-3 * y.mean((2, 3), keepdim=True)


class Two(Network):
    """Takes two pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(1.0))

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return left + right * self.gain


def spelled(kind: str, **arguments: Any) -> dict[str, Any]:
    """How YAML names a class that stands in this file, or is named wholly."""
    return {"class_path": kind if "." in kind else f"{__name__}.{kind}", "init_args": arguments}


def run(
    kind: str,
    family: str = KEEPING,
    name: str = "run",
    key: str = "network",
    data: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Path:
    """The directory of a run of an untrained network, which its family calls ``key``, on ``data``."""
    inner = {key: spelled(kind, **settings.pop("network", {})), **settings}
    model = {"class_path": family, "init_args": inner}
    fed = data or {"class_path": SR_DATA}
    layer = {"experiment": "toy", "model": model, "data": fed, "clock": None, "evaluation": None}
    cli = AtelierCLI([("defaults.yaml", read_layer(DEFAULTS)), ("toy.yaml", layer)], [])
    cli.build()
    folder = Path(name)
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.yaml").write_text(cli.text)
    counters = {"images_seen": 0, "g_step": 7, "images_averaged": 0}
    checkpoint = {"state_dict": cli.model.state_dict(), "global_step": 7, "counters": counters, "callbacks": {}}
    torch.save(checkpoint, folder / "checkpoints" / "last.ckpt")
    return folder


def change(folder: Path, key: str, value: float) -> None:
    """Put ``value`` in place of one weight of the run's checkpoint."""
    file = folder / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(file, weights_only=True)
    checkpoint["state_dict"][key].fill_(value)
    torch.save(checkpoint, file)


def noise(*shape: int, seed: int = 0, low: int = 0, high: int = 256) -> np.ndarray:
    dtype = np.uint16 if high > 256 else np.uint8
    return np.random.default_rng(seed).integers(low, high, shape, dtype=dtype)


def put(pixels: np.ndarray, path: str = "a.png", **options: Any) -> np.ndarray:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return pixels


def restored(*words: str, name: str = "a.png") -> np.ndarray:
    assert main(["restore", *words]) == 0
    return opened(f"restored/{name}")


def opened(path: str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def tensor(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(pixels.reshape(*pixels.shape[:2], -1).copy()).permute(2, 0, 1)[None]

"""What a run ran on and with: hardware, versions, the state of the code; no path, host or user among it."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import lightning as L
import torch

PACKAGES = ("torch", "torchvision", "lightning", "torchmetrics", "lightning-atelier")


def hardware(trainer: L.Trainer) -> dict[str, Any]:
    """What it ran on, in general terms."""
    return {
        "accelerator": trainer.accelerator.name(),
        "devices": trainer.world_size,
        **device_facts(trainer.strategy.root_device),
        "precision": str(trainer.precision),
    }


def device_facts(device: torch.device) -> dict[str, Any]:
    """The GPU, where ``device`` is one, and the CPU beside it."""
    return {
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "cpu": platform.machine(),
        "threads": torch.get_num_threads(),
    }


def versions() -> dict[str, str | None]:
    """Of the packages that scores hang on, and of Python."""
    return {package: installed(package) for package in PACKAGES} | {"python": platform.python_version()}


def installed(package: str) -> str | None:
    """The package's version, None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def source_state() -> dict[str, Any]:
    """The commit of the code and whether tracked files differ from it; None where no repository tracks the code.

    A package may be installed below somebody else's repository, whose commit says nothing of it.
    """
    folder = Path(__file__).parent

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=True).stdout

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)
        return {"commit": git("rev-parse", "HEAD").strip(), "dirty": bool(git("status", "--porcelain", "-uno").strip())}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}

"""``atelier doctor``: what this machine has, before a run finds out what it lacks."""

import os
import platform
import shutil
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from datamodules.base import ImageStream, data_root
from datamodules.cifar import CIFAR10
from datamodules.cifar_jpeg import CIFAR10JPEG75
from datamodules.mnist import MNIST
from experiments.errors import UserError
from experiments.half_precision import emulates_bf16
from lightning_modules.callbacks.wandb_identity import wandb_key_configured
from lightning_modules.metrics.inception import FILE, URL

PACKAGES = ("torch", "torchvision", "lightning", "torchmetrics", "jsonargparse", "scikit-learn", "wandb", "tensorboard")
DATA: dict[str, type[ImageStream]] = {"mnist": MNIST, "cifar10": CIFAR10, "cifar10_jpeg75": CIFAR10JPEG75}


def doctor(argv: Sequence[str]) -> int:
    """Print one line a finding."""
    if argv:
        raise UserError(f"doctor takes no options, got {argv[0]}")
    for name, finding in findings():
        print(f"{name:14}{finding}")
    return 0


def findings() -> Iterator[tuple[str, str]]:
    """Names and what was found."""
    yield "python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    for package in PACKAGES:
        yield package, installed(package)
    yield "threads", f"{torch.get_num_threads()} of {os.cpu_count()} processors"
    yield from devices()
    root = data_root(None)
    yield "ATELIER_DATA", f"{root}{'' if root.is_dir() else ' (absent)'}"
    for name, module in DATA.items():
        yield name, data(module)
    yield "digits", "there, with scikit-learn"
    yield "inception", weights()
    yield "W&B", "online, a key is configured" if wandb_key_configured() else "offline, no key is configured"
    yield "disk", f"{shutil.disk_usage(Path.cwd()).free / 1e9:.1f} GB free here"


def installed(package: str) -> str:
    """The package's version."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def data(module: type[ImageStream]) -> str:
    """Whether a data set is there, whole."""
    try:
        module().prepare_data()
    except FileNotFoundError as error:
        return f"absent: {error}"
    except (OSError, ValueError) as error:
        return f"damaged: {error}"
    return "there"


def weights() -> str:
    """Where the Inception weights are."""
    place = os.environ.get("ATELIER_WEIGHTS")
    folders = [Path(torch.hub.get_dir()) / "checkpoints" / FILE, *([Path(place), Path(place) / FILE] if place else [])]
    found = [str(path) for path in folders if path.is_file()]
    return found[-1] if found else f"absent: put {URL} into the folder that ATELIER_WEIGHTS names"


def devices() -> Iterator[tuple[str, str]]:
    """The GPUs, and what bfloat16 is worth."""
    if not torch.cuda.is_available():
        yield "cuda", "no device: training runs on the CPU"
        yield "bf16", "emulated, slower than float32" if emulates_bf16() else "supported"
        return
    for i in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(i)
        yield f"cuda:{i}", f"{device.name}, {device.total_memory / 2**30:.0f} GiB"
    yield "bf16", "supported" if torch.cuda.is_bf16_supported(including_emulation=False) else "not supported"

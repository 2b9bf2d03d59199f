"""Images as one array in a .npy, .npz or .pt file. Numbers alone are read: nothing that a pickle says is run."""

import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from datamodules.functional.quantise import check_unit, to_uint8

NUMPY, TORCH = (".npy", ".npz"), (".pt", ".pth")
MOST_CHANNELS = 4  # a side as short as that is the channels


class NotOneArrayError(ValueError):
    """A whole file of something else. The message says of what."""


def is_array(path: str) -> bool:
    """Whether there is a file at ``path`` that is called like an array."""
    return Path(path).suffix.lower() in (*NUMPY, *TORCH) and Path(path).is_file()


def read_images(path: Path) -> Tensor:
    """The images in the file at ``path``: uint8 [N, C, H, W].

    They are [N, H, W], [N, H, W, C] or [N, C, H, W], as uint8 or as floats in [0, 1], which are rounded.

    Raises:
        ValueError: they are not, or the file cannot be read.
    """
    array, name = _read(path), f"array of {path.name}"
    found = list(array.shape)
    if array.ndim == 3 and array.shape[2] > MOST_CHANNELS:
        array = array[:, None]
    elif array.ndim == 4 and array.shape[1] not in (1, 3) and array.shape[3] in (1, 3):
        array = array.permute(0, 3, 1, 2)
    if array.ndim != 4 or array.shape[1] not in (1, 3) or not array.numel():
        raise ValueError(
            f"The {name} is of shape {found}: give [N, H, W], [N, H, W, C] or [N, C, H, W] with 1 or 3"
            " channels, without alpha."
        )
    if array.dtype != torch.uint8:
        check_unit(array, name)
        array = to_uint8(array, (0.0, 1.0))
    return array.contiguous()


def _read(path: Path) -> Tensor:
    try:
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")  # of damage, which is said in one sentence
            return (_torch if path.suffix.lower() in TORCH else _numpy)(file)
    except NotOneArrayError as error:
        raise ValueError(f"{path} holds {error}: save one array of images.") from error
    except Exception as error:  # a reader that meets damage, or a pickle of anything, raises anything
        raise ValueError(
            f"{path} cannot be read as an array of numbers ({type(error).__name__}): save it again, with numpy.save or"
            " as one tensor with torch.save."
        ) from error


def _torch(file: BinaryIO) -> Tensor:
    content = torch.load(file, map_location="cpu", weights_only=True)
    if not isinstance(content, Tensor):
        raise NotOneArrayError(f"a {type(content).__name__}")
    return content.detach()


def _numpy(file: BinaryIO) -> Tensor:
    content = np.load(file, allow_pickle=False)
    if not isinstance(content, np.ndarray):
        if len(content.files) != 1:
            raise NotOneArrayError(f"{len(content.files)} arrays")
        content = content[content.files[0]]
    return torch.from_numpy(content)

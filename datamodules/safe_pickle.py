"""Reads pickled numpy batches without running what they ask for.

A pickle names the functions that rebuild its objects. The published batches name numpy's array and dtype
constructors alone; stand-ins take their place and only remember what they are given. Any other name is refused.
"""

import io
import math
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


class _Dtype:
    """What the pickle says of a dtype: ``dtype("u1", ...)``, then a state that unsigned bytes have no use for."""

    def __init__(self, code: bytes | str, *rest: object) -> None:
        self.code = code if isinstance(code, str) else code.decode("latin1")

    def __setstate__(self, state: object) -> None:
        pass


class _Array:
    """What the pickle says of an array: built empty, then told (version, shape, dtype, column-major, bytes)."""

    def __setstate__(self, state: tuple[int, tuple[int, ...], _Dtype, bool, bytes]) -> None:
        _, self.shape, self.dtype, self.column_major, self.content = state

    def tensor(self) -> Tensor:
        """uint8 of the stated shape."""
        if self.dtype.code != "u1" or len(self.content) != math.prod(self.shape):
            raise ValueError("its array is not a whole one of unsigned bytes")
        flat = torch.frombuffer(bytearray(self.content), dtype=torch.uint8)
        if self.column_major:
            return flat.view(self.shape[::-1]).permute(*range(len(self.shape))[::-1])
        return flat.view(self.shape)


def _reconstruct(*args: object) -> _Array:
    return _Array()


_STAND_INS = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _STAND_INS:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return _STAND_INS[module, name]


def read_batch(content: bytes, label_key: str, path: Path) -> tuple[Tensor, Tensor]:
    """The array ``data`` and the list ``label_key`` of a batch pickled by Python 2: uint8 [N, ...] and int64 [N].

    Args:
        content: the bytes of the pickle.
        label_key: where the labels are.
        path: where the bytes come from, for the error alone.

    Raises:
        ValueError: not such a pickle, or one that names anything but a numpy array of bytes.
    """
    try:
        # Python 2's strings come as bytes, the array's content among them, which need no decoding then
        batch = _Unpickler(io.BytesIO(content), encoding="bytes").load()
        return batch[b"data"].tensor(), torch.tensor(batch[label_key.encode()], dtype=torch.int64)
    # a damaged pickle raises nearly anything; what it names has not been run
    except Exception as error:
        raise ValueError(f"{path} is not a pickled batch of images ({error}): delete it and fetch it again.") from error

"""Names of tensors by what they hold, for protocols."""

import hashlib
from collections.abc import Iterable

from torch import Tensor


def sha256_of(tensors: Iterable[Tensor]) -> str:
    """Hash of the types, shapes and values of ``tensors``, in order."""
    digest = hashlib.sha256()
    for one in tensors:
        digest.update(f"{one.dtype} {tuple(one.shape)}".encode())
        digest.update(one.detach().cpu().contiguous().flatten().numpy().data)
    return digest.hexdigest()

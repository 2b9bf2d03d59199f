"""Network interpolation (Wang et al. 2018, ESRGAN, section 3.4): G's weights between those of two trainings.

    weights = (1 - alpha) * a + alpha * b

with a trained for PSNR and b, begun from it, against a discriminator: images between smooth and sharp without another
training. The running averages of batch norm are interpolated as the weights are.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

RAW, AVERAGED = ("network.", "G."), "ema.net."  # how the weights of an image's network begin in checkpoints


def interpolated(a: Mapping[str, Any], b: Mapping[str, Any], alpha: float) -> dict[str, Any]:
    """The checkpoint ``b`` whose evaluated network lies between those of the checkpoints ``a`` and ``b``.

    Args:
        a: of a family with a network or a G, at alpha 0.
        b: likewise, of the same network, at alpha 1; all else is b's.
        alpha: between 0 and 1.

    Raises:
        ValueError: an alpha beyond, or weights of another network or of none.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha is {alpha}: give a number from 0, the first network, to 1, the second")
    mixed = blend(evaluated(a["state_dict"], "the first"), evaluated(b["state_dict"], "the second"), alpha)
    state = dict(b["state_dict"])
    for start in beginnings(state):
        state |= {start + name: value.clone() for name, value in mixed.items()}
    return {**b, "state_dict": state}


def blend(a: Mapping[str, Tensor], b: Mapping[str, Tensor], alpha: float) -> dict[str, Tensor]:
    """(1 - alpha) * a + alpha * b of equally named tensors; whole numbers, which count something, are b's.

    Raises:
        ValueError: names or shapes differ.
    """
    other = [name for name in a.keys() | b.keys() if name not in a or name not in b or a[name].shape != b[name].shape]
    if other:
        raise ValueError(
            f"the two are of different networks, as {min(other)} tells: interpolate a run and one begun from it"
        )
    return {
        name: torch.lerp(a[name], value, alpha) if value.is_floating_point() else value for name, value in b.items()
    }


def beginnings(state: Mapping[str, Tensor]) -> list[str]:
    """How the names of an image's network begin in ``state``: of the raw weights, and of averaged ones if there are."""
    return [start for start in (*RAW, AVERAGED) if any(name.startswith(start) for name in state)]


def evaluated(state: Mapping[str, Tensor], which: str) -> dict[str, Tensor]:
    """The weights that are evaluated, averaged ones where there are, by their names in the network."""
    found = beginnings(state)
    if not found:
        raise ValueError(f"{which} holds no network that makes images of images: give a run of such a family")
    return {name.removeprefix(found[-1]): value for name, value in state.items() if name.startswith(found[-1])}

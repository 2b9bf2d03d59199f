"""Images continued beyond their edge, to sides that a network takes."""

import torch
from torch import Tensor


def mirrored(image: Tensor, multiple: int) -> Tensor:
    """``image`` [N, C, H, W] with sides of the next ``multiple``: mirrored at its last rows and columns, which are not
    repeated, and back again where it is smaller than what is needed."""
    for axis in (2, 3):
        side = image.shape[axis]
        if side % multiple == 0:
            continue
        period = max(2 * (side - 1), 1)
        place = torch.arange(side + -side % multiple, device=image.device) % period
        image = image.index_select(axis, torch.minimum(place, period - place))
    return image

"""How samples of one photograph compare with it: another layout, but the same patches.

- layout: the mean absolute difference of pixels at the same place;
- patches: the root mean squared difference of each patch to the one of the photograph that is nearest to it.

Both in grey levels. A copy has 0 of both, windows of the photograph itself 0 of the second, noise much of both.
"""

import torch
from torch import Tensor
from torch.nn.functional import unfold

SIDE, STRIDE = 7, 4  # of a patch, and from one patch of a sample to the next, in px
CHUNK = 1024  # patches that are compared with all of the photograph at once


def layout_distance(samples: Tensor, photo: Tensor) -> Tensor:
    """Mean |sample - photo| of uint8 ``samples`` [n, C, H, W] and ``photo`` [1, C, H, W]: [n], in grey levels."""
    return (samples.float() - photo.float()).abs().mean((1, 2, 3))


def patch_distance(samples: Tensor, photo: Tensor) -> Tensor:
    """Mean over the patches of each of ``samples`` [n, C, H, W] of their distance to the nearest of ``photo``: [n].

    Raises:
        ValueError: an image is smaller than a patch.
    """
    if min(*samples.shape[2:], *photo.shape[2:]) < SIDE:
        raise ValueError(f"an image is smaller than a patch of {SIDE} px")
    known = unfold(photo.float(), SIDE)[0].T
    norms = known.square().sum(1)
    found = []
    for sample in samples:
        patches = unfold(sample[None].float(), SIDE, stride=STRIDE)[0].T
        nearest = [known[(norms - 2 * part @ known.T).argmin(1)] for part in patches.split(CHUNK)]
        found.append((torch.cat(nearest) - patches).square().mean(1).sqrt().mean())
    return torch.stack(found)

"""A picture of a foreground, an alpha and a background, and the trimap that says where alpha is to be found.

    image = alpha foreground + (1 - alpha) background         (Porter and Duff 1984; Xu et al. 2017, eq. 1)

A trimap is 255 where alpha is surely 1, 0 where it is surely 0, and 128 between: what is opaque is eroded, what is not
clear is dilated, each by a square of 2 r + 1 pixels.
"""

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

BACKGROUND, UNKNOWN, FOREGROUND = 0, 128, 255


def composed(foreground: Tensor, alpha: Tensor, background: Tensor) -> Tensor:
    """Floats ``foreground`` and ``background`` [N, C, H, W] by ``alpha`` [N, 1, H, W] in [0, 1]."""
    return torch.lerp(background, foreground, alpha)


def trimap(alpha: Tensor, erosion: Tensor, dilation: Tensor) -> Tensor:
    """The trimap of uint8 ``alpha`` [N, 1, H, W]: uint8 [N, 1, H, W].

    Args:
        erosion: px [N], 0 or more, by which the opaque part is eroded.
        dilation: px [N], by which the part that is not clear is dilated.
    """
    clear = 1 - grown((alpha > 0).float(), dilation)
    opaque = 1 - grown((alpha < 255).float(), erosion)
    found = torch.full_like(alpha, UNKNOWN)
    return found.masked_fill(clear > 0, BACKGROUND).masked_fill(opaque > 0, FOREGROUND)


def grown(mask: Tensor, radius: Tensor) -> Tensor:
    """``mask`` [N, 1, H, W] of 0 and 1, dilated by squares of 2 radius + 1 pixels, each by its own radius [N]."""
    result = mask.clone()
    for r in radius.unique().tolist():
        chosen = radius == r
        if r:
            rows = max_pool2d(mask[chosen], (2 * r + 1, 1), 1, (r, 0))
            result[chosen] = max_pool2d(rows, (1, 2 * r + 1), 1, (0, r))
    return result

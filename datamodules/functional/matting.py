"""A picture of a foreground, an alpha and a background, and the trimap that says where alpha is to be found.

    image = alpha foreground + (1 - alpha) background         (Porter and Duff 1984; Xu et al. 2017, eq. 1)

A trimap is 255 where alpha is surely 1, 0 where it is surely 0, and 128 between: what is opaque is eroded, what is not
clear is dilated, each by a square of 2 r + 1 pixels.
"""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, max_pool2d

BACKGROUND, UNKNOWN, FOREGROUND = 0, 128, 255


def composed(foreground: Tensor, alpha: Tensor, background: Tensor) -> Tensor:
    """Floats ``foreground`` and ``background`` [N, C, H, W] by ``alpha`` [N, 1, H, W] in [0, 1]."""
    return torch.lerp(background, foreground, alpha)


def is_unknown(y: Tensor) -> Tensor:
    """Where the trimap is unsure, the last channel of floats ``y`` [N, 4, H, W] in [0, 1]: bool [N, 1, H, W]."""
    return (y[:, 3:] > 0) & (y[:, 3:] < 1)


def trimap(alpha: Tensor, erosion: Tensor, dilation: Tensor) -> Tensor:
    """The trimap of uint8 ``alpha`` [N, 1, H, W]: uint8 [N, 1, H, W].

    Args:
        erosion: px [N], 0 or more, by which the opaque part is eroded; on the CPU, since it decides what is done.
        dilation: px [N], by which the part that is not clear is dilated; on the CPU, too.
    """
    clear = 1 - grown((alpha > 0).float(), dilation)
    opaque = 1 - grown((alpha < 255).float(), erosion)
    found = torch.full_like(alpha, UNKNOWN)
    return found.masked_fill(clear > 0, BACKGROUND).masked_fill(opaque > 0, FOREGROUND)


def levelled(image: Tensor, H: int, W: int) -> Tensor:
    """The trimap that a picture shows: 0 and 255 as they are, all between unknown: uint8 [1, 1, H, W].

    Args:
        image: uint8 [1, 1 or 3, h, w], in colour where all three are equal.
        H: of the picture that it belongs to.
        W: of it.

    Raises:
        ValueError: it is of another size, in colours, or leaves nothing unknown, and why.
    """
    h, w = image.shape[2:]
    if (h, w) != (H, W):
        raise ValueError(f"{w} x {h} px, and the picture is {W} x {H}: give a trimap of the picture's size")
    if not torch.equal(image, image[:, :1].expand_as(image)):
        raise ValueError("in colours: give grey, 0 for background, 255 for foreground and 128 where it is unknown")
    sure = (image[:, :1] == BACKGROUND) | (image[:, :1] == FOREGROUND)
    if sure.all():
        raise ValueError("black and white alone: give 128 where alpha is to be found")
    return torch.where(sure, image[:, :1], UNKNOWN)


def foreground(image: Tensor, alpha: Tensor) -> Tensor:
    """Colours of what is in front of floats ``image`` [N, 3, H, W] with ``alpha`` [N, 1, H, W]: [N, 3, H, W] in [0, 1].

    By blurring and fusing (Forte 2021, "Approximate fast foreground colour estimation", eqs. 4 to 7): means of both
    parts over a wide window, then over a narrow one, each mended so that the parts make the image again. The windows
    are of 91 and 7 px, where the published code has sides of 90 and 6.
    """
    front = back = image
    for radius in (45, 3):
        share = blurred(alpha, radius)
        front = blurred(front * alpha, radius) / (share + 1e-5)
        back = blurred(back * (1 - alpha), radius) / (1 - share + 1e-5)
        front = (front + alpha * (image - composed(front, alpha, back))).clamp(0, 1)
    return front


def blurred(x: Tensor, radius: int) -> Tensor:
    """Means of ``x`` [N, C, H, W] over squares of 2 radius + 1 px, as far as they lie in it."""
    rows, columns = (min(radius, side - 1) for side in x.shape[2:])
    x = avg_pool2d(x, (2 * rows + 1, 1), 1, (rows, 0), count_include_pad=False)
    return avg_pool2d(x, (1, 2 * columns + 1), 1, (0, columns), count_include_pad=False)


def grown(mask: Tensor, radius: Tensor) -> Tensor:
    """``mask`` [N, 1, H, W] of 0 and 1, dilated by squares of 2 radius + 1 pixels, each by its own radius [N]."""
    result = mask.clone()
    for r in radius.unique().tolist():
        chosen = radius == r
        if r:
            rows = max_pool2d(mask[chosen], (2 * r + 1, 1), 1, (r, 0))
            result[chosen] = max_pool2d(rows, (1, 2 * r + 1), 1, (0, r))
    return result

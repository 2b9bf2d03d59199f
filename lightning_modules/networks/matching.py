"""Attention from the pixels of one view to those of another: along rows, or in a window about the same place.

Row attention is that of PASSRnet (Wang et al. 2019, "Learning parallax attention for stereo image super-resolution",
section 3.2): in rectified pairs what a pixel shows lies in the same row of the other view, at an unknown column. Window
attention does the same for views that nobody rectified but that lie close: neighbouring frames of a film.

A pixel that no pixel of the other view attends to is hidden there: section 3.2's validity, the attention that it
receives above a threshold, made whole by morphology. Here that is a closing and an opening by 3 x 3 pixels.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn.functional import fold, max_pool2d, normalize, pad

THRESHOLD = 0.1  # PASSRnet, section 3.2


def comparable(features: Tensor, over: Sequence[int]) -> Tensor:
    """``features`` [N, C, h, w] less their mean ``over`` some dimensions, of unit length over channels, in float32.

    Products of such are cosines: largest between pixels that are alike, even before anything is learned, which spares
    a short training the search for matches. Without the mean all would be alike: iPASSR (Wang et al. 2021) removes it.
    """
    return normalize(features.float() - features.float().mean(tuple(over), keepdim=True), dim=1)


def check_temperature(temperature: float) -> None:
    """Raise ValueError where cosines cannot be divided by ``temperature``."""
    if temperature <= 0:
        raise ValueError(f"temperature is {temperature}: give a number above 0, such as 0.02")


# --- along rows ---------------------------------------------------------------------------------------------


def row_attention(query: Tensor, key: Tensor) -> Tensor:
    """softmax over columns k of query(i, j) . key(i, k), both [N, C, h, w]: attention [N, h, w, w] from j to k."""
    return (query.permute(0, 2, 3, 1) @ key.permute(0, 2, 1, 3)).softmax(-1)


def warp_rows(attention: Tensor, values: Tensor) -> Tensor:
    """What the pixels attend to of ``values`` [N, C, h, w] by row ``attention`` [N, h, w, w]: [N, C, h, w]."""
    return (attention @ values.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def received_rows(attention: Tensor) -> Tensor:
    """How much row ``attention`` [N, h, w, w] each pixel of the view that is looked at receives: [N, 1, h, w]."""
    return attention.sum(2)[:, None]


def shift_rows(attention: Tensor) -> Tensor:
    """Mean step from a pixel to where it looks, rows and columns: [N, 2, h, w] of ``attention`` [N, h, w, w]."""
    column = torch.arange(attention.shape[-1], device=attention.device, dtype=attention.dtype)
    step = attention @ column - column
    return torch.stack([torch.zeros_like(step), step], dim=1)


def peak_rows(attention: Tensor) -> Tensor:
    """Step to where ``attention`` [N, h, w, w] is largest, refined by its two neighbours: [N, 2, h, w], no gradient.

    Unlike the mean over the row it does not hear of what little lies far away.
    """
    attention = attention.detach().float()
    peak = attention.argmax(-1, keepdim=True)
    near = peak + torch.arange(-1, 2, device=peak.device)  # [N, h, w, 3]
    inside = (near >= 0) & (near < attention.shape[-1])
    weight = attention.gather(-1, near.clamp(0, attention.shape[-1] - 1)) * inside
    column = torch.arange(attention.shape[-1], device=peak.device)
    step = (weight * near).sum(-1) / weight.sum(-1) - column
    return torch.stack([torch.zeros_like(step), step], dim=1)


# --- in a window --------------------------------------------------------------------------------------------


def offsets(values: Tensor, radius: int) -> Iterator[Tensor]:
    """``values`` [N, C, h, w] as seen from each pixel at every offset up to ``radius``, row by row; beyond them zeros.

    One after the other: all at once they would be (2 radius + 1)^2 times as large.
    """
    h, w = values.shape[2:]
    padded = pad(values, (radius,) * 4)
    for i in range(2 * radius + 1):
        for j in range(2 * radius + 1):
            yield padded[:, :, i : i + h, j : j + w]


def window_attention(query: Tensor, key: Tensor, radius: int) -> Tensor:
    """softmax over offsets o of query(p) . key(p + o), both [N, C, h, w]: [N, (2 radius + 1)^2, h, w], in the image."""
    scores = torch.stack([(query * moved).sum(1) for moved in offsets(key, radius)], dim=1)
    inside = torch.cat(list(offsets(torch.ones_like(key[:1, :1]), radius)), dim=1)
    return scores.masked_fill(inside == 0, -torch.inf).softmax(1)


def warp_windows(attention: Tensor, values: Tensor, radius: int) -> Tensor:
    """What the pixels attend to of ``values`` [N, C, h, w] by window ``attention``: [N, C, h, w]."""
    found = torch.zeros_like(values)
    for weight, moved in zip(attention.split(1, dim=1), offsets(values, radius), strict=True):
        found = torch.addcmul(found, weight, moved)
    return found


def received_windows(attention: Tensor, radius: int) -> Tensor:
    """How much window ``attention`` each pixel of the view that is looked at receives: [N, 1, h, w]."""
    return fold(attention.flatten(2), attention.shape[2:], 2 * radius + 1, padding=radius)


def shift_windows(attention: Tensor, radius: int) -> Tensor:
    """Mean step from a pixel to where it looks, rows and columns: [N, 2, h, w] of window ``attention``."""
    line = torch.arange(-radius, radius + 1, device=attention.device, dtype=attention.dtype)
    steps = torch.stack(torch.meshgrid(line, line, indexing="ij")).flatten(1)  # [2, (2 radius + 1)^2]
    return torch.einsum("ko,nohw->nkhw", steps, attention)


# --- validity -----------------------------------------------------------------------------------------------


def validity(received: Tensor, threshold: float = THRESHOLD) -> Tensor:
    """1 where ``received`` [N, 1, h, w] is above ``threshold``, gaps and specks of one pixel removed; no gradient."""
    mask = (received.detach() > threshold).to(received.dtype)
    return _grown(_shrunk(_shrunk(_grown(mask))))


def _grown(mask: Tensor) -> Tensor:
    return max_pool2d(mask, 3, stride=1, padding=1)


def _shrunk(mask: Tensor) -> Tensor:
    return 1 - _grown(1 - mask)

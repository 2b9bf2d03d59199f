"""What textures and styles are compared by: statistics of feature maps that forget where things are."""

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

EPSILON = 1e-5  # under the root of a deviation


def shares(maps: Tensor, guide: Tensor | None = None) -> Tensor:
    """How much each place of ``maps`` [N, C, h, w] counts: [N or 1, 1, h w], sums to 1.

    Args:
        guide: [N, 1, H, W], not negative, of any size; averaged down to the maps'. None counts all places alike. Where
            nothing of it is left, so do they.
    """
    places = maps.shape[2] * maps.shape[3]
    if guide is None:
        return maps.new_full((1, 1, places), 1 / places)
    small = adaptive_avg_pool2d(guide.to(maps), (maps.shape[2], maps.shape[3])).flatten(2)
    total = small.sum(2, keepdim=True)
    return torch.where(total > 0, small / total.clamp_min(1e-12), 1 / places)


def gram(maps: Tensor, guide: Tensor | None = None) -> Tensor:
    """The Gram matrix of ``maps`` [N, C, h, w] (Johnson et al. 2016, eq. 3): mean f f' / C, [N, C, C].

    With a ``guide`` places count by their shares of it (Gatys et al. 2017, eq. 2, whose guide is the root of that).
    """
    flat = maps.flatten(2)
    return (flat * shares(maps, guide)) @ flat.transpose(1, 2) / maps.shape[1]


def moments(maps: Tensor, guide: Tensor | None = None) -> Tensor:
    """Mean and deviation of each of ``maps`` [N, C, h, w] over its places (Huang and Belongie 2017): [N, 2, C]."""
    flat, share = maps.flatten(2), shares(maps, guide)
    mean = (flat * share).sum(2)
    variance = ((flat - mean[:, :, None]).square() * share).sum(2)
    return torch.stack([mean, (variance + EPSILON).sqrt()], dim=1)


def adain(content: Tensor, wanted: Tensor) -> Tensor:
    """``content`` [N, C, h, w] with the ``moments`` [N, 2, C] that are ``wanted`` (Huang and Belongie 2017, eq. 8)."""
    mean, deviation = (part[:, :, None, None] for part in moments(content).unbind(1))
    wanted_mean, wanted_deviation = (part[:, :, None, None] for part in wanted.unbind(1))
    return (content - mean) / deviation * wanted_deviation + wanted_mean

"""From an image back to its code: by optimisation in any space of a generator.

As the projector of Karras et al. 2020 (appendix D) in short: from the nearest of many drawn codes Adam lessens the
error of pixels, and of features where a network is given, with a rate that rises for a twentieth of the steps and falls
over the last quarter; noise on the codes, of drawn ones' spread, falls to 0 over the first three quarters.
"""

from collections.abc import Callable
from math import cos, pi
from typing import NamedTuple

import torch
from torch import Tensor

from lightning_modules.tools.spaces import BLOCK, Space

RISE, FALL, QUIET = 0.05, 0.25, 0.75  # shares of the steps
Distance = Callable[[Tensor, Tensor], Tensor]  # images [N, C, H, W] and those they should be, to [N]


class Inverted(NamedTuple):
    """Codes of images."""

    codes: Tensor  # [N, ...]
    images: Tensor  # [N, C, H, W], what they make
    mse: Tensor  # [N], of the pixels in the generator's range
    psnr: Tensor  # [N], in dB, of the full range


def invert(
    space: Space,
    x: Tensor,
    steps: int = 500,
    rate: float = 0.1,
    noise: float = 0.05,
    starts: int = 512,
    features: Distance | None = None,
) -> Inverted:
    """Codes in ``space`` whose images are near ``x`` [N, C, H, W], which is in the generator's range.

    Args:
        steps: of Adam.
        rate: its largest.
        noise: on the codes at first, in deviations of drawn ones.
        starts: codes that are drawn, of which each image begins with the one whose image is nearest.
        features: a distance to add to the pixels' mean squared error.

    Raises:
        ValueError: images of another size than the generator makes, or no steps.
    """
    if tuple(x.shape[1:]) != tuple(space.G.out_shape):
        raise ValueError(
            f"an image of {list(x.shape[1:])} is none of the generator's, which are {list(space.G.out_shape)}"
        )
    if steps < 1 or starts < 1:
        raise ValueError(f"steps is {steps} and starts {starts}: give 1 or more of both")
    drawn = space.draw(starts)
    spread = noise * drawn.std(0, keepdim=True)
    codes = nearest(space, drawn, x).requires_grad_()
    optimizer = torch.optim.Adam([codes], lr=rate)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = rate * ramp(step / steps)
        shaken = codes + spread * max(0.0, 1 - step / steps / QUIET) ** 2 * torch.randn_like(codes)
        made = space.images(shaken)
        error = (made - x).square().flatten(1).mean(1)
        loss = error if features is None else error + features(made, x)
        optimizer.zero_grad()
        loss.sum().backward()
        optimizer.step()
    with torch.no_grad():
        images = space.images(codes)
    mse = (images - x).square().flatten(1).mean(1)
    low, high = space.module.value_range
    return Inverted(codes.detach(), images, mse, 10 * torch.log10((high - low) ** 2 / mse))


def ramp(done: float) -> float:
    """The share of the rate when a share ``done`` of the steps is done."""
    falling = 0.5 - 0.5 * cos(min(1.0, (1 - done) / FALL) * pi)
    return falling * min(1.0, (done + 1e-3) / RISE)


@torch.no_grad()
def nearest(space: Space, codes: Tensor, x: Tensor) -> Tensor:
    """Of ``codes`` [K, ...] the one whose image is nearest to each of ``x`` [N, C, H, W]: [N, ...]."""
    made = torch.cat([space.images(part) for part in codes.split(BLOCK)]).flatten(1)
    return codes[torch.cdist(x.flatten(1), made).argmin(1)].clone()

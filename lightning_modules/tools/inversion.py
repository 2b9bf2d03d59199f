"""From an image back to its code: by optimisation in any space of a generator, by an encoder, or from its code on.

A family's own encoder is asked where there is one; of any other generator one is taught on drawn codes and the images
that they make (Zhu et al. 2016, "Generative visual manipulation on the natural image manifold", section 3.1).

As the projector of Karras et al. 2020 (appendix D) in short: from the nearest of many drawn codes Adam lessens the
error of pixels, and of features where a network is given, with a rate that rises for a twentieth of the steps and falls
over the last quarter; noise on the codes, of drawn ones' spread, falls to 0 over the first three quarters.
"""

from collections.abc import Callable
from math import cos, pi
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from lightning_modules.tools.spaces import BLOCK, Space, ZSpace

RISE, FALL, QUIET = 0.05, 0.25, 0.75  # shares of the steps
Distance = Callable[[Tensor, Tensor], Tensor]  # images [N, C, H, W] and those they should be, to [N]


@runtime_checkable
class FindsCodes(Protocol):
    """A family with an encoder."""

    def find_codes(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The codes [N, z_dim] of ``x`` [N, C, H, W] under labels ``y`` [N]."""
        ...


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
    begun: Tensor | None = None,
) -> Inverted:
    """Codes in ``space`` whose images are near ``x`` [N, C, H, W], which is in the generator's range.

    Args:
        steps: of Adam.
        rate: its largest.
        noise: on the codes at first, in deviations of drawn ones.
        starts: codes that are drawn, 2 or more, of which each image begins with the one whose image is nearest; the
            noise is in their deviations.
        features: a distance to add to the pixels' mean squared error.
        begun: codes [N, ...] to begin with in the place of drawn ones, an encoder's say.

    Raises:
        ValueError: images of another size than the generator makes, or no steps.
    """
    check_images(space, x)
    if steps < 1 or starts < 2:
        raise ValueError(f"steps is {steps} and starts {starts}: give 1 or more steps, and 2 or more starts")
    drawn = space.draw(starts)
    spread = noise * drawn.std(0, keepdim=True)
    codes = (nearest(space, drawn, x) if begun is None else begun.detach().clone()).requires_grad_()
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
    return weighed(space, codes.detach(), x)


def encoded(space: Space, x: Tensor, teach: Callable[[], nn.Module]) -> Inverted:
    """Codes in ``space`` of ``x`` [N, C, H, W] by the family's encoder, or by the one that ``teach`` gives.

    Raises:
        ValueError: images of another size than the generator makes.
    """
    check_images(space, x)
    if isinstance(space, ZSpace) and isinstance(space.module, FindsCodes):
        return weighed(space, space.module.find_codes(x, space.labels(len(x))), x)
    encoder = teach()
    with torch.no_grad():
        return weighed(space, encoder(x).unflatten(1, space.draw(1).shape[1:]), x)


def teach(space: Space, encoder: nn.Module, steps: int, batch: int = 32, rate: float = 1e-3) -> nn.Module:
    """``encoder``, x -> codes [N, -1], after ``steps`` of Adam on drawn codes and their images; draws from the stream.

    It learns to give back both: the codes in their deviations, and the images, each by mean squared error.
    """
    spread = space.draw(BLOCK * 4).std(0, keepdim=True).clamp_min(1e-6)
    optimizer = torch.optim.Adam(encoder.parameters(), lr=rate)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = rate * ramp(step / steps)
        codes = space.draw(batch)
        with torch.no_grad():
            x = space.images(codes)
        found = encoder(x).view_as(codes)
        loss = ((found - codes) / spread).square().mean() + (space.images(found) - x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return encoder.eval().requires_grad_(False)


def check_images(space: Space, x: Tensor) -> None:
    """Raise ValueError where ``x`` [N, C, H, W] is of another size than the generator makes."""
    if tuple(x.shape[1:]) != tuple(space.G.out_shape):
        raise ValueError(
            f"an image of {list(x.shape[1:])} is none of the generator's, which are {list(space.G.out_shape)}"
        )


@torch.no_grad()
def weighed(space: Space, codes: Tensor, x: Tensor) -> Inverted:
    """``codes`` with their images, and how far these are from ``x``."""
    images = space.images(codes)
    mse = (images - x).square().flatten(1).mean(1)
    low, high = space.module.value_range
    return Inverted(codes, images, mse, 10 * torch.log10((high - low) ** 2 / mse))


def ramp(done: float) -> float:
    """The share of the rate when a share ``done`` of the steps is done."""
    falling = 0.5 - 0.5 * cos(min(1.0, (1 - done) / FALL) * pi)
    return falling * min(1.0, (done + 1e-3) / RISE)


@torch.no_grad()
def nearest(space: Space, codes: Tensor, x: Tensor) -> Tensor:
    """Of ``codes`` [K, ...] the one whose image is nearest to each of ``x`` [N, C, H, W]: [N, ...]."""
    made = torch.cat([space.images(part) for part in codes.split(BLOCK)]).flatten(1)
    return codes[torch.cdist(x.flatten(1), made).argmin(1)].clone()

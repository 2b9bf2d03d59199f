"""What a unit of a generator does: what disappears when it is off (Bau et al. 2019, "GAN dissection", section 3.2).

Measures of an image say how much. Images are read as bright on dark in [0, 1].

- ``ink``: the mean value.
- ``stroke_width``: 2 A / L in px, A the area and L the length of its outline, by the coarea formula the integral of
  |grad x|: a long stroke of width w and length l has A = w l and L = 2 l.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from lightning_modules.tools.layers import output_of, without
from lightning_modules.tools.spaces import BLOCK, Space

Measure = Callable[[Tensor], Tensor]  # [N, C, H, W] in [0, 1] to [N]


def ink(x: Tensor) -> Tensor:
    """The mean value of each of ``x`` [N, C, H, W]: [N]."""
    return x.mean((1, 2, 3))


def stroke_width(x: Tensor) -> Tensor:
    """In px, of the mean channel of each of ``x`` [N, C, H, W]: [N]; 0 of an even image."""
    grey = torch.nn.functional.pad(x.mean(1), (1, 1, 1, 1))
    down, across = grey[:, 1:, :-1] - grey[:, :-1, :-1], grey[:, :-1, 1:] - grey[:, :-1, :-1]
    outline = torch.hypot(down, across).sum((1, 2))
    return 2 * grey.sum((1, 2)) / outline.clamp_min(1e-6)


MEASURES: Mapping[str, Measure] = {"stroke_width": stroke_width, "ink": ink}


@torch.no_grad()
def correlations(space: Space, codes: Tensor, layer: str, measure: Measure) -> tuple[Tensor, Tensor]:
    """Pearson's correlation of the mean of each unit of ``layer`` with ``measure``: [K]; and the measures [N].

    Args:
        space: whose generator it is.
        codes: of the images, [N, ...].
        layer: its name.
        measure: of the images.

    Raises:
        ValueError: there is no such layer, or it has no units.
    """
    parts = [means(space, part, layer, measure) for part in codes.split(BLOCK)]
    units, measured = (torch.cat(part) for part in zip(*parts, strict=True))
    units, by = units - units.mean(0), measured - measured.mean()
    return (units * by[:, None]).sum(0) / (units.norm(dim=0) * by.norm()).clamp_min(1e-12), measured


def means(space: Space, codes: Tensor, layer: str, measure: Measure) -> tuple[Tensor, Tensor]:
    """The mean of each unit of ``layer`` [N, K] and the measure [N] of the images of ``codes`` [N, ...], float64."""
    made: list[Tensor] = []
    out = output_of(space.G, layer, lambda: made.append(space.images(codes)))
    return out.reshape(*out.shape[:2], -1).mean(2).double(), measure(unit_range(space, made[0])).double()


@torch.no_grad()
def ablated(space: Space, codes: Tensor, layer: str, unit: int, count: int) -> Tensor:
    """Images of ``codes`` [N, ...] with ``unit`` of the ``count`` of ``layer`` off: [N, C, H, W].

    Raises:
        ValueError: there is no such layer or unit.
    """
    with without(space.G, layer, [unit], count):
        return torch.cat([space.images(part) for part in codes.split(BLOCK)])


def unit_range(space: Space, x: Tensor) -> Tensor:
    """``x`` of the generator's value range in [0, 1]."""
    low, high = space.module.value_range
    return (x.clamp(low, high) - low) / (high - low)

"""What a unit looks for: an image that excites it, found by ascent (Olah, Mordvintsev, Schubert 2017).

    x* = argmax_x  mean of unit(shift(x)) - lambda TV(x),   x = low + (high - low) sigmoid(p)

with shifts of a few pixels drawn anew at each step, which keep the image from high frequencies that only one place of
the grid likes. Deviation: in pixels, with total variation, in place of Fourier's basis.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from datamodules.functional.quantise import ValueRange
from lightning_modules.tools.layers import output_of, require_units


def visualise(
    net: nn.Module,
    run: Callable[[Tensor], object],
    layer: str,
    units: Sequence[int],
    shape: tuple[int, int, int],
    value_range: ValueRange,
    steps: int = 256,
    rate: float = 0.05,
    smooth: float = 0.5,
    shift: int = 2,
) -> tuple[Tensor, Tensor]:
    """Images [len(units), C, H, W] that excite ``units`` of ``layer`` of ``net``, and how much [len(units)].

    Args:
        net: holds the layer; frozen.
        run: asks it about images.
        layer: its name.
        units: of it, one for each image.
        shape: (C, H, W) of an image.
        value_range: of its values.
        steps: of Adam.
        rate: its rate.
        smooth: weight of the total variation, a pixel.
        shift: pixels, at most, by which an image is shifted.

    Raises:
        ValueError: there is no such layer or unit.
    """
    low, high = value_range
    p = (0.1 * torch.randn(len(units), *shape, device=next(net.parameters()).device)).requires_grad_()
    optimizer = torch.optim.Adam([p], lr=rate)
    excited = p.new_zeros(len(units))
    for _ in range(steps):
        x = low + (high - low) * p.sigmoid()
        across, down = torch.randint(-shift, shift + 1, (2,)).tolist()
        moved = x.roll((down, across), (2, 3))
        out = output_of(net, layer, partial(run, moved))
        require_units(layer, units, out.shape[1])
        excited = out[range(len(units)), list(units)].reshape(len(units), -1).mean(1)
        rough = (x.diff(dim=2).abs().mean((1, 2, 3)) + x.diff(dim=3).abs().mean((1, 2, 3))) / (high - low)
        optimizer.zero_grad()
        (smooth * rough - excited).sum().backward()
        optimizer.step()
    return (low + (high - low) * p.detach().sigmoid()), excited.detach()

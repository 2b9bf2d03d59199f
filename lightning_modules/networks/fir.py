"""Resampling by two with a low-pass filter around it, as StyleGAN2 has it (Karras et al. 2019, section 3.1; 2020).

A signal that is enlarged is spread by zeros and then filtered, one that is shrunk is filtered and then thinned out, so
that no copies of its spectrum stay behind. Beyond the edge all is zero. A filter of an even length, such as the
binomial [1, 3, 3, 1], keeps the middles of images over each other; one of odd length shifts by half a pixel. The
result is of the input's type, autocast or not.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, pad

from lightning_modules.networks.spectral import full_precision


class FIR(nn.Module):
    """A separable filter, the same for all channels.

    Args:
        taps: of one direction, of any sum.

    Raises:
        ValueError: fewer than two taps, or such as add up to 0.
    """

    taps: Tensor

    def __init__(self, taps: Sequence[float] = (1.0, 3.0, 3.0, 1.0)) -> None:
        super().__init__()
        if len(taps) < 2 or sum(taps) == 0:
            raise ValueError(f"a filter that resamples has two taps or more, whose sum is not 0: got {list(taps)}")
        self.register_buffer("taps", torch.tensor(taps, dtype=torch.float32) / sum(taps), persistent=False)

    def up(self, x: Tensor) -> Tensor:
        """``x`` [N, C, H, W] to [N, C, 2 H, 2 W]."""
        size, C = len(self.taps), x.shape[1]
        first = size - 1 - (size + 1) // 2
        last = size - 2 - first
        for axis, line in enumerate(self.lines(x, 2.0, flip=False)):
            stride = (2, 1) if axis == 0 else (1, 2)
            with full_precision(x.device):
                x = conv_transpose2d(x, line, stride=stride, groups=C)
            x = x.narrow(2 + axis, first, x.shape[2 + axis] - first - last)
        return x

    def down(self, x: Tensor) -> Tensor:
        """``x`` [N, C, H, W] to [N, C, H / 2, W / 2]."""
        size = len(self.taps)
        x = pad(x, [(size - 1) // 2, (size - 2) // 2] * 2)
        for axis, line in enumerate(self.lines(x, 1.0)):
            with full_precision(x.device):
                x = conv2d(x, line, stride=(2, 1) if axis == 0 else (1, 2), groups=x.shape[1])
        return x

    def smooth(self, x: Tensor, before: int, after: int, gain: float = 1.0) -> Tensor:
        """``x`` [N, C, H, W], with so many zeros at its upper and left, and lower and right edge, filtered."""
        x = pad(x, [before, after] * 2)
        for line in self.lines(x, gain**0.5):
            with full_precision(x.device):
                x = conv2d(x, line, groups=x.shape[1])
        return x

    def lines(self, x: Tensor, gain: float, flip: bool = True) -> tuple[Tensor, Tensor]:
        """Weights of one filter for each channel of ``x``, down and to the right; flipped where torch correlates."""
        taps = (self.taps.flip(0) if flip else self.taps).to(x.dtype) * gain
        column = taps.view(1, 1, -1, 1).expand(x.shape[1], 1, -1, 1)
        return column, column.mT


class DenseFIR(FIR):
    """The same filter as a product with a matrix along either axis.

    The second derivative of a convolution goes through its groups one by one, which here are all channels; a product's
    is a product. That is for what a penalty differentiates at each step, and for sides of some hundred px at most,
    since a matrix is as wide as the image.
    """

    def up(self, x: Tensor) -> Tensor:
        """``x`` [N, C, H, W] to [N, C, 2 H, 2 W]."""
        size = len(self.taps)
        first = size - 1 - (size + 1) // 2
        H, W = (self.matrix(x, 2.0, numbers(x, 2 * n) + first, 2 * numbers(x, n)) for n in x.shape[2:])
        return self.both(x, H, W)

    def down(self, x: Tensor) -> Tensor:
        """``x`` [N, C, H, W] to [N, C, H / 2, W / 2]."""
        last = len(self.taps) // 2
        H, W = (self.matrix(x, 1.0, 2 * numbers(x, n // 2) + last, numbers(x, n)) for n in x.shape[2:])
        return self.both(x, H, W)

    def matrix(self, x: Tensor, gain: float, made: Tensor, given: Tensor) -> Tensor:
        """What makes pixels at ``made`` of those at ``given``, both counted in taps, of the type of ``x``."""
        tap = made[:, None] - given
        known = (tap >= 0) & (tap < len(self.taps))
        return (gain * self.taps[tap.clamp(0, len(self.taps) - 1)] * known.to(self.taps)).to(x.dtype)

    def both(self, x: Tensor, down: Tensor, right: Tensor) -> Tensor:
        """``x`` [N, C, H, W] by a matrix for its columns and one for its rows; the result is laid out channels last."""
        with full_precision(x.device):
            lines = torch.matmul(right, x.permute(0, 2, 3, 1))  # [N, H, W', C]
            planes = torch.matmul(down, lines.flatten(2))  # [N, H', W' C]
        return planes.unflatten(2, lines.shape[2:]).permute(0, 3, 1, 2)


def numbers(x: Tensor, n: int) -> Tensor:
    """0 to ``n - 1`` where ``x`` is: numbers of the host would halt a device's stream to be copied there."""
    return torch.arange(n, device=x.device)

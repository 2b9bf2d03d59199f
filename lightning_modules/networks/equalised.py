"""Layers of ProGAN and of what came after it (Karras et al. 2018, sections 3, 4.1 and 4.2; Karras et al. 2020).

With an equalised learning rate weights are drawn from N(0, 1) and scaled when they are used, so that Adam, whose steps
do not know a weight's scale, moves all of them alike. A layer with ``lr_mul`` learns that many times as fast: its
weights are as much larger and count as much less.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, leaky_relu, linear

SLOPE, EPSILON = 0.2, 1e-8


class EqualisedLinear(nn.Linear):
    """A fully connected layer.

    Args:
        before: numbers that it is given.
        after: numbers that it makes.
        bias: whether it adds one.
        bias_init: what the bias starts from.
        lr_mul: how much faster it learns than others.
        gain: on the scale 1 / sqrt(before) of its weights; sqrt(2) makes up for a ReLU that follows.
    """

    def __init__(
        self,
        before: int,
        after: int,
        bias: bool = True,
        bias_init: float = 0.0,
        lr_mul: float = 1.0,
        gain: float = 1.0,
    ) -> None:
        super().__init__(before, after, bias)
        self.scale, self.lr_mul = lr_mul * gain / math.sqrt(before), lr_mul
        nn.init.normal_(self.weight, std=1 / lr_mul)
        if bias:
            nn.init.constant_(self.bias, bias_init / lr_mul)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [..., before] to [..., after]."""
        return linear(x, self.weight * self.scale, None if self.bias is None else self.bias * self.lr_mul)


class EqualisedConv2d(nn.Conv2d):
    """A convolution.

    Args:
        before: channels that it is given.
        after: channels that it makes.
        kernel: its side in px.
        stride: between two places.
        padding: zeros at each side; half the kernel unless given.
        bias: whether it adds one.
        gain: on the scale 1 / sqrt(before * kernel^2) of its weights.
    """

    def __init__(
        self,
        before: int,
        after: int,
        kernel: int,
        stride: int = 1,
        padding: int | None = None,
        bias: bool = True,
        gain: float = 1.0,
    ) -> None:
        super().__init__(before, after, kernel, stride, kernel // 2 if padding is None else padding, bias=bias)
        self.scale = gain / math.sqrt(before * kernel**2)
        nn.init.normal_(self.weight)
        if bias:
            nn.init.zeros_(self.bias)  # type: ignore[arg-type]  # there is one

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [N, before, H, W] to [N, after, h, w]."""
        return conv2d(x, self.weight * self.scale, self.bias, self.stride, self.padding)


class PixelNorm(nn.Module):
    """Each pixel's features, or each vector, to a mean square of 1."""

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [N, C, ...] to the same shape."""
        return x * (x.square().mean(1, keepdim=True) + EPSILON).rsqrt()


class Leaky(nn.Module):
    """LeakyReLU 0.2 times a gain; sqrt(2) keeps the mean square of N(0, 1) near 1.

    Args:
        gain: of the result.
        clamp: largest magnitude of the result, for half precision; none unless given.
    """

    def __init__(self, gain: float = math.sqrt(2), clamp: float | None = None) -> None:
        super().__init__()
        self.gain, self.clamp = gain, clamp

    def forward(self, x: Tensor) -> Tensor:
        """``x`` of any shape."""
        x = leaky_relu(x, SLOPE) * self.gain
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)


class MinibatchDeviation(nn.Module):
    """One more map: how far the images of a group are from each other (Karras et al. 2018, section 3).

    The deviation over the group of each feature at each place, averaged over both: one number for each group of
    ``group`` images, or of the greatest divisor of the batch below that.

    Args:
        group: images of a group.
    """

    def __init__(self, group: int = 4) -> None:
        super().__init__()
        if group < 1:
            raise ValueError(f"group is {group}: give 1 image or more")
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [N, C, H, W] to [N, C + 1, H, W]."""
        N = len(x)
        group = next(size for size in range(min(self.group, N), 0, -1) if N % size == 0)
        of_group = in_full(x).unflatten(0, (group, -1))  # image i is of group i mod (N / group)
        deviation = (of_group.var(0, correction=0) + EPSILON).sqrt().mean((1, 2, 3))
        return torch.cat([x, deviation.to(x.dtype).repeat(group).view(N, 1, 1, 1).expand(-1, 1, *x.shape[2:])], 1)


def in_full(x: Tensor) -> Tensor:
    """``x`` in float32, or in float64 if it is."""
    return x.to(torch.promote_types(x.dtype, torch.float32))

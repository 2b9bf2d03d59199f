"""The modulated convolution of StyleGAN2 (Karras et al. 2020, section 2.2 and appendix B).

A style s, an affine function of w, scales what the convolution is given, channel by channel (eq. 1); demodulation
divides by the deviation that the result would have if the input were white (eqs. 2 and 3):

    x'_o = sum_i W_oi * (s_i x_i) / sqrt(sum_ik (s_i W_oik)^2 + epsilon)

The convolution is one for the whole batch: images are scaled before and after it, in place of a kernel for each.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d

from lightning_modules.networks.equalised import EPSILON, EqualisedLinear, in_full
from lightning_modules.networks.fir import FIR
from lightning_modules.networks.spectral import full_precision


class ModulatedConv2d(nn.Module):
    """A convolution whose input is scaled by a style.

    Args:
        before: channels that it is given.
        after: channels that it makes.
        kernel: its odd side in px.
        w_dim: length of w.
        demodulate: whether the result is divided by its expected deviation.
        up: filter with which it enlarges twofold; none keeps the size.
    """

    def __init__(
        self, before: int, after: int, kernel: int, w_dim: int, demodulate: bool = True, up: FIR | None = None
    ) -> None:
        super().__init__()
        self.affine = EqualisedLinear(w_dim, before, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(after, before, kernel, kernel))
        self.scale, self.demodulate, self.up = 1 / math.sqrt(before * kernel**2), demodulate, up

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """``x`` [N, before, H, W] under ``w`` [N, w_dim] to [N, after, H, W], or twice the sides."""
        with full_precision(w.device):
            style = self.affine(in_full(w))
        weight = self.weight * self.scale
        x = self.convolve(x * style.to(x.dtype)[:, :, None, None], weight)
        if not self.demodulate:
            return x
        with full_precision(w.device):
            power = style.square() @ in_full(weight).square().sum((2, 3)).T  # [N, after]
        return x * (power + EPSILON).rsqrt().to(x.dtype)[:, :, None, None]

    def convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        """``x`` with ``weight`` [after, before, k, k]; enlarged, if so, and filtered."""
        kernel = weight.shape[2]
        if self.up is None:
            return conv2d(x, weight, padding=kernel // 2)
        x = conv_transpose2d(x, weight.flip(2, 3).transpose(0, 1), stride=2)  # sides 2 H + k - 2
        taps = len(self.up.taps)
        first, last = kernel // 2 + (taps + 1) // 2, kernel // 2 + (taps - 2) // 2
        return self.up.smooth(x, first - (kernel - 1), last - (kernel - 2), gain=4.0)

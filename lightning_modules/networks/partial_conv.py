"""Partial convolutions and their U-Net (Liu et al. 2018, "Image inpainting for irregular holes").

A partial convolution looks at known pixels alone and makes up for the rest (eqs. 1 and 2); m is 1 where they are known:

    x' = W (x m) sum(1) / sum(m) + b,   m' = 1        where a window holds anything known, sum(m) > 0
    x' = 0,                             m' = 0        elsewhere

so that a hole shrinks from layer to layer. What lies beyond the edge is unknown. Masks are of as many channels as the
images, since a skip's and the decoder's differ (section 3.2).
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, interpolate, leaky_relu, relu

from lightning_modules.networks.base import Filler

SLOPE, WIDEST = 0.2, 8
KERNELS = (7, 5, 5)  # of the encoder; 3 from there on


class PartialConv2d(nn.Module):
    """A partial convolution with zeros around it.

    Args:
        before: channels that it is given.
        after: channels that it makes.
        kernel: its odd side in px.
        stride: between two places.
        bias: whether it adds one.
    """

    def __init__(self, before: int, after: int, kernel: int = 3, stride: int = 1, bias: bool = True) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=bias)

    def forward(self, x: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """``x`` and ``known`` [N, before, H, W], 1 or 0, to x' [N, after, h, w] and the new mask [N, 1, h, w]."""
        layer = self.convolution
        (kernel, _), stride, padding = layer.kernel_size, layer.stride, layer.padding
        with torch.no_grad():
            share = avg_pool2d(known.float().mean(1, keepdim=True), kernel, stride, int(padding[0]))
            mask = (share > 0).float()
            factor = mask / share.clamp(min=0.5 / (known.shape[1] * kernel**2))  # a window's least is one known value
        found = conv2d(x * known, layer.weight, None, stride, padding) * factor
        if layer.bias is not None:
            found = found + layer.bias.view(-1, 1, 1) * mask
        return found, mask


class PartialConvUNet(Filler):
    """An image with holes to a whole one; sides are multiples of 2^depth.

    Args:
        depth: how often the sides are halved: 8 for 512 px.
        width: feature maps of the first convolution; doubled by each further one, up to eight times that.

    Raises:
        ValueError: a depth below 2; in ``forward``, sides that cannot be halved so often.
    """

    def __init__(self, depth: int = 8, width: int = 64) -> None:
        super().__init__()
        if depth < 2:
            raise ValueError(f"depth is {depth}: this U-Net halves its image twice or more")
        self.depth, self.multiple = depth, 2**depth
        maps = [3, *(width * min(2**i, WIDEST) for i in range(depth))]
        kernels = [*KERNELS, *[3] * depth][:depth]
        self.down = nn.ModuleList(PartialConv2d(maps[i], maps[i + 1], kernels[i], 2, bias=i == 0) for i in range(depth))
        self.down_norms = nn.ModuleList(
            nn.BatchNorm2d(maps[i]) if i > 1 else nn.Identity() for i in range(1, depth + 1)
        )
        after = [3, *maps[1:-1]]  # what the decoder makes at each level; the image at last
        self.up = nn.ModuleList(
            PartialConv2d(maps[i + 1] + maps[i], after[i], bias=i == 0) for i in reversed(range(depth))
        )
        self.up_norms = nn.ModuleList(nn.BatchNorm2d(after[i]) for i in reversed(range(1, depth)))

    def forward(self, y: Tensor, hole: Tensor) -> Tensor:
        """``y`` [N, 3, H, W] in [0, 1] and ``hole`` [N, 1, H, W], True where it is missing, to x [N, 3, H, W]."""
        self.check(*y.shape[2:])
        x, known = y, (~hole).to(y.dtype)
        levels = []
        for layer, norm in zip(self.down, self.down_norms, strict=True):
            levels.append((x, known))
            x, known = layer(x, known.expand_as(x))
            x = relu(norm(x))
        for i, layer in enumerate(self.up):
            beside, known_beside = levels.pop()
            x, known = interpolate(x, scale_factor=2), interpolate(known, scale_factor=2)
            masks = torch.cat([known.expand_as(x), known_beside.expand_as(beside)], 1)
            x, known = layer(torch.cat([x, beside.to(x.dtype)], 1), masks)
            if i < self.depth - 1:
                x = leaky_relu(self.up_norms[i](x), SLOPE)
        return x

"""pix2pix's U-Net (Isola et al. 2017, section 6.1.1; its published code): an hourglass with a skip at every scale.

    C64-C128-C256-C512-C512-C512-C512-C512, strided 4x4 convolutions with LeakyReLU 0.2, batch norm in all but the first
    and the innermost; the way up mirrors it with transposed convolutions, ReLU and batch norm, with dropout in the
    three of 512 maps that follow the innermost; tanh. 54.4 million parameters at depth 8.

The paper has no noise z but that dropout, which it leaves on at test, with batch norm by the test batch's own
statistics (section 3.4): ``test_as_trained``.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, dropout, leaky_relu, relu

from lightning_modules.networks.base import Network
from lightning_modules.networks.init import DCGAN, Initialiser

SLOPE, WIDEST = 0.2, 8
Norm = Literal["batch", "instance", "none"]


def norm_layer(norm: Norm, channels: int, running: bool = True) -> nn.Module:
    """A norm of ``channels`` maps; instance norm has no weights, as pix2pix's code has it.

    Args:
        norm: "batch", "instance", or "none".
        channels: feature maps.
        running: of batch norm: whether evaluation takes the averages over training, or the batch's own statistics.
    """
    if norm == "batch":
        return nn.BatchNorm2d(channels, track_running_stats=running)
    return InstanceNorm(channels) if norm == "instance" else nn.Identity()


class InstanceNorm(nn.InstanceNorm2d):
    """As torch's without weights. Of a single image it is batch norm, which leaves channels last as they are."""

    def forward(self, input: Tensor) -> Tensor:
        """Keep the shape [N, C, H, W]; each map gets mean 0 and variance 1."""
        if len(input) > 1:
            return super().forward(input)
        return batch_norm(input, None, None, training=True, eps=self.eps)


class UNet(Network):
    """An image [N, in_channels, H, W] to one [N, out_channels, H, W] in [-1, 1]; sides are multiples of 2^depth.

    Args:
        depth: how often the sides are halved: 8 for 256 px, 7 for 128.
        in_channels: of what it is given.
        out_channels: of the image.
        width: feature maps of the first convolution; doubled by each further one, up to eight times that.
        dropout: share of maps that are left out after each transposed convolution to eight times ``width``, but the
            innermost: three at depth 8, two at 7.
        norm: "batch", "instance" or "none".
        test_as_trained: keep dropout, and batch norm's own statistics of the batch, in evaluation, as the paper does:
            its answers then differ from call to call.
        init: how to draw the weights; N(0, 0.02) unless given.

    Raises:
        ValueError: a depth below 2, or a share that is none; in ``forward``, sides that cannot be halved so often.
    """

    def __init__(
        self,
        depth: int = 8,
        in_channels: int = 3,
        out_channels: int = 3,
        width: int = 64,
        dropout: float = 0.5,
        norm: Norm = "batch",
        test_as_trained: bool = True,
        init: Initialiser | None = None,
    ) -> None:
        super().__init__()
        if depth < 2:
            raise ValueError(f"depth is {depth}: a U-Net halves its image twice or more")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout is {dropout}: give a share from 0 to below 1")
        self.depth, self.dropout, self.test_as_trained, self.multiple = depth, dropout, test_as_trained, 2**depth
        bias, running = norm != "batch", not test_as_trained
        maps = [width * min(2**i, WIDEST) for i in range(depth)]
        self.down = nn.ModuleList(
            nn.Conv2d(before, after, 4, 2, 1, bias=bias)
            for before, after in zip([in_channels, *maps[:-1]], maps, strict=True)
        )
        self.down_norms = nn.ModuleList(norm_layer(norm, maps[i], running) for i in range(1, depth - 1))
        inner = [maps[-1], *(2 * count for count in maps[-2::-1])]  # what each layer of the way up is given
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(before, after, 4, 2, 1, bias=bias or i == depth - 1)
            for i, (before, after) in enumerate(zip(inner, [*maps[-2::-1], out_channels], strict=True))
        )
        self.up_norms = nn.ModuleList(norm_layer(norm, count, running) for count in maps[-2::-1])
        self.apply(init or DCGAN())

    def forward(self, y: Tensor) -> Tensor:
        """``y`` [N, in_channels, H, W] to [N, out_channels, H, W]."""
        if any(side % self.multiple for side in y.shape[2:]):
            raise ValueError(
                f"an image of {y.shape[2]}x{y.shape[3]} cannot be halved {self.depth} times: give sides that are "
                f"multiples of {self.multiple}, or a smaller depth"
            )
        maps = [self.down[0](y)]
        for i in range(1, self.depth):
            found = self.down[i](leaky_relu(maps[-1], SLOPE))
            maps.append(self.down_norms[i - 1](found) if i < self.depth - 1 else found)
        x = maps.pop()
        for i in range(self.depth - 1):
            x = self.up_norms[i](self.up[i](relu(x)))
            if self.dropout and 1 <= i <= self.depth - 5:
                x = dropout(x, self.dropout, self.training or self.test_as_trained)
            x = torch.cat([maps.pop(), x], dim=1)
        return self.up[-1](relu(x)).tanh()

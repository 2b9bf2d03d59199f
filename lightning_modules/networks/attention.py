"""Self-attention between the positions of an image's features (SAGAN, Zhang et al. 2019, section 3 and figure 2).

As in their published code, which BigGAN follows: queries and keys have an eighth of the maps and values a half, and
keys and values are pooled over 2x2, so that 32x32 positions look at 256.
"""

import torch
from torch import Tensor, nn


class SelfAttention(nn.Module):
    """x + gain * what each position finds at the others; the gain starts at 0, so that this begins as the identity.

    Args:
        maps: C of the features, 8 or more.

    Raises:
        ValueError: too few maps.
    """

    def __init__(self, maps: int) -> None:
        super().__init__()
        if maps < 8:
            raise ValueError(f"attention needs 8 feature maps or more, got {maps}: raise the network's width")
        self.query, self.key = (nn.Conv2d(maps, maps // 8, 1, bias=False) for _ in range(2))
        self.value = nn.Conv2d(maps, maps // 2, 1, bias=False)
        self.out = nn.Conv2d(maps // 2, maps, 1, bias=False)
        self.pool = nn.MaxPool2d(2)
        self.gain = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [N, C, H, W] to the same shape; H and W are even."""
        query = self.query(x).flatten(2)
        key, value = self.pool(self.key(x)).flatten(2), self.pool(self.value(x)).flatten(2)
        attention = (query.transpose(1, 2) @ key).softmax(dim=-1)  # [N, H W, H W / 4]; not fused: penalties go through
        found = (value @ attention.transpose(1, 2)).unflatten(2, x.shape[2:])
        return x + self.gain * self.out(found)


def attending(blocks: list[nn.Module], after: int | None, maps: list[int]) -> nn.Sequential:
    """``blocks`` in a row, the one numbered ``after`` (from 1), of so many ``maps``, with attention behind it.

    Raises:
        ValueError: there is no such block.
    """
    if after is not None:
        if not 1 <= after <= len(blocks):
            raise ValueError(f"attention stands after one of the {len(blocks)} blocks, 1 to {len(blocks)}, got {after}")
        blocks = [*blocks]
        blocks[after - 1] = nn.Sequential(blocks[after - 1], SelfAttention(maps[after - 1]))
    return nn.Sequential(*blocks)

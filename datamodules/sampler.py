"""The order in which training images come: a function of (seed, epoch, position), without end.

Position p counts images over all ranks since the first step; p // n is the epoch and p % n the place in that
epoch's permutation. A stream started at p is the tail of the stream started at 0: resume needs one integer.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from datamodules.functional.keys import key


class IndexSampler:
    """Endless batches of indices into ``n`` images. Of W ranks, rank r takes the positions p with p % W == r.

    Together the ranks' batches of B hold what one rank's batch of W * B would. Epochs run into each other: no
    batch is ragged, and each epoch shows every image once.
    """

    def __init__(self, n: int, batch_size: int, seed: int, rank: int = 0, world: int = 1) -> None:
        self.n = n
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.world = world

    def order(self, epoch: int) -> Tensor:
        """The permutation of all ``n`` indices that ``epoch`` follows: int64 [n]."""
        return torch.randperm(self.n, generator=torch.Generator().manual_seed(key(self.seed, epoch)))

    def shares(self, start: int) -> Iterator[Tensor]:
        """This rank's part of each epoch's order, from position ``start`` on: int64 [about n / world]."""
        position = start + (self.rank - start) % self.world
        while True:
            epoch, offset = divmod(position, self.n)
            share = self.order(epoch)[offset :: self.world]
            yield share
            position += self.world * len(share)

    def batches(self, start: int = 0) -> Iterator[Tensor]:
        """Batches of indices, int64 [batch_size] each, from position ``start`` on."""
        rest = torch.empty(0, dtype=torch.int64)
        for share in self.shares(start):
            rest = torch.cat([rest, share])
            whole = len(rest) // self.batch_size * self.batch_size
            yield from rest[:whole].view(-1, self.batch_size)
            rest = rest[whole:]

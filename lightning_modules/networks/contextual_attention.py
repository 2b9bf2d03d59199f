"""Contextual attention (Yu et al. 2018, "Generative image inpainting with contextual attention", section 4.1).

Every place of the maps is rebuilt from patches of the known part, by how alike the patches around both are:

    s(i, j) = cosine of the 3x3 patches around i and j        (eq. 1)
    s'(i, j) = sum of s(i + d, j + d) over d in -1, 0, 1      (along columns, then along rows)
    weights(i, .) = softmax over known j of 10 s'(i, j)

The sum is attention propagation. Equation 2 takes it of the softmax's weights; the released code takes it, as is done
here, of what goes into the softmax.
Patches are compared at half the maps' resolution and pasted at the whole, half a cell around each; where pasted ones
overlap they are averaged. A patch is known if the hole touches nothing of it. One rule for all holes: the answer is the
mean of what known patches say, and 0 where an image has none; without a hole all patches are known, and every place is
rebuilt, known ones too.
Deviations: the likeness of patches that are not known counts nothing in that sum, and beyond the edge there is nothing:
no row goes on in the next one; what a patch holds of the outside of the image, or of the hole, is not part of the
average.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import fold, max_pool2d, normalize, pad, unfold

from lightning_modules.networks.spectral import full_precision

EPSILON = 1e-4  # least length that a patch is divided by


class ContextualAttention(nn.Module):
    """Maps rebuilt from their known patches; without weights of its own, in full precision whatever the rest is.

    Args:
        kernel: odd side of the patches that are compared, in places of the coarse grid.
        rate: of how many places of the maps, along each side, one is a place of the coarse grid.
        scale: of the likeness before the softmax.
        propagation: how many neighbours along a line, itself one of them, are to be alike too; 1 asks none.

    Raises:
        ValueError: a kernel or propagation that is not odd, a rate or scale that is not above 0; in ``forward``, sides
            that are no multiples of the rate.
    """

    def __init__(self, kernel: int = 3, rate: int = 2, scale: float = 10.0, propagation: int = 3) -> None:
        super().__init__()
        for name, value in (("kernel", kernel), ("propagation", propagation)):
            if value < 1 or value % 2 == 0:
                raise ValueError(f"{name} is {value}: give an odd number of places, such as 3")
        if rate < 1 or scale <= 0:
            raise ValueError(f"rate is {rate} and scale {scale}: give a rate of 1 or more and a scale above 0")
        self.kernel, self.rate, self.scale, self.propagation = kernel, rate, scale, propagation

    def forward(self, x: Tensor, hole: Tensor) -> Tensor:
        """``x`` [N, C, H, W] and ``hole`` (bool [N, 1, H, W], True where nothing is known) to [N, C, H, W]."""
        H, W = x.shape[2:]
        if H % self.rate or W % self.rate:
            raise ValueError(f"contextual attention at rate {self.rate} takes maps of its multiples, not of {H} x {W}")
        with full_precision(x.device):
            return self.pasted(x.float(), hole, self.weights(x.float(), hole)).to(x.dtype)

    def weights(self, x: Tensor, hole: Tensor) -> Tensor:
        """Of each place of the coarse grid, row by row, on each: [N, h w, h w]; a row sums to 1, or to 0 if nothing is
        known. Shapes are those of ``forward``."""
        near, around = x[:, :, :: self.rate, :: self.rate], self.kernel // 2
        missing = max_pool2d(hole.to(x.dtype), self.rate)
        known = max_pool2d(missing, self.kernel, 1, around).flatten(1)[:, None] == 0  # [N, 1, h w]
        patches = normalize(unfold(near, self.kernel, padding=around), dim=1, eps=EPSILON)
        likeness = (patches.mT @ patches) * known
        h, w = near.shape[2:]
        likeness = propagated(likeness.view(-1, h, w, h, w), self.propagation).view_as(likeness)
        least = torch.finfo(x.dtype).min
        return (self.scale * likeness).masked_fill(~known, least).softmax(2) * known

    def pasted(self, x: Tensor, hole: Tensor, weights: Tensor) -> Tensor:
        """The mean patches of ``x`` at every place, overlaps averaged: [N, C, H, W]."""
        margin = (self.rate + 1) // 2
        side = self.rate + 2 * margin
        source = torch.cat([x.masked_fill(hole, 0), (~hole).to(x.dtype)], 1)  # the last one counts what is averaged
        patches = unfold(source, side, padding=margin, stride=self.rate)
        total = fold(patches @ weights.mT, x.shape[2:], side, padding=margin, stride=self.rate)
        return total[:, :-1] / total[:, -1:].clamp(min=1)  # a known patch's own cell alone counts 1


def propagated(likeness: Tensor, count: int) -> Tensor:
    """Propagation: ``likeness`` [N, h, w, h, w] summed over ``count`` steps that both places take along a line."""
    (h, w), reach = likeness.shape[1:3], count // 2
    padded = pad(likeness, (reach, reach, 0, 0, reach, reach))
    likeness = torch.stack([padded[:, :, d : d + w, :, d : d + w] for d in range(count)]).sum(0)
    padded = pad(likeness, (0, 0, reach, reach, 0, 0, reach, reach))
    return torch.stack([padded[:, d : d + h, :, d : d + h] for d in range(count)]).sum(0)

"""The Laplacian-pyramid loss Lap1 (Bojanowski et al. 2018, section 2; Ling and Okada 2006).

    Lap1(x, x') = sum_j 2^(2j) |L_j(x) - L_j(x')|_1

L_j is the j-th level of the pyramid of Burt and Adelson (1983): what is lost when an image is blurred, halved and
enlarged again; the last level is what remains. Here divided by the number of values of x, so that each level counts by
the mean of its magnitudes, as 2^(2j) makes up for level j's fewer pixels. The pyramid is linear, so that of the
difference is taken.
"""

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from datamodules.functional.constants import constant
from lightning_modules.losses.reconstruction import ReconstructionLoss

BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)


def blur(x: Tensor) -> Tensor:
    """``x`` [N, C, H, W] under the 5x5 binomial filter, continued by reflection."""
    taps = constant(BINOMIAL, x.device, x.dtype)
    x = pad(x.flatten(0, 1)[:, None], (2, 2, 2, 2), mode="reflect")
    return conv2d(conv2d(x, taps.view(1, 1, 5, 1)), taps.view(1, 1, 1, 5))


def enlarge(x: Tensor) -> Tensor:
    """``x`` [N, C, H, W] at twice the sides: zeros between its pixels, blurred."""
    N, C, H, W = x.shape
    apart = pad(x[:, :, :, None, :, None], (0, 1, 0, 0, 0, 1)).reshape(N, C, 2 * H, 2 * W)
    return 4 * blur(apart)


def laplacian_pyramid(x: Tensor, levels: int) -> list[Tensor]:
    """``levels`` differences and the rest of ``x`` [N, C, H, W]: [N C, 1, H / 2^j, W / 2^j] each.

    Raises:
        ValueError: the sides are no multiple of 2^levels, or the rest were below 3 px.
    """
    if any(side % 2**levels or side // 2**levels < 3 for side in x.shape[2:]):
        raise ValueError(f"{tuple(x.shape[2:])} px cannot be halved {levels} times with 3 px left: lower levels")
    pyramid = []
    for _ in range(levels):
        small = blur(x)[:, :, ::2, ::2]
        large = enlarge(small)
        pyramid.append(x.reshape(large.shape) - large)
        x = small
    return [*pyramid, x.reshape(-1, 1, *x.shape[2:])]


class LaplacianL1(ReconstructionLoss):
    """Mean magnitude of each level of the difference's pyramid, summed over levels.

    Args:
        weight: of the term.
        levels: times that the images are halved.
    """

    name = "lap1"

    def __init__(self, weight: float = 1.0, levels: int = 3) -> None:
        super().__init__(weight)
        if levels < 1:
            raise ValueError(f"LaplacianL1: levels must be 1 or more, got {levels}")
        self.levels = levels

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """weight * sum over levels of mean |L_j(prediction - target)|, for images [N, C, H, W]."""
        pyramid = laplacian_pyramid(prediction - target, self.levels)
        return self.weight * torch.stack([level.abs().mean() for level in pyramid]).sum()

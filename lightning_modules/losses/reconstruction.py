"""Losses between a prediction and its target, [N, C, H, W] or any equal shapes; each returns a scalar."""

from abc import abstractmethod

import torch
from torch import Tensor
from torch.nn.functional import conv2d, l1_loss, mse_loss

from datamodules.functional.constants import constant
from lightning_modules.losses.terms import WeightedTerm


class ReconstructionLoss(WeightedTerm):
    """A term on a prediction and its target."""

    @abstractmethod
    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The term, a scalar, weighted."""


class L1(ReconstructionLoss):
    """Mean absolute error."""

    name = "l1"

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """weight * mean |prediction - target|."""
        return self.weight * l1_loss(prediction, target)


class MSE(ReconstructionLoss):
    """Mean squared error."""

    name = "mse"

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """weight * mean (prediction - target)^2."""
        return self.weight * mse_loss(prediction, target)


class Charbonnier(ReconstructionLoss):
    """A smooth absolute error (Charbonnier et al. 1994; for images Lai et al. 2017, LapSRN, eq. 2).

    Args:
        weight: of the term.
        epsilon: below it errors count by their square.
    """

    name = "charbonnier"

    def __init__(self, weight: float = 1.0, epsilon: float = 1e-3) -> None:
        super().__init__(weight)
        if epsilon <= 0:
            raise ValueError(f"Charbonnier's epsilon is {epsilon}: give a number above 0")
        self.epsilon = epsilon

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """weight * mean sqrt((prediction - target)^2 + epsilon^2)."""
        return self.weight * ((prediction - target).square() + self.epsilon**2).sqrt().mean()


class TotalVariation(ReconstructionLoss):
    """How much neighbouring pixels of the prediction differ (Rudin et al. 1992, anisotropic), whatever the target."""

    name = "tv"

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """weight * (mean |difference to the pixel below| + mean |difference to the one on the right|)."""
        down = (prediction[..., 1:, :] - prediction[..., :-1, :]).abs().mean()
        right = (prediction[..., 1:] - prediction[..., :-1]).abs().mean()
        return self.weight * (down + right)


class SSIM(ReconstructionLoss):
    """1 - SSIM (Wang et al. 2004, eq. 13; as a loss Zhao et al. 2017) of images [N, C, H, W] in [0, 1].

    Args:
        weight: of the term.
        side: of the Gaussian window, whose deviation is 1.5 pixels; where it fits, no padding.
    """

    name = "ssim"

    def __init__(self, weight: float = 1.0, side: int = 11) -> None:
        super().__init__(weight)
        if side < 1 or side % 2 == 0:
            raise ValueError(f"SSIM's window has a side of {side}: give an odd number")
        line = torch.exp(-((torch.arange(side) - side // 2) ** 2) / (2 * 1.5**2))
        self.window = tuple((torch.outer(line, line) / line.sum() ** 2).flatten().tolist())
        self.side = side

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """weight * (1 - mean SSIM), in fp32: variances are small differences."""
        x, y = (image.float().flatten(0, 1)[:, None] for image in (prediction, target))
        maps = torch.cat([x, y, x * x, y * y, x * y])
        with torch.autocast(maps.device.type, enabled=False):
            window = constant(self.window, maps.device, maps.dtype).view(1, 1, self.side, self.side)
            mx, my, xx, yy, xy = conv2d(maps, window).chunk(5)
        luminance = (2 * mx * my + 0.01**2) / (mx * mx + my * my + 0.01**2)
        structure = (2 * (xy - mx * my) + 0.03**2) / (xx - mx * mx + yy - my * my + 0.03**2)
        return self.weight * (1 - (luminance * structure).mean())

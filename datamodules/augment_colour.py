"""Augmentations of values rather than places: colour jitter and dequantisation."""

import torch
from torch import Tensor

from datamodules.augment import Augmentation
from datamodules.functional.colour import GREY
from datamodules.functional.quantise import ValueRange


class ColourJitter(Augmentation):
    """Change each image's brightness, contrast, saturation and hue, in this order, as torchvision's functions do.

    torchvision draws the order, too. Each step clamps to ``value_range``. Gray images have neither saturation
    nor hue. The defaults are MoCo v2's (Chen et al. 2020).

    Args:
        brightness: multiplies the values, counted from black, by a factor uniform in [1 - b, 1 + b].
        contrast: multiplies the distance from the image's mean luma by such a factor.
        saturation: multiplies the distance from each pixel's luma by such a factor.
        hue: turns the hue by a share of the circle uniform in [-hue, hue], at most 0.5.
        value_range: of the images.
    """

    def __init__(
        self,
        brightness: float = 0.4,
        contrast: float = 0.4,
        saturation: float = 0.4,
        hue: float = 0.1,
        value_range: ValueRange = (-1.0, 1.0),
    ) -> None:
        super().__init__()
        if min(brightness, contrast, saturation) < 0:
            raise ValueError(
                f"ColourJitter's brightness, contrast and saturation are {brightness}, {contrast} and {saturation}:"
                " give 0 or more."
            )
        if not 0 <= hue <= 0.5:
            raise ValueError(f"ColourJitter's hue is {hue}: give 0 to 0.5.")
        if value_range[0] >= value_range[1]:
            raise ValueError(f"ColourJitter's value_range is {value_range}: give black first, then white above it.")
        self.strengths = (brightness, contrast, saturation)
        self.hue = hue
        self.value_range = value_range

    def forward(self, x: Tensor) -> Tensor:
        """Change ``x`` [N, C, H, W], C 1 or 3. Raises ValueError for another C."""
        if x.shape[1] not in (1, 3):
            raise ValueError(f"ColourJitter changes gray and RGB images, and these have {x.shape[1]} channels.")
        low, high = self.value_range
        draws = torch.rand(4, len(x), 1, 1, 1, device=x.device)
        brightness, contrast, saturation = (_factor(*pair) for pair in zip(self.strengths, draws, strict=False))
        x = adjust_brightness((x - low) / (high - low), brightness)
        x = adjust_contrast(x, contrast)
        if x.shape[1] == 3:
            x = adjust_saturation(x, saturation)
            x = adjust_hue(x, (2 * draws[3] - 1) * self.hue)
        return x * (high - low) + low


def adjust_brightness(x: Tensor, factor: Tensor) -> Tensor:
    """Brighten ``x`` [N, C, H, W] in [0, 1] by ``factor`` [N, 1, 1, 1]."""
    return (x * factor).clamp(0, 1)


def adjust_contrast(x: Tensor, factor: Tensor) -> Tensor:
    """Draw ``x`` [N, 1 or 3, H, W] in [0, 1] away from its mean luma by ``factor`` [N, 1, 1, 1]."""
    grey = luma(x) if x.shape[1] == 3 else x
    return _away_from(grey.mean(dim=(1, 2, 3), keepdim=True), x, factor)


def adjust_saturation(x: Tensor, factor: Tensor) -> Tensor:
    """Draw ``x`` [N, 3, H, W] in [0, 1] away from its luma by ``factor`` [N, 1, 1, 1]."""
    return _away_from(luma(x), x, factor)


def adjust_hue(x: Tensor, turn: Tensor) -> Tensor:
    """Turn the hue of ``x`` [N, 3, H, W] in [0, 1] by ``turn`` [N, 1, 1, 1] of the circle, at equal S and V of HSV."""
    value = x.amax(1, keepdim=True)
    chroma = value - x.amin(1, keepdim=True)
    hue = _hue(x, value, chroma) + 6 * turn
    # each channel falls from V to V - chroma and rises again along the six sectors, at its own place
    sector = (hue + torch.arange(5, 0, -2, device=x.device).view(1, 3, 1, 1)) % 6
    return value - chroma * torch.minimum(sector, 4 - sector).clamp(0, 1)


def luma(x: Tensor) -> Tensor:
    """The luma of RGB ``x`` [N, 3, H, W]: [N, 1, H, W]."""
    red, green, blue = x.split(1, dim=1)
    return GREY[0] * red + GREY[1] * green + GREY[2] * blue


class Dequantise(Augmentation):
    """Add uniform noise to 8-bit images in [-1, 1], so that their values fill the range without gaps.

    Level v becomes v / 128 - 1 + U[0, 1/128): the official SNGAN's and WGAN-GP's form, in [-1, 1).

    Args:
        squeeze: with False, v / 127.5 - 1 + U[0, 1/128), as pytorch-gan-collections does it: up to 1 + 1/128.
    """

    def __init__(self, squeeze: bool = True) -> None:
        super().__init__()
        self.squeeze = squeeze

    def forward(self, x: Tensor) -> Tensor:
        """Add noise to ``x`` [N, C, H, W]."""
        levels = (x + 1) * (255 / 256) - 1 if self.squeeze else x
        return levels + torch.rand_like(x) / 128


def _factor(strength: float, draw: Tensor) -> Tensor:
    low = max(0.0, 1 - strength)
    return low + (1 + strength - low) * draw


def _away_from(centre: Tensor, x: Tensor, factor: Tensor) -> Tensor:
    return (centre + (x - centre) * factor).clamp(0, 1)


def _hue(x: Tensor, value: Tensor, chroma: Tensor) -> Tensor:
    """The hue in sectors, [0, 6); 0 where there is no colour."""
    red, green, blue = x.split(1, dim=1)
    spread = torch.where(chroma == 0, 1, chroma)
    from_red = (green - blue) / spread % 6
    from_green = (blue - red) / spread + 2
    from_blue = (red - green) / spread + 4
    return torch.where(value == red, from_red, torch.where(value == green, from_green, from_blue))

"""PASSRnet: super-resolution of the left view of a rectified pair by parallax attention.

Wang et al. 2019, "Learning parallax attention for stereo image super-resolution", figure 2 and table 1: 1.37 M
parameters at x2, 1.42 M at x4. Convolutions have no biases; LeakyReLU 0.1; Xavier's initialisation.

Deviations: the validity mask is cleaned by max pooling (``matching.py``). Three options, off by default, help a short
training: ``add_bicubic`` adds the left view, enlarged, to what the network gives, as iPASSR (Wang et al. 2021) has it;
``temperature`` compares features by cosines; ``add_samples`` says where between the left view's pixels the right view's
lie, which attention blends.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from datamodules.functional.resize import bicubic_floats
from lightning_modules.networks.base import Alignment, StereoUpscaler
from lightning_modules.networks.matching import (
    THRESHOLD,
    check_temperature,
    comparable,
    peak_rows,
    received_rows,
    row_attention,
    shift_rows,
    validity,
    warp_rows,
)
from lightning_modules.networks.samples import Given, refined, scattered

SLOPE = 0.1
SMALL = 0.1  # gain of the last layer where it gives what is missing from the bicubic image: little


def conv(inputs: int, outputs: int, side: int = 3, dilation: int = 1) -> nn.Conv2d:
    """A convolution that keeps the size, without a bias, by Xavier's initialisation."""
    layer = nn.Conv2d(inputs, outputs, side, padding=side // 2 * dilation, dilation=dilation, bias=False)
    nn.init.xavier_normal_(layer.weight)
    return layer


class ResidualBlock(nn.Module):
    """x + conv(LeakyReLU(conv(x))), [N, width, h, w]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(conv(width, width), nn.LeakyReLU(SLOPE), conv(width, width))

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape."""
        return x + self.layers(x)


class PyramidRound(nn.Module):
    """Convolutions of several ``dilations`` side by side, fused: keeps the shape [N, width, h, w]."""

    def __init__(self, width: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(conv(width, width, dilation=dilation) for dilation in dilations)
        self.fuse = conv(width * len(dilations), width, side=1)

    def forward(self, x: Tensor) -> Tensor:
        """Look at ``x`` in all ways."""
        return self.fuse(torch.cat([leaky_relu(layer(x), SLOPE) for layer in self.layers], dim=1))


class ResidualPyramid(nn.Module):
    """Residual atrous spatial pyramid pooling (section 3.1): x and the sum of rounds, each a group of dilations.

    Args:
        width: feature maps.
        dilations: of the convolutions that look at the same maps side by side.
        rounds: such groups, one after the other.
    """

    def __init__(self, width: int, dilations: Sequence[int], rounds: int) -> None:
        super().__init__()
        self.rounds = nn.ModuleList(PyramidRound(width, dilations) for _ in range(rounds))

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape [N, width, h, w]."""
        total = found = x
        for layer in self.rounds:
            found = layer(found)
            total = total + found
        return total


class ParallaxAttention(nn.Module):
    """Section 3.2: the right view's features brought to the left view, and joined to its own.

    Args:
        width: feature maps.
        threshold: received attention above which a pixel counts as seen in both views.
        temperature: None compares a query with a key by their product, as the paper does; else one projection serves
            both views, and cosines over this temperature are compared: see ``matching.comparable``.
    """

    def __init__(self, width: int, threshold: float = THRESHOLD, temperature: float | None = None) -> None:
        super().__init__()
        if temperature is not None:
            check_temperature(temperature)
        self.threshold, self.temperature = threshold, temperature
        self.block = ResidualBlock(width)
        self.query, self.value = conv(width, width, side=1), conv(width, width, side=1)
        self.key = conv(width, width, side=1) if temperature is None else None
        self.fuse = conv(2 * width + 1, width, side=1)

    def forward(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features [N, width, h, w] of both views to those of the left one, and the attention [N, h, w, w] there
        from left to right and from right to left."""
        looking_left, looking_right = self.block(left), self.block(right)
        to_right, to_left = self.attend(looking_left, looking_right), self.attend(looking_right, looking_left)
        valid = validity(received_rows(to_left), self.threshold)
        warped = warp_rows(to_right, self.value(right))
        return self.fuse(torch.cat([warped, left, valid], dim=1)), to_right, to_left

    def attend(self, here: Tensor, there: Tensor) -> Tensor:
        """Attention [N, h, w, w] from features ``here`` to ``there``, both [N, width, h, w]."""
        if self.key is not None:
            return row_attention(self.query(here), self.key(there))
        query, key = (comparable(self.query(features), over=[3]) for features in (here, there))
        with torch.autocast(query.device.type, enabled=False):  # bf16 tells neighbours' cosines not apart
            return row_attention(query / cast(float, self.temperature), key)

    def explain(self, left: Tensor, right: Tensor, to_right: Tensor, to_left: Tensor) -> list[Alignment]:
        """The attention as alignments of the images ``left`` and ``right`` [N, C, h, w]."""
        sides = ((left, right, to_right, to_left), (right, left, to_left, to_right))
        return [
            Alignment(
                target,
                warp_rows(attention, other),
                validity(received_rows(back), self.threshold),
                attention,
                shift_rows(attention.detach()),
            )
            for target, other, attention, back in sides
        ]


class PASSRnet(StereoUpscaler):
    """(left, right) -> left, ``scale`` times as large.

    Args:
        scale: the one that it knows.
        channels: of the images.
        width: feature maps.
        pyramids: residual pyramids before the attention, each between two residual blocks.
        dilations: of a pyramid.
        rounds: of a pyramid.
        blocks: residual blocks after the attention.
        threshold: see ``ParallaxAttention``.
        temperature: see ``ParallaxAttention``.
        add_bicubic: add the left view, enlarged by MATLAB's bicubic, to what the network gives.
        add_samples: give the fusion and the image the right view's own samples too, laid down where they were found on
            the large grid: see ``samples.py``.
    """

    def __init__(
        self,
        scale: int = 4,
        channels: int = 3,
        width: int = 64,
        pyramids: int = 2,
        dilations: Sequence[int] = (1, 4, 8),
        rounds: int = 3,
        blocks: int = 4,
        threshold: float = THRESHOLD,
        temperature: float | None = None,
        add_bicubic: bool = False,
        add_samples: bool = False,
    ) -> None:
        super().__init__()
        self.scales, self.add_bicubic = (scale,), add_bicubic
        found: list[nn.Module] = [conv(channels, width), nn.LeakyReLU(SLOPE), ResidualBlock(width)]
        for _ in range(pyramids):
            found += [ResidualPyramid(width, dilations, rounds), ResidualBlock(width)]
        self.features = nn.Sequential(*found)
        self.attention = ParallaxAttention(width, threshold, temperature)
        self.samples = conv((channels + 1) * scale**2, width, side=1) if add_samples else None
        self.given = Given(1, channels, scale) if add_samples else None
        self.upscale = nn.Sequential(
            *(ResidualBlock(width) for _ in range(blocks)),
            conv(width, width * scale**2, side=1),
            nn.PixelShuffle(scale),
            conv(width, channels),
            last := conv(channels, channels),
        )
        if add_bicubic:
            nn.init.xavier_normal_(last.weight, SMALL)

    def explain(self, y: Tensor, scale: int) -> tuple[Tensor, list[Alignment]]:
        """The left view of ``y`` [N, 2, C, h, w] enlarged, and how left was found in right and right in left."""
        self.check(y, scale)
        left, right = self.features(y.flatten(0, 1)).unflatten(0, y.shape[:2]).unbind(1)
        found, to_right, to_left = self.attention(left, right)
        given: Tensor | float = 0.0
        if self.samples is not None and self.given is not None:
            seen = validity(received_rows(to_right), self.attention.threshold)
            shift = refined(y[:, 0], y[:, 1], peak_rows(to_left), in_rows=True)
            laid = scattered(y[:, 0], y[:, 1], shift, seen, scale)
            found, given = found + self.samples(laid), self.given([laid])
        image = self.upscale(found) + given
        if self.add_bicubic:
            image = image + bicubic_floats(y[:, 0], scale)
        return image, self.attention.explain(y[:, 0], y[:, 1], to_right, to_left)

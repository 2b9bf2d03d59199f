"""SinGAN's players (Shaham et al. 2019, sections 2.1 and 2.2): a pyramid of small convolutional Gs and Ds, one a scale.

    x_0 = G_0(z_0),    x_n = up(x_{n-1}) + psi_n(sigma_n z_n + up(x_{n-1}))

psi_n and D_n are five 3x3 convolutions, so that both see patches of 11 px at every scale; the sides of the scales grow
by one factor from the coarsest on. The border is padded once, before the first convolution. What the scales below made
is given as it is: they are trained no more, and normalise by what they have averaged.
"""

from abc import abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from math import ceil, log
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from datamodules.functional.resample import resampled
from lightning_modules.networks.base import Pyramid, PyramidDiscriminator, PyramidGenerator
from lightning_modules.networks.init import DCGAN, Initialiser

SLOPE = 0.2
Sizes = list[tuple[int, int]]


def pyramid(H: int, W: int, coarsest: int = 25, factor: float = 0.75) -> Sizes:
    """(height, width) of each scale, the coarsest first, whose shorter side is ``coarsest``; the last is H x W.

    The factor is the one nearest to ``factor``, from above, that leads from the one to the other in whole steps.

    Raises:
        ValueError: the image is smaller than that, or there is no such factor.
    """
    if not 0 < factor < 1 or coarsest < 1:
        raise ValueError(f"a pyramid's factor is {factor}, its coarsest side {coarsest}: give 0 to 1, and 1 px or more")
    if min(H, W) < coarsest:
        raise ValueError(f"{W} x {H} px is smaller than the coarsest scale of {coarsest}: give a larger image")
    steps = ceil(log(coarsest / min(H, W)) / log(factor) - 1e-9)
    r = (coarsest / min(H, W)) ** (1 / max(steps, 1))
    return [(round(H * r ** (steps - i)), round(W * r ** (steps - i))) for i in range(steps + 1)]


def convolutions(maps: Sequence[int]) -> nn.Sequential:
    """3x3 convolutions between so many maps, without padding; batch norm and LeakyReLU after all but the last."""
    layers: list[nn.Module] = []
    for before, after in pairwise(maps[:-1]):
        layers += [nn.Conv2d(before, after, 3), nn.BatchNorm2d(after), nn.LeakyReLU(SLOPE, inplace=True)]
    return nn.Sequential(*layers, nn.Conv2d(maps[-2], maps[-1], 3))


class Scales(Pyramid):
    """What both players have: one network of convolutions a scale.

    Args:
        size: (height, width) of the image.
        coarsest: shorter side of the first scale in px.
        factor: between the sides of two scales, about.
        width: maps of the first scales.
        doubled_every: so many scales; the paper's 4.
        layers: convolutions of each.
        init: of their weights; DCGAN's unless given.

    Attributes:
        scales: they.
        made: maps that each makes.

    Raises:
        ValueError: an image smaller than the coarsest scale, or fewer than two layers.
    """

    made: ClassVar[int]

    def __init__(
        self,
        size: tuple[int, int],
        coarsest: int = 25,
        factor: float = 0.75,
        width: int = 32,
        doubled_every: int = 4,
        layers: int = 5,
        init: Initialiser | None = None,
    ) -> None:
        super().__init__()
        if layers < 2 or doubled_every < 1:
            raise ValueError(f"layers is {layers} and doubled_every {doubled_every}: give 2 or more, and 1 or more")
        self.sizes, self.layers = pyramid(*size, coarsest, factor), layers
        widths = [width * 2 ** (i // doubled_every) for i in range(len(self.sizes))]
        self.scales = nn.ModuleList(convolutions([3, *[maps] * (layers - 1), self.made]) for maps in widths)
        self.scales.apply(init or DCGAN())
        self.complete(*size)
        self.enter(0)

    @abstractmethod
    def complete(self, H: int, W: int) -> None:
        """Add what this player has beside its scales."""

    @torch.no_grad()
    def enter(self, scale: int, inherit: bool = False) -> None:
        """Go to ``scale``; where asked to, from the weights of the one below, if they are of the same shapes."""
        self.current = scale
        if inherit and scale:
            own, below = (self.scales[i].state_dict() for i in (scale, scale - 1))
            if all(own[name].shape == below[name].shape for name in own):
                self.scales[scale].load_state_dict(below)
        self.train(self.training)

    def train(self, mode: bool = True) -> "Scales":
        """As torch's; the finished scales stay in evaluation."""
        super().train(mode)
        for network in list(self.scales)[: self.current]:
            network.eval()
        return self


class SinGANGenerator(Scales, PyramidGenerator):
    """G of one image in [-1, 1]. Its z holds a map of noise for each scale, one after the other."""

    made = 3

    def complete(self, H: int, W: int) -> None:
        """Noise of the scales."""
        self.out_shape, self.z_dim = (3, H, W), sum(3 * h * w for h, w in self.sizes)
        self.register_buffer("noise_weights", torch.eye(1, len(self.sizes))[0])  # sigma_n; 1 at the coarsest
        self.register_buffer("fixed", torch.randn(1, 3, *self.sizes[0]))  # z* (section 2.2)

    def image(self, maps: Sequence[Tensor], start: int = 0, below: Tensor | None = None) -> Tensor:
        """As the base: of the scale that learns with a gradient, where one is asked for."""
        x = torch.zeros_like(maps[0]) if below is None else below
        for scale, z in enumerate(maps, start):
            learns = torch.is_grad_enabled() and scale == self.current
            with torch.set_grad_enabled(learns):
                x = self.finer(resampled(x, (z.shape[2], z.shape[3])), scale, z)
        return x

    def finer(self, x: Tensor, scale: int, z: Tensor | None = None) -> Tensor:
        """As the base; the coarsest scale adds to nothing."""
        given = x if z is None else x + self.noise_weights[scale] * z
        change = self.scales[scale](pad(given, (self.layers,) * 4))
        return (x + change.tanh()) if scale else change.tanh()

    def maps(self, z: Tensor) -> list[Tensor]:
        """``z`` [N, z_dim] as maps, as far as G is trained."""
        lengths = [3 * h * w for h, w in self.sizes]
        parts = zip(z.split(lengths, 1), self.sizes, strict=True)
        return [part.reshape(len(z), 3, *size) for part, size in parts][: self.current + 1]

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """``z`` [N, z_dim] to images [N, 3, H, W]; enlarged where not all scales are trained yet."""
        H, W = self.out_shape[1:]
        return resampled(self.image(self.maps(z)), (H, W)).clamp(-1, 1)


class SinGANDiscriminator(Scales, PyramidDiscriminator):
    """D of one image: a logit for each patch that its convolutions see."""

    made = 1

    def complete(self, H: int, W: int) -> None:
        """Of what a base's D has, it has no blocks."""
        self.blocks = nn.Sequential()

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """``x`` [N, 3, h, w] of the current scale to logits [N, h - 2 layers, w - 2 layers]."""
        return self.verdict(self.features(x))

    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """What the current scale's last convolution judges of ``x``."""
        for layer in list(self.scales[self.current].children())[:-1]:
            x = layer(x)
        return x

    def verdict(self, features: Tensor, y: Tensor | None = None) -> Tensor:
        """The logits [N, h, w] of ``features``."""
        *_, last = self.scales[self.current].children()
        return last(features)[:, 0]

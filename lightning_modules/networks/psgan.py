"""PSGAN (Bergmann et al. 2017, "Learning texture manifolds with the periodic spatial GAN"): textures of any size.

Noise is a field and not a vector. Each of its places has local noise, drawn by itself; global noise, the same at all
places, which says what texture it is; and waves, whose numbers a small network reads off the global noise, at phases of
their own: what is periodic. SGAN (Jetchev et al. 2016) is the same without global noise and waves.

    z(l, m) = [local(l, m), global, sin(k_1 l + k_2 m + phase)]

Both networks are convolutions with kernels of 5 and strides of 2; a field of L x M places makes 32 (L - 1) + 1 pixels
down and 32 (M - 1) + 1 across, after five layers. Deviations: D gives logits; wave numbers begin spread over periods of
two places and more.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from lightning_modules.networks.base import Discriminator, TextureGenerator
from lightning_modules.networks.init import DCGAN
from lightning_modules.networks.latents import Uniform

KERNEL = 5


class Waves(nn.Module):
    """Plane waves whose numbers hang on the global noise.

    Args:
        count: waves.
        given: length of the global noise; with 0 the wave numbers are weights of their own.
        hidden: units between.
    """

    def __init__(self, count: int, given: int, hidden: int) -> None:
        super().__init__()
        self.given = given
        self.layers = nn.Sequential(nn.Linear(max(given, 1), hidden), nn.ReLU(), nn.Linear(hidden, 2 * count))
        last = self.layers[-1]
        assert isinstance(last, nn.Linear)
        nn.init.uniform_(last.bias, -math.pi / 2, math.pi / 2)

    def forward(self, x: Tensor, phase: Tensor, first: int, period: tuple[int, int] | None) -> Tensor:
        """The waves [N, count, L, M].

        Args:
            x: global noise [N, given, L, M].
            phase: [N, count, L, M].
            first: number of the field's first place, down and across.
            period: places after which the waves are to return; their numbers are then rounded to such as do.
        """
        N, _, L, M = x.shape
        known = x.permute(0, 2, 3, 1) if self.given else x.new_ones(N, L, M, 1)
        k = self.layers(known).permute(0, 3, 1, 2).unflatten(1, (2, -1))  # [N, 2, count, L, M]
        if period is not None:
            turn = 2 * math.pi / torch.tensor(period, device=k.device).view(1, 2, 1, 1, 1)
            k = turn * (k / turn).round()
        down = torch.arange(first, first + L, device=x.device, dtype=x.dtype)[:, None]
        across = torch.arange(first, first + M, device=x.device, dtype=x.dtype)
        return torch.sin(k[:, 0] * down + k[:, 1] * across + phase)


class PSGANGenerator(TextureGenerator):
    """A field of noise to a texture in [-1, 1].

    Args:
        side: places of a field along each axis, in training and in samples.
        local: channels of local noise.
        shared: channels of global noise; 0 for one texture.
        waves: how many; 0, with no global noise, is SGAN.
        hidden: units between the global noise and the wave numbers.
        widths: feature maps of each layer but the last, whose channels are the image's.
        channels: of the image.

    Raises:
        ValueError: settings that make no network.
    """

    def __init__(
        self,
        side: int = 6,
        local: int = 30,
        shared: int = 60,
        waves: int = 6,
        hidden: int = 50,
        widths: Sequence[int] = (512, 256, 128, 64),
        channels: int = 3,
    ) -> None:
        super().__init__()
        if min(side, local, hidden) < 1 or min(shared, waves) < 0 or not widths:
            raise ValueError(
                f"PSGANGenerator: a field has 1 place and channel of local noise or more, got {side} and {local}; "
                f"global noise and waves are 0 or more, got {shared} and {waves}; and there are widths"
            )
        self.local, self.shared, self.count = local, shared, waves
        self.z_dim, self.side, self.latent = local + shared + waves, side, Uniform()
        self.waves = Waves(waves, shared, hidden) if waves else None
        layers: list[nn.Module] = []
        ends = (self.z_dim, *widths, channels)
        for i, (before, after) in enumerate(pairwise(ends)):
            last = i == len(widths)
            layers.append(nn.ConvTranspose2d(before, after, KERNEL, 2, KERNEL // 2, bias=last))
            layers += [nn.Tanh()] if last else [nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers)
        self.factor, self.margin = 2 ** (len(widths) + 1), 3
        S = self.factor * (side - 1) + 1
        self.out_shape = (channels, S, S)
        self.layers.apply(DCGAN())

    def sample_z(self, n: int) -> Tensor:
        """Fields [n, z_dim, side, side]."""
        return self.field(n, self.side, self.side)

    def field(self, n: int, L: int, M: int) -> Tensor:
        """Noise for ``n`` textures of L x M places, [n, z_dim, L, M]: local, global in U(-1, 1), and phases."""
        device = next(self.parameters()).device
        local = self.latent.draw(n * L * M, self.local, device).view(n, L, M, -1).permute(0, 3, 1, 2)
        same = self.latent.draw(n, self.shared + self.count, device)[:, :, None, None].expand(-1, -1, L, M)
        return torch.cat([local, same[:, : self.shared], math.pi * same[:, self.shared :]], dim=1)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """``z`` [N, z_dim, L, M] to textures [N, C, factor (L - 1) + 1, factor (M - 1) + 1]; ``y`` is not used."""
        return self.layers(self.seen(z))

    def seen(self, z: Tensor, first: int = 0, period: tuple[int, int] | None = None) -> Tensor:
        """What the convolutions are given of ``z``: phases become waves."""
        if self.waves is None:
            return z
        given, phase = z[:, self.local : self.local + self.shared], z[:, self.local + self.shared :]
        return torch.cat([z[:, : self.local + self.shared], self.waves(given, phase, first, period)], dim=1)

    def tile(self, z: Tensor) -> Tensor:
        """Textures of ``z`` [N, z_dim, L, M] that go on at their right and lower border as at the left and the upper
        one: [N, C, factor L, factor M].

        The field is wrapped round, its waves brought to its period, and what the border's zeros reach is cut off.
        """
        L, M = z.shape[2:]
        if min(L, M) < self.margin:
            raise ValueError(f"a texture that tiles has {self.margin} places or more along each axis, this {L} x {M}")
        wrapped = pad(z, (self.margin,) * 4, mode="circular")
        x = self.layers(self.seen(wrapped, first=-self.margin, period=(L, M)))
        cut = self.margin * self.factor
        return x[:, :, cut : cut + L * self.factor, cut : cut + M * self.factor]

    def blend(self, z: Tensor, other: Tensor, share: Tensor) -> Tensor:
        """``z`` with a ``share`` [L, M] of ``other``'s global noise at each place: between two textures."""
        given = slice(self.local, self.local + self.shared)
        mixed = torch.lerp(z[:, given], other[:, given], share.to(z))
        return torch.cat([z[:, : given.start], mixed, z[:, given.stop :]], dim=1)


class PSGANDiscriminator(Discriminator):
    """Textures to a logit for each place of a field, with LeakyReLU 0.2 and batch norm in all but the first layer.

    Args:
        widths: feature maps of each layer but the last.
        channels: of the image.
        batch_norm: normalise.
    """

    def __init__(self, widths: Sequence[int] = (64, 128, 256, 512), channels: int = 3, batch_norm: bool = True) -> None:
        super().__init__()
        blocks = []
        for i, (before, after) in enumerate(zip((channels, *widths), widths, strict=False)):
            norm = batch_norm and i > 0
            layers: list[nn.Module] = [nn.Conv2d(before, after, KERNEL, 2, KERNEL // 2, bias=not norm)]
            layers += [nn.BatchNorm2d(after)] if norm else []
            blocks.append(nn.Sequential(*layers, nn.LeakyReLU(0.2, inplace=True)))
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Conv2d(widths[-1], 1, KERNEL, 2, KERNEL // 2)
        self.apply(DCGAN())

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """``x`` [N, C, H, W] to logits [N, h, w]; ``y`` is not used."""
        return self.verdict(self.features(x))

    def verdict(self, features: Tensor, y: Tensor | None = None) -> Tensor:
        """The logits [N, h, w] of ``features``."""
        return self.head(features)[:, 0]

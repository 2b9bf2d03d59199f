"""The residual networks of SNGAN (Miyato et al. 2018, tables 4 to 6) and WGAN-GP (Gulrajani et al. 2017).

Widths, order of layers and initialisation are those of SNGAN's published code; its 48 px nets (STL-10) as mimicry has
them. WGAN-GP's at 32 px are the same with 128 maps in both players, mean pooling and no norm in the critic. SAGAN's
(Zhang et al. 2019) have spectral norm in both and ``attention`` after one block: of 16x16 in StudioGAN's at 32 px.
BigGAN's D (Brock et al. 2019, appendix B) is this D, ``wide`` and with orthogonal weights. StudioGAN's D has batch norm
where it has no spectral norm, and shortcuts behind a ReLU where it has.
Deviations: the shortcuts' 1x1 convolutions run before upsampling and after pooling. They commute with both, bias
included (nearest and bilinear weights sum to 1), and cost a quarter there.
"""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from lightning_modules.networks.attention import attending
from lightning_modules.networks.base import Discriminator, Generator
from lightning_modules.networks.init import Initialiser, Xavier
from lightning_modules.networks.latents import Gaussian, Latent
from lightning_modules.networks.spectral import initialise

POOLINGS = {"sum": torch.sum, "mean": torch.mean}


class Layout(NamedTuple):
    """Both networks of one resolution; feature maps in multiples of the width."""

    start: int  # side that G grows from
    G: tuple[int, ...]  # G's maps; its side doubles between two of them
    D: tuple[int, ...]  # what D's blocks put out
    halvings: int  # so many of D's blocks halve the side, the first ones
    G_width: int
    D_width: int
    head_bias: bool


LAYOUTS = {
    32: Layout(4, (1, 1, 1, 1), (1, 1, 1, 1), 2, G_width=256, D_width=128, head_bias=False),
    48: Layout(6, (8, 4, 2, 1), (1, 2, 4, 8, 16), 4, G_width=64, D_width=64, head_bias=True),
    64: Layout(4, (16, 8, 4, 2, 1), (1, 2, 4, 8, 16), 5, G_width=64, D_width=64, head_bias=True),
    128: Layout(4, (16, 16, 8, 4, 2, 1), (1, 2, 4, 8, 16, 16), 5, G_width=64, D_width=64, head_bias=True),
}


def layout(size: int) -> Layout:
    """The networks of images of ``size`` px."""
    if size not in LAYOUTS:
        raise ValueError(f"size must be 32, 48, 64 or 128, got {size}")
    return LAYOUTS[size]


class UpBlock(nn.Module):
    """[norm, ReLU, twice the side, conv 3x3, norm, ReLU, conv 3x3] beside [conv 1x1, twice the side].

    Args:
        inputs: feature maps of the input.
        outputs: feature maps of the output.
        up: doubles the side.
        norm: makes the norm of so many maps.
    """

    def __init__(
        self, inputs: int, outputs: int, up: nn.Module, norm: Callable[[int], nn.Module] = nn.BatchNorm2d
    ) -> None:
        super().__init__()
        self.norm_1, self.norm_2 = norm(inputs), norm(outputs)
        self.conv_1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv_2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1)
        self.up = up

    def forward(self, x: Tensor, *condition: Tensor) -> Tensor:
        """``x`` [N, inputs, H, W] to [N, outputs, 2 H, 2 W]; a ``condition`` goes to norms that take one."""
        h = self.conv_1(self.up(torch.relu(self.norm_1(x, *condition))))
        h = self.conv_2(torch.relu(self.norm_2(h, *condition)))
        return h + self.up(self.shortcut(x))


class DownBlock(nn.Module):
    """[ReLU, conv 3x3, ReLU, conv 3x3, mean of 2x2] beside [mean of 2x2, conv 1x1].

    Args:
        inputs: feature maps of the input.
        outputs: feature maps of the output.
        halve: halve the side; without it, and at equal maps, the shortcut is the input itself.
        first: the block that sees the image: no ReLU before its first convolution, which has all of its maps.
        wide: the first convolution has the output's maps, as in BigGAN, and not the input's.
        batch_norm: before each ReLU and before the shortcut's convolution (in the first block behind its mean).
        rectified_shortcut: the shortcut reads the input after its ReLU, as where that works in place.

    Raises:
        ValueError: a rectified shortcut with batch norm, behind which a ReLU in place leaves the input as it is.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        halve: bool,
        first: bool = False,
        wide: bool = False,
        batch_norm: bool = False,
        rectified_shortcut: bool = False,
    ) -> None:
        super().__init__()
        if batch_norm and rectified_shortcut:
            raise ValueError("rectified_shortcut: with batch_norm the shortcut's input meets no ReLU: omit one of them")
        hidden, convolved = outputs if first or wide else inputs, halve or inputs != outputs
        self.first, self.rectified_shortcut = first, rectified_shortcut
        self.norm_1 = nn.BatchNorm2d(inputs) if batch_norm and not first else nn.Identity()
        self.enter = nn.Identity() if first else nn.ReLU()  # not in place: the shortcut reads its input too
        self.conv_1 = nn.Conv2d(inputs, hidden, 3, padding=1)
        self.norm_2 = nn.BatchNorm2d(hidden) if batch_norm else nn.Identity()
        self.conv_2 = nn.Conv2d(hidden, outputs, 3, padding=1)
        self.pool = nn.AvgPool2d(2) if halve else nn.Identity()
        self.norm_0 = nn.BatchNorm2d(inputs) if batch_norm and convolved else nn.Identity()
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if convolved else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [N, inputs, H, W] to [N, outputs, H, W], or half of H and W."""
        entered = self.enter(self.norm_1(x))
        h = self.conv_2(torch.relu(self.norm_2(self.conv_1(entered))))
        aside = entered if self.rectified_shortcut else x
        aside = self.norm_0(self.pool(aside)) if self.first else self.pool(self.norm_0(aside))
        return self.pool(h) + self.shortcut(aside)


class ResidualXavier(Xavier):
    """As in SNGAN's code: gain 2^0.5 in the two convolutions of a residual block, 1 elsewhere; biases 0."""

    def __call__(self, module: nn.Module) -> None:
        """``apply`` comes to a block after its layers, and so draws those two again."""
        super().__call__(module)
        if isinstance(module, UpBlock | DownBlock):
            for convolution in (module.conv_1, module.conv_2):
                Xavier(2**0.5)(convolution)


class ResNetGenerator(Generator):
    """z -> linear -> residual blocks, each of twice the side -> norm, ReLU, 3x3 convolution -> tanh.

    Args:
        size: side of the image in px: 32, 48, 64 or 128.
        channels: of the image.
        z_dim: length of z.
        width: feature maps at the image's resolution; None for SNGAN's, 256 at 32 px and 64 above. WGAN-GP: 128.
        upsample: repeat pixels as the papers do, or interpolate as mimicry does.
        spectral_norm: normalise G's weights as D's.
        attention: number of the block, from 1, that self-attention follows; none in SNGAN.
        init: how to draw the weights; Xavier as in SNGAN's code unless given.
        latent: where z comes from; N(0, I) unless given.
    """

    def __init__(
        self,
        size: int = 32,
        channels: int = 3,
        z_dim: int = 128,
        width: int | None = None,
        upsample: Literal["nearest", "bilinear"] = "nearest",
        spectral_norm: bool = False,
        attention: int | None = None,
        init: Initialiser | None = None,
        latent: Latent | None = None,
    ) -> None:
        super().__init__()
        start, multiples = layout(size).start, layout(size).G
        maps = [(width or layout(size).G_width) * multiple for multiple in multiples]
        self.latent = latent or Gaussian()
        self.z_dim, self.out_shape, self.seed_shape = z_dim, (channels, size, size), (maps[0], start, start)
        self.linear = nn.Linear(z_dim, maps[0] * start**2)
        up = nn.Upsample(scale_factor=2, mode=upsample)
        self.blocks = attending([UpBlock(before, after, up) for before, after in pairwise(maps)], attention, maps[1:])
        self.head = nn.Sequential(
            nn.BatchNorm2d(maps[-1]),
            nn.ReLU(inplace=True),
            nn.Conv2d(maps[-1], channels, 3, padding=1),
            nn.Tanh(),
        )
        initialise(self, init or ResidualXavier(), spectral_norm)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """``z`` [N, z_dim] to images [N, channels, size, size] in [-1, 1]; ``y`` is not used."""
        return self.head(self.blocks(self.linear(z).unflatten(1, self.seed_shape)))


class ResNetDiscriminator(Discriminator):
    """Residual blocks -> ReLU -> pooled over all positions -> one logit.

    Args:
        size: side of the image in px: 32, 48, 64 or 128.
        channels: of the image.
        width: feature maps of the first block; None for SNGAN's, 128 at 32 px and 64 above.
        pooling: over the positions of the last maps: sum as in SNGAN, or mean as in WGAN-GP.
        spectral_norm: normalise every weight; to be off under a gradient penalty.
        head_bias: whether the logit has a bias; None for SNGAN's, which has none at 32 px alone. mimicry: always.
        attention: number of the block, from 1, that self-attention follows; none in SNGAN.
        wide: blocks widen in their first convolution, as in BigGAN, and not in their second.
        batch_norm: in every block, as StudioGAN's critics without spectral norm have; none in SNGAN and WGAN-GP.
        rectified_shortcut: shortcuts read their block's input after its ReLU, as in StudioGAN, where that is in place.
        init: how to draw the weights; Xavier as in SNGAN's code unless given.
    """

    def __init__(
        self,
        size: int = 32,
        channels: int = 3,
        width: int | None = None,
        pooling: Literal["sum", "mean"] = "sum",
        spectral_norm: bool = True,
        head_bias: bool | None = None,
        attention: int | None = None,
        wide: bool = False,
        batch_norm: bool = False,
        rectified_shortcut: bool = False,
        init: Initialiser | None = None,
    ) -> None:
        super().__init__()
        maps = [(width or layout(size).D_width) * multiple for multiple in layout(size).D]
        block = partial(DownBlock, wide=wide, batch_norm=batch_norm, rectified_shortcut=rectified_shortcut)
        blocks: list[nn.Module] = [block(channels, maps[0], halve=True, first=True)]
        for i, (before, after) in enumerate(pairwise(maps), start=1):
            blocks.append(block(before, after, halve=i < layout(size).halvings))
        self.blocks = attending(blocks, attention, maps)
        self.pool = POOLINGS[pooling]
        self.head = nn.Linear(maps[-1], 1, bias=layout(size).head_bias if head_bias is None else head_bias)
        initialise(self, init or ResidualXavier(), spectral_norm)

    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """What the head judges of ``x`` [N, channels, size, size]: [N, maps of the last block]."""
        return self.pool(torch.relu(self.blocks(x)), dim=(2, 3))

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """``x`` [N, channels, size, size] to logits [N]; ``y`` is not used."""
        return self.verdict(self.features(x))

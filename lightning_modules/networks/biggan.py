"""BigGAN's generator (Brock et al. 2019, "Large scale GAN training", appendix B, figure 15 and tables 4 and 7).

One embedding of the class for all blocks. z is cut into as many pieces as there are blocks and one more: the first
makes the 4x4 maps, each other one stands beside the embedding as the condition of its block's batch norms. Spectral
norm on all weights but the embedding's, orthogonal weights, attention after one block. D is ``ResNetDiscriminator``,
wide and with attention, inside a ``ProjectionDiscriminator``.

At 32 px the networks are StudioGAN's: 384 maps in each of three blocks and attention at 16x16 for G, D of width 192
with attention after its first block. The paper's are for 128 px and above: ``BigGANGenerator.paper``.
"""

from itertools import pairwise

from torch import Tensor, cat, nn

from lightning_modules.networks.attention import SelfAttention
from lightning_modules.networks.base import Generator
from lightning_modules.networks.init import Initialiser, Orthogonal
from lightning_modules.networks.latents import Gaussian, Latent
from lightning_modules.networks.resnet import UpBlock, layout
from lightning_modules.networks.spectral import initialise
from lightning_modules.networks.wrapped import given


class ConditionedBatchNorm(nn.Module):
    """Batch norm whose gain and bias are linear in a condition: (1 + A c) x + B c.

    Args:
        maps: C of the features.
        condition: length of c.
    """

    def __init__(self, maps: int, condition: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(maps, affine=False)
        self.gain, self.bias = (nn.Linear(condition, maps, bias=False) for _ in range(2))

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """``x`` [N, C, H, W], normalised, under ``c`` [N, condition]: [N, C, H, W]."""
        gain, bias = self.gain(c)[:, :, None, None], self.bias(c)[:, :, None, None]
        return bias + self.norm(x) * (1 + gain)


class ConditionedBlock(nn.Module):
    """A residual block of twice the side, and attention behind it where it is said to be.

    Args:
        inputs: feature maps of the input.
        outputs: feature maps of the output.
        condition: length of c.
        attention: follow it by self-attention.
    """

    def __init__(self, inputs: int, outputs: int, condition: int, attention: bool) -> None:
        super().__init__()
        up = nn.Upsample(scale_factor=2, mode="nearest")
        self.block = UpBlock(inputs, outputs, up, lambda maps: ConditionedBatchNorm(maps, condition))
        self.attend = SelfAttention(outputs) if attention else nn.Identity()

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """``x`` [N, inputs, H, W] under ``c`` [N, condition] to [N, outputs, 2 H, 2 W]."""
        return self.attend(self.block(x, c))


class BigGANGenerator(Generator):
    """z, class -> linear -> conditioned residual blocks -> norm, ReLU, 3x3 convolution -> tanh.

    Args:
        size: side of the image in px: 32, 48, 64 or 128.
        channels: of the image.
        z_dim: length of z, a multiple of the number of blocks and one: 80 is four pieces of 20.
        width: feature maps at the image's resolution; 384 at 32 px, 96 above.
        num_classes: K.
        embedding: length of the class's embedding.
        attention: number of the block, from 1, that self-attention follows, or None.
        spectral_norm: normalise the weights' spectra.
        init: how to draw the weights; orthogonal unless given.
        latent: where z comes from; N(0, I) unless given.

    Raises:
        ValueError: z cannot be cut into equal pieces, or no such size or block.
    """

    num_classes: int

    def __init__(
        self,
        size: int = 32,
        channels: int = 3,
        z_dim: int = 80,
        width: int | None = None,
        num_classes: int = 10,
        embedding: int = 128,
        attention: int | None = 2,
        spectral_norm: bool = True,
        init: Initialiser | None = None,
        latent: Latent | None = None,
    ) -> None:
        super().__init__()
        start, multiples = layout(size).start, layout(size).G
        maps = [(width or (384 if size == 32 else 96)) * multiple for multiple in multiples]
        pieces = len(maps)
        if z_dim % pieces:
            raise ValueError(f"BigGANGenerator: z is cut into {pieces} equal pieces, z_dim {z_dim} is no multiple")
        if attention is not None and not 1 <= attention < pieces:
            raise ValueError(f"BigGANGenerator: attention stands after a block, 1 to {pieces - 1}, got {attention}")
        self.latent, self.num_classes = latent or Gaussian(), num_classes
        self.z_dim, self.out_shape, self.seed_shape = z_dim, (channels, size, size), (maps[0], start, start)
        self.piece = z_dim // pieces
        self.embed = nn.Embedding(num_classes, embedding)
        self.linear = nn.Linear(self.piece, maps[0] * start**2)
        self.blocks = nn.ModuleList(
            ConditionedBlock(before, after, embedding + self.piece, i == attention)
            for i, (before, after) in enumerate(pairwise(maps), start=1)
        )
        last = nn.Conv2d(maps[-1], channels, 3, padding=1)
        self.head = nn.Sequential(nn.BatchNorm2d(maps[-1]), nn.ReLU(inplace=True), last, nn.Tanh())
        init = init or Orthogonal()
        initialise(self.embed, init, spectral_norm=False)
        for part in (self.linear, self.blocks, self.head):
            initialise(part, init, spectral_norm)

    @classmethod
    def paper(cls, num_classes: int = 1000) -> "BigGANGenerator":
        """The generator of 128 px (table 4): width 96, z of 120 numbers, attention at 64x64."""
        return cls(size=128, z_dim=120, num_classes=num_classes, attention=4)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """``z`` [N, z_dim] and labels ``y`` [N] to images [N, channels, size, size] in [-1, 1]."""
        first, *pieces = z.split(self.piece, dim=1)
        embedded = self.embed(given(y))
        h = self.linear(first).unflatten(1, self.seed_shape)
        for block, piece in zip(self.blocks, pieces, strict=True):
            h = block(h, cat([embedded, piece], dim=1))
        return self.head(h)

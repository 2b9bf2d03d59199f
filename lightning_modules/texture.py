"""Texture synthesis: spatial GANs (Jetchev et al. 2016; Bergmann et al. 2017), and baselines that learn nothing.

A texture GAN is a GAN whose noise is a field, so that a sample may have any size: ``texture``; tile: ``tiled``; or go
from one texture into another: ``morph``. What the networks do is ``networks/psgan.py``'s.
"""

from typing import Any, Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn
from torch.optim import Adam

from datamodules.functional.keys import key
from datamodules.functional.quantise import to_uint8
from lightning_modules.base import OptimizerCallable
from lightning_modules.contract import StatesItsData
from lightning_modules.evaluating import evaluating
from lightning_modules.gan import GAN
from lightning_modules.generative import PANEL_STREAM, GenerativeModule
from lightning_modules.networks.base import Discriminator, Exemplified, TextureGenerator

SHOWN, LARGE = 16, 512  # samples of a panel, and the least side of a large one in px


class TextureGAN(GAN):
    """G and D of one texture, or of several.

    Args:
        generator: G of a field of noise.
        discriminator: D, with a logit for each place.
        **gan: the arguments of ``GAN``; Adam with 2e-4, 0.5 and 0.999 and a weight decay of 1e-8 unless given.
    """

    def __init__(
        self,
        generator: TextureGenerator,
        discriminator: Discriminator,
        d_optimizer: OptimizerCallable = lambda p: Adam(p, lr=2e-4, betas=(0.5, 0.999), weight_decay=1e-8),
        g_optimizer: OptimizerCallable = lambda p: Adam(p, lr=2e-4, betas=(0.5, 0.999), weight_decay=1e-8),
        **gan: Any,
    ) -> None:
        super().__init__(generator, discriminator, d_optimizer=d_optimizer, g_optimizer=g_optimizer, **gan)

    @property
    def texturing(self) -> TextureGenerator:
        """The averaged G where there is one, else the raw one."""
        return cast(TextureGenerator, self.evaluated_generator)

    def texture(self, n: int, H: int, W: int) -> Tensor:
        """``n`` textures without borders, uint8 [n, C, H, W]."""
        with evaluating(self.texturing):
            L, M = (-(-side // self.texturing.factor) + 1 for side in (H, W))
            return self.inner(self.padded_field(n, L, M), H, W)

    def tiled(self, n: int, H: int, W: int) -> Tensor:
        """``n`` textures whose borders go on, uint8 [n, C, H', W'], sides the next multiples of what a place makes."""
        G = self.texturing
        with evaluating(G):
            places = (max(-(-side // G.factor), G.margin) for side in (H, W))
            return to_uint8(G.tile(G.field(n, *places)), self.value_range)

    def morph(self, H: int, W: int) -> Tensor:
        """One texture on the left that becomes another to the right: uint8 [1, C, H, W].

        Raises:
            ValueError: G knows one texture only.
        """
        G = self.texturing
        if not G.shared:
            raise ValueError(f"{type(G).__name__} has no global noise, so one texture: set shared above 0")
        with evaluating(G):
            L, M = (-(-side // G.factor) + 1 for side in (H, W))
            z, other = self.padded_field(1, L, M), self.padded_field(1, L, M)
            share = ((torch.arange(z.shape[3]) - G.margin) / (M - 1)).clamp(0, 1).expand(z.shape[2:])
            return self.inner(G.blend(z, other, share), H, W)

    def padded_field(self, n: int, L: int, M: int) -> Tensor:
        """Noise of L x M places, and around them those that the border reaches."""
        margin = self.texturing.margin
        return self.texturing.field(n, L + 2 * margin, M + 2 * margin)

    def inner(self, z: Tensor, H: int, W: int) -> Tensor:
        """What of the texture of ``z`` no border reaches, uint8 [n, C, H, W]."""
        first = self.texturing.margin * self.texturing.factor
        x = self.texturing(z)[:, :, first : first + H, first : first + W]
        return to_uint8(x, self.value_range)

    def panels(self, n: int = SHOWN) -> dict[str, Tensor]:
        """``samples``; ``large``: one of 512 px; ``tiled``: one laid 2 x 2 times; ``morph``, where G knows several."""
        shown = super().panels(n)
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(key(self.seed, PANEL_STREAM, 1))
            shown |= {"large": self.texture(1, LARGE, LARGE)}
            shown |= {"tiled": self.tiled(1, LARGE // 2, LARGE // 2).repeat(1, 1, 2, 2)}
            return shown | ({"morph": self.morph(LARGE // 4, LARGE)} if self.texturing.shared else {})


@runtime_checkable
class HasExemplars(Protocol):
    """What a data module of textures says of them."""

    @property
    def exemplars(self) -> list[Tensor]:
        """Each whole: uint8 [C, H, W]."""
        ...


class ExemplarTexture(GenerativeModule):
    """A generator that learns nothing and makes its textures of the data's exemplars.

    Args:
        generator: G.
        **shared: the arguments of ``AtelierModule``.
    """

    def __init__(self, generator: Exemplified, **shared: Any) -> None:
        super().__init__(**shared)
        self.G = generator

    @property
    def net(self) -> nn.Module:
        """G, which has no weights."""
        return self.G

    def setup(self, stage: str) -> None:
        """Hand the exemplars over.

        Raises:
            ValueError: data without them.
        """
        super().setup(stage)
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if not isinstance(data, HasExemplars):
            raise ValueError(f"{type(data).__name__} has no exemplars: take datamodules.texture.Texture")
        self.check_data(cast(StatesItsData, data))
        cast(Exemplified, self.G).exemplars = data.exemplars

"""What autoencoding families share, however they are trained: the pair of networks that is evaluated, and its pictures.

E and G are averaged and evaluated together. Beside samples, a validation shows reconstructions of images of its first
batch, and traversals: rows in which one dimension of a code goes from -3 to 3.
"""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from datamodules.functional.keys import key
from datamodules.functional.quantise import to_uint8
from lightning_modules.evaluating import evaluating
from lightning_modules.generative import GenerativeModule
from lightning_modules.networks.base import Encoder, Generator

PICTURE_STREAM = 2  # keys what is drawn for the pictures apart from the panels' noise and from training's
SIDE = 8  # of a sheet of pictures
REACH = 3.0  # standard deviations of the prior


class Pair(nn.Module):
    """Encoder and decoder.

    Args:
        encoder: E(x, y) -> mean and log-variance.
        generator: G(z, y) -> x, the decoder.

    Raises:
        ValueError: the two do not belong together, or the decoder's z is not N(0, I), which KL is measured to.
    """

    def __init__(self, encoder: Encoder, generator: Generator) -> None:
        super().__init__()
        self.E, self.G = encoder, generator
        if encoder.z_dim != generator.z_dim or encoder.num_classes != generator.num_classes:
            raise ValueError(
                f"the encoder gives z of length {encoder.z_dim} and knows {encoder.num_classes or 'no'} classes, the "
                f"decoder takes {generator.z_dim} and knows {generator.num_classes or 'none'}: make z_dim and "
                "num_classes of both agree"
            )
        if type(generator.latent) is not type(Generator.latent):
            raise ValueError(f"an autoencoder's z is N(0, I), not {type(generator.latent).__name__}: leave out latent")

    def encode(self, x: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z | x, y), in full precision, each [N, z_dim]."""
        mean, log_variance = self.E(x, y)
        return mean.float(), log_variance.float()

    def reconstruct(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The image of the mean code of ``x`` [N, ...]."""
        image: Tensor = self.G(self.encode(x, y)[0], y)
        return image


class AutoencodingModule(GenerativeModule):
    """A family with an encoder ``E`` beside its generator ``G``, the decoder.

    Attributes:
        E: x, y -> mean and log-variance of z.
    """

    E: Encoder

    def pair_up(self, pair: Pair) -> None:
        """Take ``pair`` for what is averaged and evaluated. Its networks are the module's own children already."""
        self.E, self.G = pair.E, pair.G
        self._pair = (pair,)  # a tuple hides it: registered, every weight would be saved under two names
        self._shown: tuple[Tensor, Tensor] | None = None  # images and labels of the last validation's first batch
        self.average(pair)

    @property
    def net(self) -> Pair:
        """Encoder and decoder."""
        return self._pair[0]

    @property
    def evaluated_pair(self) -> Pair:
        """The averaged pair where there is one, else the raw one."""
        return cast(Pair, self.evaluated)

    @property
    def evaluated_generator(self) -> Generator:
        """The decoder of the evaluated pair."""
        return self.evaluated_pair.G

    def observe(self, x: Tensor) -> Tensor:
        """What is encoded of ``x``: x itself unless said otherwise."""
        return x

    def find_codes(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The evaluated encoder's mean codes [N, z_dim] of ``x`` [N, C, H, W], without gradients."""
        with evaluating(self.evaluated_pair) as pair:
            return cast(Pair, pair).encode(x, y)[0]

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:  # type: ignore[override]
        """The evaluated pair's reconstruction of ``x`` [N, C, H, W], without gradients."""
        with evaluating(self.evaluated_pair) as pair:
            return cast(Pair, pair).reconstruct(x, y)

    def validation_step(self, batch: Sequence[Tensor], batch_idx: int, dataloader_idx: int = 0) -> Any:
        """Remember what to show."""
        if batch_idx == 0:
            self._shown = (batch[0], batch[1])

    def panels(self, n: int = 64) -> dict[str, Tensor]:
        """Samples, and once a validation batch was seen ``reconstructions`` and ``traversals``, uint8 [n, C, H, W]."""
        sheets = super().panels(n)
        if not sheets or self._shown is None:
            return sheets
        x, y = self._shown
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(key(self.seed, PICTURE_STREAM))
            x = self.observe(x)
        if len(x) > 1:
            sheets["reconstructions"] = in_turn(x, self(x, y))
        with evaluating(self.evaluated_pair) as pair:
            sheets["traversals"] = traversals(cast(Pair, pair), x, y)
        return {
            name: sheet if name == "samples" else to_uint8(sheet, self.value_range) for name, sheet in sheets.items()
        }


def in_turn(x: Tensor, others: Tensor) -> Tensor:
    """Rows of ``x`` and ``others`` [N, ...] in turn, as many as make a square of an even side, at most ``SIDE``."""
    side = min(SIDE, int((2 * len(x)) ** 0.5) // 2 * 2)
    rows = (part[: side * side // 2].unflatten(0, (-1, side)) for part in (x, others))
    return torch.stack(list(rows), dim=1).flatten(0, 2)


def traversals(pair: Pair, x: Tensor, y: Tensor | None) -> Tensor:
    """``SIDE`` rows of as many images: each the code of an image of ``x`` with one dimension going from -3 to 3.

    The dimensions are those whose means vary most among ``x``, the first image's, then the next one's.
    """
    means, _ = pair.encode(x, y)
    d = means.shape[1]
    rows = torch.arange(SIDE, device=means.device)
    image = torch.div(rows, d, rounding_mode="floor") % len(x)
    unit = means.var(0, correction=0).argsort(descending=True)[rows % d]
    z = means[image].repeat_interleave(SIDE, 0)
    z[torch.arange(SIDE * SIDE), unit.repeat_interleave(SIDE)] = torch.linspace(-REACH, REACH, SIDE).to(z).repeat(SIDE)
    made: Tensor = pair.G(z, None if y is None else y[image].repeat_interleave(SIDE, 0))
    return made

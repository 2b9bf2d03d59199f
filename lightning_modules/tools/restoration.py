"""A restoring network applied to pictures as they are: grey or colour, 8 or 16 bit, of any size.

What a network reads is its training's choice (``ReconstructionModule.colour``):

- "rgb": three channels. A grey picture is given three times, and the mean of the three answers taken.
- "luma": BT.601 luma of the studio's range, rounded to 8 bits, as tables of super-resolution have it. Of a colour
  picture Y alone is restored; Cb and Cr are enlarged by MATLAB's bicubic kernel. A grey picture is read as it is.
- "grey": full range. Of a colour picture each channel is restored as a grey picture of its own, since noise that is
  alike in R, G and B is weaker in their luma than the network was trained for, and would stay in Cb and Cr.
"""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from datamodules.functional.colour import luma8, rgb, ycbcr
from datamodules.functional.quantise import UNIT, ValueRange, from_uint8, to_uint8
from datamodules.functional.resize import bicubic_by, bicubic_floats
from lightning_modules.networks.base import Network, Upscaler
from lightning_modules.restoring import Reads
from lightning_modules.tools.ensemble import SelfEnsemble
from lightning_modules.tools.tiles import Locality, Restoration, Tiling, locality, tiled

DEEP = 65535
CHANNELS: dict[Reads, int] = {"rgb": 3, "luma": 1, "grey": 1}
BICUBIC_REACH = 3  # input pixels that an enlarged one hangs on, at each side: two, and one to spare
SMALL = 48  # px: side of the first image that a network is tried on


class Restorer:
    """Restores pictures, whole or in tiles.

    Args:
        network: y, or y and the scale of an ``Upscaler``, to x. It is put into evaluation mode.
        reads: what y is.
        scale: how many times as large x is.
        ensemble: whether the answer is the mean over eight turns of the picture.
        value_range: of y and x.

    Raises:
        ValueError: the network makes no picture of such a picture.
    """

    def __init__(
        self,
        network: nn.Module,
        reads: Reads = "rgb",
        scale: int = 1,
        ensemble: bool = False,
        value_range: ValueRange = UNIT,
    ) -> None:
        self.network, self.reads, self.scale = network.eval().requires_grad_(False), reads, scale
        self.low, self.span = value_range[0], value_range[1] - value_range[0]
        self.multiple = network.multiple if isinstance(network, Network) else 1
        self.device = next(network.parameters(), torch.empty(0)).device
        answer: Restoration = self._ask
        self.answer = SelfEnsemble(answer) if ensemble else answer
        self._try()

    def _ask(self, y: Tensor) -> Tensor:
        H, W = y.shape[2:]
        y = pad(y, (0, -W % self.multiple, 0, -H % self.multiple), mode="replicate") * self.span + self.low
        x = self.network(y, self.scale) if isinstance(self.network, Upscaler) else self.network(y)
        return (cast(Tensor, x)[..., : H * self.scale, : W * self.scale] - self.low) / self.span

    def _try(self) -> None:
        name, channels = type(self.network).__name__, CHANNELS[self.reads]
        shape, side = (1, channels, SMALL, SMALL), SMALL * self.scale
        try:
            made = self.restore(torch.zeros(1, CHANNELS[self.reads], SMALL, SMALL, dtype=torch.uint8))
        except Exception as error:  # whatever a network says to an input that is not its own
            raise ValueError(
                f"{name} takes no picture of {channels} channels alone ({_first_line(error)}): restore is for networks"
                " from one picture to another, and model.colour says what they read, rgb, luma or grey"
            ) from error
        if made.shape != (1, channels, side, side):
            raise ValueError(
                f"{name} makes {list(made.shape)} of {list(shape)}, which is no picture {self.scale}x as large"
            )

    def locality(self) -> Locality | None:
        """How far the network sees; None where it is too far for tiles."""
        return locality(self.answer, CHANNELS[self.reads], self.scale, self.device)

    @torch.no_grad()
    def restore(self, piece: Tensor) -> Tensor:
        """Floats of [0, 1], neither clamped nor rounded, of a picture.

        Args:
            piece: uint8 or uint16 [1, C, h, w] with one or three channels.

        Returns:
            float32 [1, C, h scale, w scale] on the CPU.
        """
        if piece.shape[1] == 1:
            y = unit(piece).expand(-1, CHANNELS[self.reads], -1, -1)
            return self._answer(y).mean(1, keepdim=True)
        if self.reads == "luma":
            return self._restore_luma(piece)
        y = unit(piece)
        return self._answer(y) if self.reads == "rgb" else self._answer(y.transpose(0, 1)).transpose(0, 1)

    def _answer(self, y: Tensor) -> Tensor:
        return self.answer(y.to(self.device)).float().cpu()

    def _restore_luma(self, piece: Tensor) -> Tensor:
        luma = self._answer(from_uint8(luma8(piece), UNIT)) * 255
        chroma = ycbcr(piece)[:, 1:].float()
        if self.scale > 1:
            chroma = bicubic_floats(chroma, self.scale)
        return rgb(torch.cat([luma, chroma], dim=1)) / 255

    def picture(self, pixels: Tensor, tiling: Tiling, progress: Callable[[], None] = lambda: None) -> Tensor:
        """The restored picture, of the type of ``pixels`` [1, C, H, W], stored channels last: a tile at a time."""
        out = canvas(pixels, self.scale)
        tiled(lambda piece: quantised(self.restore(piece), out.dtype), pixels, out, tiling, self.scale, progress)
        return out


def enlarged(pixels: Tensor, scale: int, tiling: Tiling) -> Tensor:
    """uint8 ``pixels`` [1, C, H, W] enlarged by MATLAB's bicubic kernel, a tile at a time; at scale 1 as they are."""
    if scale == 1:
        return pixels
    out = canvas(pixels, scale)
    tiled(lambda piece: bicubic_by(piece, scale), pixels, out, Tiling(tiling.tile, BICUBIC_REACH), scale)
    return out


def canvas(pixels: Tensor, scale: int) -> Tensor:
    """Room for ``pixels`` [1, C, H, W] enlarged, each pixel's channels side by side as image files have them."""
    _, C, H, W = pixels.shape
    return torch.empty(1, H * scale, W * scale, C, dtype=pixels.dtype).permute(0, 3, 1, 2)


def unit(pixels: Tensor) -> Tensor:
    """uint8 or uint16 to float32 in [0, 1]."""
    return pixels.float() / DEEP if pixels.dtype == torch.uint16 else from_uint8(pixels, UNIT)


def quantised(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Floats of [0, 1] to uint8 or uint16, clamped and rounded."""
    if dtype == torch.uint8:
        return to_uint8(x, UNIT)
    return (x * DEEP).nan_to_num(0.0).clamp(0, DEEP).round().to(torch.uint16)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]

"""How two images are brought to what is compared: the part of a score of fidelity that decides its column.

The same pair of images differs by over 1 dB between luma and RGB, by 0.2 dB with the border or without it.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from datamodules.functional.colour import GREY, full_luma8, luma, luma8
from datamodules.functional.quantise import check_unit, to_uint8
from lightning_modules.metrics.protocol import Plain

Colour = Literal["rgb", "grey", "y8", "y", "y8_full"]
PEAK = 255.0

_COLOURS: dict[str, Callable[[Tensor], Tensor]] = {
    "rgb": lambda image: image,
    "grey": lambda image: image,
    "y8": luma8,
    "y": luma,
    "y8_full": full_luma8,
}


@dataclass(frozen=True)
class FidelityProtocol:
    """What of two 8-bit images is compared.

    Args:
        colour: "rgb" compares the channels as they are, "grey" also, but refuses colour; the others compare luma:
            "y8" MATLAB's, rounded (the tables of super-resolution), "y" the same, not rounded (BasicSR, MMagic),
            "y8_full" Pillow's and OpenCV's. An image that is grey stays as it is in all of them.
        shave: pixels left out at each side, usually the scale.
        hole: whether only the pixels of a mask count.
        aligned: whether the prediction is first brought to the target's mean grey level, which whoever restores does
            not know: tables of low light by KinD, LLFlow and their like are made so. Of channels as they are.

    Raises:
        ValueError: for settings that no image can follow.
    """

    colour: Colour = "rgb"
    shave: int = 0
    hole: bool = False
    aligned: bool = False

    def __post_init__(self) -> None:
        if self.colour not in _COLOURS:
            raise ValueError(f"The colour {self.colour!r} is unknown: choose one of {', '.join(_COLOURS)}.")
        if self.shave < 0:
            raise ValueError(f"shave is {self.shave}: give the pixels to leave out at each side, 0 or more.")
        if self.aligned and self.colour not in ("rgb", "grey"):
            raise ValueError("Aligned images are compared in their channels: set colour to rgb or grey.")

    @property
    def name(self) -> str:
        """What scores are named after, as in ``psnr@y8-shave2``: equal for equal protocols only."""
        shave, hole = f"shave{self.shave}" if self.shave else "", "hole" if self.hole else ""
        return "-".join(filter(None, [self.colour, shave, hole, "aligned" if self.aligned else ""]))

    def as_dict(self) -> dict[str, Plain]:
        """The fields as plain values; ``FidelityProtocol(**fields)`` is the way back."""
        return asdict(self)


RGB = FidelityProtocol()


class Pair(NamedTuple):
    """Two images as they are compared."""

    prediction: Tensor  # [N, C, H, W], float64, grey levels 0..255
    target: Tensor
    hole: Tensor | None  # [N, 1, H, W], bool: the pixels that count; None where all do


def pair(prediction: Tensor, target: Tensor, protocol: FidelityProtocol = RGB, hole: Tensor | None = None) -> Pair:
    """Bring two batches of images to what ``protocol`` compares.

    Args:
        prediction: uint8 [N, C, H, W], or floats in [0, 1], which are quantised as ``to_uint8`` does.
        target: likewise, of the same shape.
        protocol: what of them is compared.
        hole: bool [N, 1, H, W], True where it counts; for protocols with ``hole`` and for them only.

    Raises:
        ValueError: if the two cannot be compared, and why.
    """
    prediction, target = _image(prediction, "prediction"), _image(target, "target")
    _check_shapes(prediction, target, protocol)
    H, W = target.shape[2:]
    if 2 * protocol.shave >= min(H, W):
        raise ValueError(f"Nothing is left of {H}x{W} images after a shave of {protocol.shave} pixels at each side.")
    inside = (..., slice(protocol.shave, H - protocol.shave), slice(protocol.shave, W - protocol.shave))
    _check_hole(hole, target, protocol)
    convert = _COLOURS[protocol.colour]
    compared = convert(prediction).double()
    return Pair(
        (aligned(compared, convert(target).double()) if protocol.aligned else compared)[inside],
        convert(target)[inside].double(),
        None if hole is None else not_empty(hole[inside], "shaved border"),
    )


def aligned(prediction: Tensor, target: Tensor) -> Tensor:
    """``prediction`` [N, C, H, W] in grey levels times mean(target) / mean(prediction), clamped and not rounded.

    Means are of each whole image in grey (BT.601), as in KinD's and Retinexformer's code. A black image stays black.
    """
    weights = prediction.new_tensor(GREY if prediction.shape[1] == 3 else (1.0,)).view(-1, 1, 1)
    has, should = ((image * weights).sum(1).mean((1, 2)) for image in (prediction, target))
    factor = torch.where(has > 0, should / has, 1.0)
    return (prediction * factor[:, None, None, None]).clamp(0, PEAK)


def not_empty(hole: Tensor, margin: str) -> Tensor:
    """``hole`` [N, 1, H, W] itself.

    Raises:
        ValueError: if it marks no pixel of one of the images inside ``margin``.
    """
    missing = (~hole.flatten(1).any(1)).nonzero().flatten().tolist()
    if missing:
        raise ValueError(
            f"The mask of image {missing[0]} of the batch marks no pixel inside the {margin}: leave the image out, or "
            "score all pixels."
        )
    return hole


def _image(image: Tensor, name: str) -> Tensor:
    if image.dim() != 4 or image.shape[1] not in (1, 3) or not image.numel():
        raise ValueError(
            f"The {name} is of shape {list(image.shape)}: fidelity is measured on [N, 3, H, W] or [N, 1, H, W], "
            "without alpha."
        )
    if image.dtype == torch.uint8:
        return image
    check_unit(image, name)
    return to_uint8(image, (0.0, 1.0))


def _check_shapes(prediction: Tensor, target: Tensor, protocol: FidelityProtocol) -> None:
    if prediction.shape[1] != target.shape[1]:
        grey, colour = ("prediction", "target") if prediction.shape[1] == 1 else ("target", "prediction")
        raise ValueError(f"The {grey} is grey and the {colour} RGB: bring both to the same channels before scoring.")
    if prediction.shape != target.shape:
        raise ValueError(
            f"The prediction is {list(prediction.shape)} and the target {list(target.shape)}: only images of the same "
            "count and size can be compared, so crop one to the other."
        )
    if protocol.colour == "grey" and prediction.shape[1] != 1:
        raise ValueError("The protocol compares grey images and these are RGB: use colour rgb, or a luma such as y8.")


def _check_hole(hole: Tensor | None, image: Tensor, protocol: FidelityProtocol) -> None:
    if (hole is not None) != protocol.hole:
        raise ValueError(
            "The protocol scores the hole only, so give the mask of it."
            if hole is None
            else "A mask was given, but the protocol scores all pixels: set hole=True, or leave the mask out."
        )
    wanted = [len(image), 1, *image.shape[2:]]
    if hole is not None and (hole.dtype != torch.bool or list(hole.shape) != wanted):
        raise ValueError(f"The mask is {hole.dtype} {list(hole.shape)}: give bool {wanted}, True where it counts.")

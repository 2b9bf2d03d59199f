"""From colour to the one channel that restoration is scored on. Which luma it is decides a table.

All three lumas know 8-bit R, G, B and give one channel; none changes an image that is grey already. ``ycbcr`` has the
colour beside the luma, and ``rgb`` is its inverse: what a network for luma alone needs to restore a colour image.
"""

import torch
from torch import Tensor

# ITU-R BT.601, studio range: Y = 16 + (65.481 R + 128.553 G + 24.966 B) / 255, here in thousandths.
_STUDIO = (65_481, 128_553, 24_966)
_STUDIO_UNIT = 255_000
# Cb and Cr = 128 + (...) / 255, in [16, 240], likewise.
_CB = (-37_797, -74_203, 112_000)
_CR = (112_000, -93_786, -18_214)
# Full range, of R, G and B; and in 1 / 2^16, as Pillow has it.
GREY = (0.299, 0.587, 0.114)
GREY_16 = (19_595, 38_470, 7_471)


def luma8(image: Tensor) -> Tensor:
    """BT.601 luma in [16, 235], rounded: MATLAB's ``rgb2ycbcr`` of an 8-bit image, which most tables are made with.

    Args:
        image: uint8 [N, 3, H, W], or [N, 1, H, W], which stays as it is.

    Returns:
        uint8 [N, 1, H, W]. Exact integers, rounded half up.

    Raises:
        ValueError: if ``image`` is no such image.
    """
    if is_grey(image):
        return image
    total = _weighted(image, _STUDIO) + 16 * _STUDIO_UNIT + _STUDIO_UNIT // 2
    return total.div(_STUDIO_UNIT, rounding_mode="floor").to(torch.uint8)


def luma(image: Tensor) -> Tensor:
    """BT.601 luma in [16, 235], not rounded: what BasicSR and MMagic score.

    Args:
        image: as ``luma8`` takes it.

    Returns:
        float64 [N, 1, H, W].
    """
    if is_grey(image):
        return image.double()
    return _weighted(image, _STUDIO).double() / _STUDIO_UNIT + 16


def full_luma8(image: Tensor) -> Tensor:
    """Luma in [0, 255], rounded: Pillow's mode ``L``, and OpenCV's YCrCb up to its rounding.

    PSNR of it is more than 1 dB below that of ``luma8``, whose range is smaller.

    Args:
        image: as ``luma8`` takes it.

    Returns:
        uint8 [N, 1, H, W].
    """
    if is_grey(image):
        return image
    return ((_weighted(image, GREY_16) + 2**15) >> 16).to(torch.uint8)


def ycbcr(image: Tensor) -> Tensor:
    """BT.601 luma in [16, 235] and Cb, Cr in [16, 240], not rounded: MATLAB's ``rgb2ycbcr`` before it rounds.

    Args:
        image: uint8 [N, 3, H, W].

    Returns:
        float64 [N, 3, H, W].

    Raises:
        ValueError: if ``image`` is no such image.
    """
    if is_grey(image):
        raise ValueError("A grey image has no Cb and Cr: give uint8 [N, 3, H, W].")
    chroma = (_weighted(image, weights).double() / _STUDIO_UNIT + 128 for weights in (_CB, _CR))
    return torch.cat([luma(image), *chroma], dim=1)


def rgb(image: Tensor) -> Tensor:
    """The inverse of ``ycbcr``: floats [N, 3, H, W] to R, G, B in [0, 255], of the same type and not clamped."""
    to_ycbcr = torch.tensor([_STUDIO, _CB, _CR], dtype=torch.float64) / _STUDIO_UNIT
    offset = torch.tensor([16, 128, 128], dtype=image.dtype, device=image.device)
    back = to_ycbcr.inverse().to(image)
    return torch.einsum("ij,njhw->nihw", back, image - offset[:, None, None])


def is_grey(image: Tensor) -> bool:
    """Whether uint8 ``image`` [N, C, H, W] has one channel and not three.

    Raises:
        ValueError: if it is neither.
    """
    if image.dtype != torch.uint8 or image.dim() != 4 or image.shape[1] not in (1, 3):
        raise ValueError(
            f"Luma is taken of uint8 images [N, 3, H, W] or [N, 1, H, W], these are {image.dtype} "
            f"{list(image.shape)}: quantise floats, composite alpha on a ground."
        )
    return image.shape[1] == 1


def _weighted(image: Tensor, weights: tuple[int, int, int]) -> Tensor:
    R, G, B = image.int().split(1, dim=1)
    return weights[0] * R + weights[1] * G + weights[2] * B

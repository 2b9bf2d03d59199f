"""What metrics that look at pixels themselves ask of images."""

import torch
from torch import Tensor

from lightning_modules.metrics.base import spell


def check_images(image: Tensor, least: int) -> None:
    """Refuse what is no batch of images.

    Raises:
        ValueError: if ``image`` is not uint8 [N, 1 or 3, H, W] with sides of at least ``least`` pixels.
    """
    if image.dtype != torch.uint8 or image.ndim != 4 or image.shape[1] not in (1, 3):
        raise ValueError(
            f"Samples of shape {tuple(image.shape)} and {image.dtype} are no images: give grey or RGB ones, "
            "uint8 [N, C, H, W]."
        )
    if min(image.shape[2:]) < least:
        raise ValueError(
            f"The images are {spell(image.shape[1:])}, this metric needs sides of at least {least} pixels: "
            "leave it out, or take larger images."
        )


def check_same_kind(image: Tensor, shape: tuple[int, ...]) -> None:
    """Refuse images that are not like those of the reference.

    Raises:
        ValueError: if ``image`` [N, C, H, W] is not of ``shape`` (C, H, W).
    """
    if tuple(image.shape[1:]) != shape:
        raise ValueError(
            f"The samples are {spell(image.shape[1:])}, the reference is {spell(shape)}: bring both to one kind."
        )


def brightness(image: Tensor) -> Tensor:
    """Exact BT.601 luma of uint8 ``image`` [N, C, H, W] in thousandths of a grey level: int32 [N, H, W].

    A grey image and its RGB copy give the same.
    """
    if image.shape[1] == 1:
        return image[:, 0].int() * 1000
    red, green, blue = image.int().unbind(1)
    return 299 * red + 587 * green + 114 * blue

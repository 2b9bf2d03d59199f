"""A contact sheet: what a data module's augmentation does, a row an image."""

from typing import Any

import torch
from torch import Tensor

from datamodules.base import ImageStream
from datamodules.functional.keys import key, seed_streams
from datamodules.functional.quantise import from_uint8, to_uint8


def contact_sheet(data: ImageStream[Any], images: int = 8, variants: int = 8, seed: int = 0) -> Tensor:
    """Training images beside augmented variants of them: uint8 [images, 1 + variants, C, H, W], on the CPU.

    Column 0 is un-augmented. The images lie evenly apart over the training split, so that a split sorted by
    class shows several classes. The global random streams are left as they were.

    Args:
        data: whose ``augment`` is shown; its training split is read if need be.
        images: rows.
        variants: augmented columns.
        seed: of the augmentations.

    Raises:
        ValueError: images or variants below 1, or more images than the training split holds.
    """
    train = data.reference("train")
    if not 1 <= images <= len(train) or variants < 1:
        raise ValueError(
            f"a contact sheet of {images} images and {variants} variants: give 1 to {len(train)} images"
            " and at least 1 variant."
        )
    originals, _ = train.take(torch.arange(images) * len(train) // images)
    augmented = from_uint8(originals, data.value_range).repeat_interleave(variants, dim=0)
    device = augmented.device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        seed_streams(key(seed), device)
        for augmentation in data.augment:
            augmented = augmentation(augmented)
    columns = to_uint8(augmented, data.value_range).view(images, variants, *originals.shape[1:])
    return torch.cat([originals[:, None], columns], dim=1).cpu()

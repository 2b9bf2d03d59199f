"""Squares of one texture: what a network is fed that is to make more of it."""

from functools import cached_property

import torch
from torch import Tensor

from datamodules.augment import Augmentation
from datamodules.base import ImageDataModule, ImageSet, below, data_root
from datamodules.functional.keys import key
from datamodules.pairs import in_colour
from datamodules.single_image import read_file
from datamodules.style import shrunk_to

SQUARES = {"train": 1024, "test": 256}
PLACE_STREAM = int.from_bytes(b"place")  # keys the places apart from all other draws


class Texture(ImageDataModule):
    """Squares of one image, or of several, at places that hang on nothing but the split: no labels.

    Args:
        images: files below ``root``; each has an equal share of the squares.
        size: side of a square in px.
        shrink: to which the shorter side of each image is shrunk first, by MATLAB's bicubic; None leaves it.
        root: the folder that holds all data sets; None is the environment's ATELIER_DATA, else data/.

    The other arguments are ImageDataModule's.

    Raises:
        ValueError: no images; when read: a file that gives no image or has alpha, or is smaller than a square.
        FileNotFoundError: an absent file.
    """

    name = "texture"

    def __init__(
        self,
        images: list[str],
        size: int = 161,
        shrink: int | None = None,
        root: str | None = None,
        batch_size: int = 25,
        seed: int = 0,
        augment: list[Augmentation] | None = None,
        device: str = "cpu",
        val_images: int | None = 64,
    ) -> None:
        super().__init__(batch_size, seed, augment, device, val_images)
        if not images:
            raise ValueError("there is no texture: set data.init_args.images to one image file or more.")
        self.files, self.shrink, self.root = tuple(images), shrink, data_root(root)
        self.image_shape = (3, size, size)

    @cached_property
    def exemplars(self) -> list[Tensor]:
        """The textures: uint8 [3, H, W] each."""
        return [self.exemplar(file)[0] for file in self.files]

    def exemplar(self, file: str) -> Tensor:
        """The texture of ``file``: uint8 [1, 3, H, W]."""
        image = shrunk_to(in_colour(read_file(below(self.root, file)), "rgb"), self.shrink, file)
        H, W = image.shape[2:]
        size = self.image_shape[1]
        if min(H, W) < size:
            raise ValueError(
                f"{file} is {W} x {H} px, smaller than a square of {size}, which is what the network makes and reads: "
                "give a larger texture, or a network and data.init_args.size that are smaller."
            )
        return image

    def read(self, split: str) -> ImageSet:
        """The squares of ``split``: "train" or "test"."""
        each = SQUARES[split] // len(self.files)
        found = [self.squares(image[None], each, split, i) for i, image in enumerate(self.exemplars)]
        images = torch.stack(found, dim=1).flatten(0, 1)  # in turn, so that the first so many are of all
        return ImageSet(self.name, split, images, torch.zeros(len(images), dtype=torch.int64))

    def squares(self, image: Tensor, count: int, split: str, number: int) -> Tensor:
        """``count`` squares of ``image`` [1, 3, H, W]: uint8 [count, 3, size, size]."""
        size = self.image_shape[1]
        stream = torch.Generator().manual_seed(key(PLACE_STREAM, list(SQUARES).index(split), number))
        H, W = image.shape[2:]
        top = torch.randint(H - size + 1, (count,), generator=stream).tolist()
        left = torch.randint(W - size + 1, (count,), generator=stream).tolist()
        places = zip(top, left, strict=True)
        return torch.cat([image[:, :, i : i + size, j : j + size] for i, j in places])

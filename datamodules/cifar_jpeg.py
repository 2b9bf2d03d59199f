"""CIFAR-10 (Krizhevsky 2009) as JPEG files of quality 75, 4:2:0, in one zip archive: not the lossless set.

Its scores are named after it and stand in no column with published ones.
"""

from pathlib import Path

from datamodules.augment import Augmentation
from datamodules.base import data_root
from datamodules.decode import Decoding
from datamodules.image_files import ImageFiles, source_at
from datamodules.layout import Layout, layout_of
from datamodules.sources import Source

ARCHIVE = "cifar10-jpeg.zip"
SIDE = 32
IMAGES = {"train": 50_000, "test": 10_000}


class CIFAR10JPEG75(ImageFiles):
    """50,000 training and 10,000 test images of ten classes, 32x32, in ``<root>/cifar10-jpeg.zip``.

    Args:
        root: the folder that holds all data sets; None is the environment's ATELIER_DATA, else data/.

    The other arguments are ImageStream's.

    Raises:
        FileNotFoundError: no archive, before training starts.
        ValueError: another archive, or damaged images.
    """

    name = "cifar10_jpeg75"
    num_classes = 10
    class_names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

    def __init__(
        self,
        root: str | None = None,
        batch_size: int = 64,
        seed: int = 0,
        augment: list[Augmentation] | None = None,
        device: str = "cpu",
        val_images: int | None = 64,
    ) -> None:
        decode = Decoding(SIDE, crop="none")
        super().__init__(
            decode, on_bad="refuse", batch_size=batch_size, seed=seed, augment=augment, device=device,
            val_images=val_images,
        )  # fmt: skip
        self.archive: Path = data_root(root) / ARCHIVE

    def open_source(self) -> Source:
        """The archive."""
        return source_at(
            [self.archive],
            f"{self.name} is a zip archive of train/<class>/NNNN.jpg and test/<class>/NNNN.jpg: set"
            f" data.init_args.root or ATELIER_DATA to the folder that holds {ARCHIVE}.",
        )

    def arrange(self, source: Source) -> Layout:
        """Splits and classes by the folders' names, compared with what they must be."""
        layout = layout_of([entry.name for entry in source.entries], test_share=0.5, split_seed=0)
        counts = {split: len(images) for split, images in layout.images.items()}
        if layout.classes != self.class_names or counts != IMAGES:
            raise ValueError(f"{self.name} has {IMAGES} images of ten classes, here are {counts}: fetch it again.")
        return layout

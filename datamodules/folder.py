"""Any folder or zip archive of images.

How a file becomes an image is told in ``decode.py``, how train and test are told apart in ``layout.py``.
"""

from pathlib import Path

from datamodules.augment import Augmentation
from datamodules.base import data_root
from datamodules.decode import Crop, Decoding, Kernel
from datamodules.image_files import ImageFiles, OnBad, source_at
from datamodules.layout import Layout, layout_of
from datamodules.sources import Source


class Folder(ImageFiles):
    """Images in a folder or .zip archive: ``train/`` and ``test/``, class folders, or flat.

    Its name, which scores carry, is that of the folder or archive with crop and kernel: ``flowers-centre-lanczos``.

    Args:
        path: the folder or archive: below ``root``, or absolute, or below the working directory.
        size: side of the square images.
        resize: Pillow's kernel, antialiased.
        crop: "centre" for the largest centred square, a number for a centred square of so many pixels, "none" where
            all images are square: others are then refused.
        channels: 3 for colour, 1 for grey.
        background: grey level, 0 to 255, that shows through transparent pixels.
        max_pixels: a file that promises more is not decoded.
        test_share: share of each class that is for test where the folders tell no split.
        split_seed: which images those are, whatever the seed of the run.
        root: the folder that holds all data sets; None is the environment's ATELIER_DATA, else data/.

    The other arguments are ImageFiles's.
    """

    def __init__(
        self,
        path: str,
        size: int = 64,
        resize: Kernel = "lanczos",
        crop: Crop = "centre",
        channels: int = 3,
        background: int = 255,
        max_pixels: int = 2**26,
        test_share: float = 0.1,
        split_seed: int = 0,
        root: str | None = None,
        on_bad: OnBad = "skip",
        memory_limit_gib: float = 2.0,
        workers: int | None = None,
        batch_size: int = 64,
        seed: int = 0,
        augment: list[Augmentation] | None = None,
        device: str = "cpu",
        val_images: int | None = 64,
    ) -> None:
        decode = Decoding(size, channels, resize, crop, background, max_pixels)
        super().__init__(decode, on_bad, memory_limit_gib, workers, batch_size, seed, augment, device, val_images)
        self.places = (data_root(root) / path, Path(path))
        self.name = f"{Path(path).stem}-{crop}-{resize}"
        self.test_share = test_share
        self.split_seed = split_seed

    def open_source(self) -> Source:
        """The folder or archive."""
        return source_at(self.places, "set data.init_args.path to a folder or .zip archive of images.")

    def arrange(self, source: Source) -> Layout:
        """Splits and classes by the names of the folders."""
        return layout_of([entry.name for entry in source.entries], self.test_share, self.split_seed)

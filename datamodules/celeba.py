"""CelebA, aligned and cropped (Liu et al. 2015): 202,599 faces of 178x218, with the published partition.

In torchvision's layout, ``celeba/`` with ``list_eval_partition.txt`` and the folder ``img_align_celeba/`` or the
archive ``img_align_celeba.zip``. Training images are partition 0 (162,770), test images partition 2 (19,962); the
validation images of partition 1 (19,867) are in neither. Labels are 0.
"""

from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Literal

from datamodules.augment import Augmentation
from datamodules.base import data_root
from datamodules.decode import Decoding, Kernel
from datamodules.image_files import ImageFiles, OnBad, source_at
from datamodules.layout import Layout
from datamodules.sources import Source

FOLDER = "celeba"
IMAGES = "img_align_celeba"
PARTITION = "list_eval_partition.txt"
SPLIT_OF = {"0": "train", "2": "test"}


class CelebA(ImageFiles):
    """Faces: a centred square of ``crop`` pixels, resized. Its name says both: ``celeba-178-bilinear``.

    Args:
        size: side of the images, usually 64 or 128.
        crop: 178 is the whole width, 108 the face alone.
        resize: Pillow's kernel, antialiased.
        root: the folder that holds all data sets; None is the environment's ATELIER_DATA, else data/.

    The other arguments are ImageFiles's.

    Raises:
        FileNotFoundError: absent files, before training starts.
    """

    def __init__(
        self,
        size: int = 64,
        crop: Literal[178, 108] = 178,
        resize: Kernel = "bilinear",
        root: str | None = None,
        on_bad: OnBad = "refuse",
        memory_limit_gib: float = 2.0,
        workers: int | None = None,
        batch_size: int = 64,
        seed: int = 0,
        augment: list[Augmentation] | None = None,
        device: str = "cpu",
        val_images: int | None = 64,
    ) -> None:
        decode = Decoding(size, 3, resize, crop)
        super().__init__(decode, on_bad, memory_limit_gib, workers, batch_size, seed, augment, device, val_images)
        self.folder = data_root(root) / FOLDER
        self.name = f"{FOLDER}-{crop}-{resize}"

    def open_source(self) -> Source:
        """The folder or archive of the images."""
        partition = self.folder / PARTITION
        if not partition.is_file():
            raise FileNotFoundError(f"celeba: {partition} is absent; {_ADVICE}")
        return source_at([self.folder / IMAGES, self.folder / f"{IMAGES}.zip"], _ADVICE)

    def arrange(self, source: Source) -> Layout:
        """Splits by the partition file, which must name every image of its own."""
        splits = read_partition(self.folder / PARTITION)
        images: dict[str, list[tuple[int, int]]] = {"train": [], "test": []}
        others: Counter[str] = Counter()
        for number, entry in enumerate(source.entries):
            split = splits.pop(PurePosixPath(entry.name).name, None)
            if split in SPLIT_OF:
                images[SPLIT_OF[split]].append((number, 0))
            else:
                others["not in the partition file" if split is None else "in the validation partition"] += 1
        if splits:
            raise ValueError(f"{len(splits):,} images of {PARTITION} are absent, such as {min(splits)}: fetch again.")
        return Layout(images, None, PARTITION, others)


_ADVICE = (
    f"the layout is {FOLDER}/{IMAGES}/NNNNNN.jpg (or {FOLDER}/{IMAGES}.zip) and {FOLDER}/{PARTITION}, as"
    " torchvision.datasets.CelebA downloads it: set data.init_args.root or ATELIER_DATA to the folder that holds"
    f" {FOLDER}/."
)


def read_partition(path: Path) -> dict[str, str]:
    """Partition ("0", "1" or "2") of each file named in ``path``.

    Raises:
        ValueError: a line of another form.
    """
    lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    for number, line in enumerate(lines, start=1):
        if len(line) != 2 or line[1] not in ("0", "1", "2"):
            raise ValueError(f"{path.name}: line {number} is not a file name and 0, 1 or 2: fetch it again.")
    return {line[0]: line[1] for line in lines}

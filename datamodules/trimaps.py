"""Photographs with a trimap and their right alpha, as benchmarks of matting have them on disk."""

from abc import ABC, abstractmethod
from pathlib import Path

import torch
from torch import Tensor

from datamodules.base import below
from datamodules.decode import decode_opaque
from datamodules.functional.matting import levelled
from datamodules.pair_files import other_folders, read_images
from datamodules.pairs import PairSet, in_colour

ADVICE = other_folders("photographs")


class TrimapPhotographs(ABC):
    """A set of photographs in a folder.

    Args:
        folder: below data.init_args.root.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder

    @abstractmethod
    def files(self, root: Path) -> list[tuple[str, dict[str, Tensor]]]:
        """The name and the pictures "picture", "trimap" and "alpha" of each, uint8 [1, C, H, W], in order of names.

        Raises:
            FileNotFoundError: a folder is absent; ValueError: a file that gives no image, or lacks its others.
        """

    def pairs(self, root: Path) -> PairSet:
        """Alpha, and picture with trimap, of each, as bytes; the set is called like its folder.

        Raises:
            FileNotFoundError, ValueError: as ``files``; or parts that do not go together.
        """
        found = [self.pair(name, parts) for name, parts in self.files(root)]
        return PairSet(Path(self.folder).name, 1, found)

    def pair(self, name: str, parts: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """One pair.

        Raises:
            ValueError: its parts do not go together.
        """
        picture, alpha = in_colour(parts["picture"], "rgb"), in_colour(parts["alpha"], "grey")
        H, W = picture.shape[2:]
        if alpha.shape[2:] != picture.shape[2:]:
            raise ValueError(
                f"{self.folder}: alpha of {name} is {alpha.shape[3]} x {alpha.shape[2]} px, the picture {W} x {H}: "
                "restore them."
            )
        try:
            trimap = levelled(parts["trimap"], H, W)
        except ValueError as error:
            raise ValueError(f"{self.folder}: trimap of {name}: {error}.") from error
        return alpha, torch.cat([picture, trimap], 1)


class TrimapFolders(TrimapPhotographs):
    """Folders of namesakes, whatever their suffixes.

    As they stand this is a copy of alphamatting.com's training set; Composition-1k's test set is merged_test, trimaps
    and alpha_copy, as its scripts make it.

    Args:
        folder: that holds all of them, below data.init_args.root.
        picture: the folder of pictures.
        trimap: of trimaps.
        alpha: of alpha.
    """

    def __init__(self, folder: str, picture: str = "merged", trimap: str = "trimap", alpha: str = "alpha") -> None:
        super().__init__(folder)
        self.of = {"picture": picture, "trimap": trimap, "alpha": alpha}

    def files(self, root: Path) -> list[tuple[str, dict[str, Tensor]]]:
        """As the base."""
        folders = {part: by_stem(root, f"{self.folder}/{name}") for part, name in self.of.items()}
        found = []
        for stem in folders["picture"]:
            for part, images in folders.items():
                if stem not in images:
                    raise ValueError(f"{self.folder}: {stem} has no {part} in {self.of[part]}: put it there.")
            found.append((stem, {part: images[stem] for part, images in folders.items()}))
        return found


class TrimapSuffixes(TrimapPhotographs):
    """One folder, in which trimap and alpha are called like their picture with something behind it.

    Args:
        folder: below data.init_args.root.
        trimap: behind a trimap's name.
        alpha: behind alpha's.
    """

    def __init__(self, folder: str, trimap: str = "_trimap", alpha: str = "_alpha") -> None:
        super().__init__(folder)
        self.behind = {"picture": "", "trimap": trimap, "alpha": alpha}

    def files(self, root: Path) -> list[tuple[str, dict[str, Tensor]]]:
        """As the base; pictures without trimap or alpha are passed over."""
        images = by_stem(root, self.folder)
        found = []
        for stem in images:
            names = {part: stem + behind for part, behind in self.behind.items()}
            if all(name in images for name in names.values()):
                found.append((stem, {part: images[name] for part, name in names.items()}))
        if not found:
            behind = " and ".join(name for name in self.behind.values() if name)
            raise ValueError(f"{below(root, self.folder)} holds no picture with {behind} beside it: put them there.")
        return found


def by_stem(root: Path, folder: str) -> dict[str, Tensor]:
    """The images of ``folder`` below ``root`` by their names without suffix, in order.

    Raises:
        FileNotFoundError: it is absent; ValueError: it holds no image, one that cannot be read, or two of one stem.
    """
    found: dict[str, Tensor] = {}
    for pair in read_images(root, [folder], ADVICE, decode_opaque):
        stem = Path(pair.name).stem
        if stem in found:
            raise ValueError(f"{below(root, folder)} holds two images called {stem}: leave one.")
        found[stem] = pair.x
    return found

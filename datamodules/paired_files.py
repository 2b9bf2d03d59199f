"""Images of two kinds, A and B, below a folder: halves of one image, namesakes in two folders, or unpaired."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from datamodules.collection import whole_images


class Two(NamedTuple):
    """Two images that belong together."""

    name: str
    a: Tensor  # uint8 [1, C, H, W]
    b: Tensor  # uint8 [1, D, H, W]


Images = list[tuple[str, Tensor]]  # names, and uint8 [1, C, H, W]


class TwoKinds(ABC):
    """Finds the images of both kinds below a folder."""

    @abstractmethod
    def apart(self, folder: Path) -> tuple[Images, Images]:
        """All of A and all of B, each in the order of their names.

        Raises:
            FileNotFoundError: no such folder; ValueError: a file that gives no image, in one sentence.
        """


class Unpaired(TwoKinds):
    """Two folders of images that have nothing to do with each other, as CycleGAN has its data.

    Args:
        a: of the one kind.
        b: of the other.
    """

    def __init__(self, a: str = "trainA", b: str = "trainB") -> None:
        self.a, self.b = a, b

    def apart(self, folder: Path) -> tuple[Images, Images]:
        """As in the class."""
        a, b = (whole_images(str(folder / kind)) for kind in (self.a, self.b))
        return [(name, a[name]) for name in a.names], [(name, b[name]) for name in b.names]


class PairedFiles(TwoKinds):
    """Reads the pairs of a folder."""

    def apart(self, folder: Path) -> tuple[Images, Images]:
        """The images of the pairs."""
        pairs = self.read(folder)
        return [(name, a) for name, a, _ in pairs], [(name, b) for name, _, b in pairs]

    @abstractmethod
    def read(self, folder: Path) -> list[Two]:
        """The pairs of ``folder``, in the order of their names.

        Raises:
            FileNotFoundError: no such folder; ValueError: a file that gives no image or no pair, in one sentence.
        """


class SideBySide(PairedFiles):
    """Each file shows both images: A is its left half, B its right one, as pix2pix has its data."""

    def read(self, folder: Path) -> list[Two]:
        """As in the class."""
        images = whole_images(str(folder))
        return [self.halves(folder, name, images[name]) for name in images.names]

    def halves(self, folder: Path, name: str, image: Tensor) -> Two:
        """The two halves of ``image`` [1, C, H, W]."""
        width = image.shape[3]
        if width % 2:
            raise ValueError(f"{folder}: {name} is {width} px wide: two images side by side make an even number.")
        return Two(name, image[..., : width // 2].contiguous(), image[..., width // 2 :].contiguous())


class Namesakes(PairedFiles):
    """Two folders whose images bear equal names, of equal size and colour.

    Args:
        a: folder of the one kind, below the one that is read.
        b: folder of the other kind.
    """

    def __init__(self, a: str = "A", b: str = "B") -> None:
        self.a, self.b = a, b

    def read(self, folder: Path) -> list[Two]:
        """As in the class."""
        a, b = (whole_images(str(folder / kind)) for kind in (self.a, self.b))
        for here, there, one, two in ((a, b, self.a, self.b), (b, a, self.b, self.a)):
            if alone := [name for name in here.names if name not in there]:
                raise ValueError(
                    f"{folder}: {one}/{alone[0]} has no namesake in {two}: a pair bears one name, restore it or leave"
                    " both out."
                )
        return [self.checked(folder, Two(name, a[name], b[name])) for name in a.names]

    def checked(self, folder: Path, pair: Two) -> Two:
        """``pair`` itself, of equal size and colour."""
        if pair.a.shape != pair.b.shape:
            sizes = " and ".join(
                f"{kind} is {image.shape[3]} x {image.shape[2]} {'grey' if image.shape[1] == 1 else 'RGB'}"
                for kind, image in ((self.a, pair.a), (self.b, pair.b))
            )
            raise ValueError(f"{folder}: of {pair.name}, {sizes}: replace the pair by one of equal size and colour.")
        return pair

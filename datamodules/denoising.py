"""Pairs for denoising: an image and the same with noise, drawn or real.

In training, noise is drawn for each patch anew, on the device, from the batch's keyed stream. Test images have KAIR's
noise (Zhang, github.com/cszn/KAIR, data/dataset_dncnn.py): numpy's ``RandomState(0)``, begun anew for each image, whose
stream is frozen for good. Neither is clamped or rounded.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from datamodules.base import below
from datamodules.damaged_images import DamagedImages
from datamodules.functional import degrade
from datamodules.functional.quantise import UNIT, from_uint8
from datamodules.pair_files import names_of
from datamodules.paired_files import Namesakes
from datamodules.pairs import Colour, PairDataModule, PairSet, in_colour
from datamodules.patches import Pair, Turns

SEED = 0  # of every test image's noise
SHRINK = (1.0, 0.9, 0.8, 0.7)


class Noise(ABC):
    """What training patches are damaged by. Derive from it to add one."""

    @abstractmethod
    def draw(self, x: Tensor) -> Tensor:
        """``x`` [N, C, H, W] in [0, 1] with noise from the global stream of its device, each image with its own."""


class FixedNoise(Noise):
    """Noise of one level, by which test sets can be damaged too."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Short, with the level: it becomes part of a test set's name."""

    @abstractmethod
    def fixed(self, x: Tensor, stream: np.random.RandomState) -> Tensor:
        """``x`` [1, C, H, W] in [0, 1] with noise from ``stream``, float32."""


class Gaussian(FixedNoise):
    """White noise N(0, sigma^2).

    Args:
        sigma: in grey levels of 255.
    """

    def __init__(self, sigma: float = 25.0) -> None:
        if sigma < 0:
            raise ValueError(f"Gaussian's sigma is {sigma}: give 0 or more grey levels.")
        self.sigma = sigma

    @property
    def name(self) -> str:
        """Such as s25."""
        return f"s{self.sigma:g}"

    def draw(self, x: Tensor) -> Tensor:
        """As in the class."""
        return degrade.gaussian(x, self.sigma)

    def fixed(self, x: Tensor, stream: np.random.RandomState) -> Tensor:
        """The noise drawn as KAIR draws it, [H, W, C] in double precision."""
        _, C, H, W = x.shape
        noise = stream.normal(0, self.sigma / degrade.LEVELS, (H, W, C))
        return (x.double() + torch.from_numpy(noise).permute(2, 0, 1)).float()


class BlindGaussian(Noise):
    """White noise whose sigma is drawn uniformly for each patch (Zhang et al. 2017, section IV-A: DnCNN-B).

    Args:
        low: least sigma, in grey levels of 255.
        high: greatest.
    """

    def __init__(self, low: float = 0.0, high: float = 55.0) -> None:
        if not 0 <= low <= high:
            raise ValueError(f"BlindGaussian's sigma lies between {low} and {high}: give low from 0 on, high above it.")
        self.low, self.high = low, high

    def draw(self, x: Tensor) -> Tensor:
        """As in the class."""
        sigma = torch.empty(len(x), dtype=x.dtype, device=x.device).uniform_(self.low, self.high)
        return degrade.gaussian(x, sigma)


class Poisson(FixedNoise):
    """Shot noise: photons counted.

    Args:
        peak: how many a white pixel expects.
    """

    def __init__(self, peak: float = 30.0) -> None:
        if peak <= 0:
            raise ValueError(f"Poisson's peak is {peak}: give a number of photons above 0.")
        self.peak = peak

    @property
    def name(self) -> str:
        """Such as p30."""
        return f"p{self.peak:g}"

    def draw(self, x: Tensor) -> Tensor:
        """As in the class."""
        return degrade.poisson(x, self.peak)

    def fixed(self, x: Tensor, stream: np.random.RandomState) -> Tensor:
        """As in the class."""
        return torch.from_numpy(stream.poisson(x.double().numpy() * self.peak) / self.peak).float()


class NoisyImages(DamagedImages):
    """Feeds ``(x, y)`` in [0, 1]: x the image [N, C, H, W], y the same with noise; a dataloader a test set and level.

    Args:
        noise: of training patches; Gaussian of 25 grey levels unless given.
        test_noise: of test sets, each a level; as in training where there is none.

    The other arguments are DamagedImages', their defaults those of DnCNN-S (Zhang et al. 2017, section IV-A).

    Raises:
        ValueError: as the base; no level to test, or one twice. FileNotFoundError: absent folders.
    """

    def __init__(
        self,
        noise: Noise | None = None,
        test_noise: Sequence[FixedNoise] = (),
        train: Sequence[str] = ("Train400",),
        test: Sequence[str] = ("BSD68",),
        shrink: Sequence[float] = SHRINK,
        patch: int = 40,
        stride: int | None = 10,
        turns: Turns = "all",
        colour: Colour = "grey",
        batch_size: int = 128,
        seed: int = 0,
        device: str = "cpu",
        root: str | None = None,
    ) -> None:
        super().__init__(train, test, shrink, patch, stride, turns, colour, batch_size, seed, device, root)
        self.noise = Gaussian() if noise is None else noise
        self.levels = list(test_noise) or [level for level in [self.noise] if isinstance(level, FixedNoise)]
        names_of(self.test_levels, "test_noise")

    @property
    def test_levels(self) -> list[str]:
        """The names of the levels."""
        return [level.name for level in self.levels]

    def at_level(self, x: Tensor, number: int) -> Tensor:
        """``x`` in [0, 1] with the noise of test images, the same for every image."""
        return self.levels[number].fixed(from_uint8(x, UNIT), np.random.RandomState(SEED))

    def as_pairs(self, image: Pair) -> list[Pair]:
        """The image alone: noise is drawn for each patch."""
        return [image]

    def damaged(self, x: Tensor) -> Tensor:
        """``x`` with the noise of training."""
        return self.noise.draw(x)


# --- real noise -------------------------------------------------------------------------------------------------

FILES = Namesakes("noisy", "clean")


class NoisyCleanFolders(PairDataModule):
    """Feeds real pairs: folders, each with one folder ``noisy`` and one ``clean`` whose images bear equal names.

    Args:
        train: such folders below ``root``; none for what needs no training.
        test: such folders below ``root``; the last part of a path is the name.

    The other arguments are PairDataModule's.

    Raises:
        ValueError: no test sets, or one twice; when read: images that do not pair up.
        FileNotFoundError: absent folders.
    """

    def __init__(
        self,
        train: Sequence[str] = (),
        test: Sequence[str] = (),
        patch: int = 48,
        stride: int | None = None,
        turns: Turns = "all",
        colour: Colour = "as they are",
        batch_size: int = 16,
        seed: int = 0,
        device: str = "cpu",
        root: str | None = None,
    ) -> None:
        super().__init__(patch, stride, turns, colour, batch_size, seed, device, root)
        self.names, self.train, self.test = names_of(test, "test"), tuple(train), tuple(test)

    @cached_property
    def real_pairs(self) -> list[PairSet]:
        """Every test set, held in memory."""
        read = [
            (name, FILES.read(below(self.root, folder))) for name, folder in zip(self.names, self.test, strict=True)
        ]
        return [PairSet(name, 1, [(pair.b, pair.a) for pair in found]) for name, found in read]

    def pairs(self) -> list[PairSet]:
        """Every test set."""
        return self.real_pairs

    def training_pairs(self) -> dict[int, list[Pair]]:
        """The training pairs, in the networks' colour."""
        found = [pair for folder in self.train for pair in FILES.read(below(self.root, folder))]
        pairs = [Pair(name, in_colour(x, self.colour), in_colour(y, self.colour)) for name, y, x in found]
        return {1: pairs} if pairs else {}

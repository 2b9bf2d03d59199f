"""Pairs for low light: an image and what a camera makes of the scene when little light is left.

    y = gain x^gamma, counted as photons (Poisson) and read out with white noise, clamped and rounded to bytes

in the manner of LLNet (Lore et al. 2017: gamma and Gaussian noise) and MBLLEN (Lv et al. 2018: gamma, gain, photons).
The ranges are this repository's, wide enough for dusk and night, and light enough that bytes still hold the scene.
In training all is drawn for each patch anew, on the device, from the batch's keyed stream. A test image's darkness
depends on the test's seed and its own pixels, by numpy's ``RandomState``, whose stream is frozen for good: neither the
order of the files nor others beside it change it.
"""

import zlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from datamodules.damaged_images import DamagedImages
from datamodules.functional import degrade
from datamodules.functional.keys import key
from datamodules.functional.quantise import UNIT, ValueRange, from_uint8, to_uint8
from datamodules.functional.resize import bicubic_to
from datamodules.paired_files import Namesakes, PairedFiles
from datamodules.pairs import Colour
from datamodules.patches import Pair, Turns
from datamodules.translation import Direction, TranslationPairs, UnpairedImages

Range = tuple[float, float]
SIDE = 64  # px of a test image
SHRINK = (0.2, 0.3, 0.5)  # so that a patch of 64 px shows as much of a scene as a test image does
SEEDS = 2**32  # numpy takes as many


class Darkness:
    """How dark images are made, each setting drawn uniformly for each image.

    Args:
        gamma: least and greatest exponent; above 1 darkens.
        gain: of what the exponent left.
        peak: photons of a white pixel; the fewer, the more noise.
        sigma: of the read-out noise, in grey levels of 255.

    Raises:
        ValueError: a range that is none, or values that no camera has.
    """

    def __init__(
        self,
        gamma: Range = (1.5, 3.5),
        gain: Range = (0.4, 1.0),
        peak: Range = (200.0, 2000.0),
        sigma: Range = (0.0, 4.0),
    ) -> None:
        ranges = {"gamma": gamma, "gain": gain, "peak": peak, "sigma": sigma}
        for name, (low, high) in ranges.items():
            if low > high or low < 0 or (low == 0 and name != "sigma"):
                bound = "0 or more" if name == "sigma" else "above 0"
                raise ValueError(
                    f"Darkness: {name} lies between {low:g} and {high:g}: give two numbers {bound}, low first"
                )
        self.ranges = tuple(ranges.values())

    def draw(self, x: Tensor) -> Tensor:
        """``x`` [N, C, H, W] in [0, 1], dark: whole bytes in [0, 1], from the global stream of its device."""
        gamma, gain, peak, sigma = (x.new_empty(len(x)).uniform_(*bounds) for bounds in self.ranges)
        scene = gain[:, None, None, None] * x ** gamma[:, None, None, None]
        return from_uint8(to_uint8(degrade.gaussian(degrade.poisson(scene, peak), sigma), UNIT), UNIT)

    def fixed(self, x: Tensor, stream: np.random.RandomState) -> Tensor:
        """uint8 ``x`` [1, C, H, W], dark: uint8, from ``stream`` in double precision."""
        gamma, gain, peak, sigma = (stream.uniform(*bounds) for bounds in self.ranges)
        scene = gain * (x.double().numpy() / degrade.LEVELS) ** gamma
        read = stream.poisson(scene * peak) / peak + stream.normal(0, sigma / degrade.LEVELS, scene.shape)
        return to_uint8(torch.from_numpy(read), UNIT)


class LowLightImages(DamagedImages):
    """Feeds ``(x, y)`` in [0, 1]: x the image [N, C, H, W], y the same in little light; a dataloader a test set.

    Tests are ``<folder>-dark<seed>``. T91 is for tests alone by default: none of its 91 images is trained on.

    Args:
        darkness: of training and of tests; as ``Darkness`` has it unless given.
        test_seed: of the tests' darkness.
        side: in px, to which the middle square of a test image is shrunk by MATLAB's bicubic; None takes all of it.

    The other arguments are DamagedImages'.

    Raises:
        ValueError: as the base; a test image that is smaller than ``side``. FileNotFoundError: absent folders.
    """

    def __init__(
        self,
        darkness: Darkness | None = None,
        test_seed: int = 0,
        side: int | None = SIDE,
        train: Sequence[str] = ("BSDS500/train",),
        test: Sequence[str] = ("T91",),
        shrink: Sequence[float] = SHRINK,
        patch: int = SIDE,
        stride: int | None = None,
        turns: Turns = "mirror",
        colour: Colour = "rgb",
        batch_size: int = 16,
        seed: int = 0,
        device: str = "cpu",
        root: str | None = None,
    ) -> None:
        super().__init__(train, test, shrink, patch, stride, turns, colour, batch_size, seed, device, root)
        self.darkness, self.test_seed, self.side = darkness or Darkness(), test_seed, side

    @property
    def test_levels(self) -> list[str]:
        """The one darkness of tests, by its seed."""
        return [f"dark{self.test_seed}"]

    def sized(self, image: Pair) -> Tensor:
        """The middle square of a test image, ``side`` px wide; all of it where there is no ``side``."""
        if self.side is None:
            return image.x
        H, W = image.x.shape[2:]
        S = min(H, W)
        if self.side > S:
            raise ValueError(f"{image.name} is {W} x {H}: set data.init_args.side to {S} or less, or to null.")
        top, left = (H - S) // 2, (W - S) // 2
        return bicubic_to(image.x[:, :, top : top + S, left : left + S].contiguous(), (self.side, self.side))

    def at_level(self, x: Tensor, number: int) -> Tensor:
        """uint8 ``x`` [1, C, H, W] in the darkness that it alone has."""
        own = zlib.crc32(x.contiguous().numpy().data)
        return self.darkness.fixed(x, np.random.RandomState(key(self.test_seed, own) % SEEDS))

    def as_pairs(self, image: Pair) -> list[Pair]:
        """The image alone: darkness is drawn for each patch."""
        return [image]

    def damaged(self, x: Tensor) -> Tensor:
        """``x`` in the darkness of training."""
        return self.darkness.draw(x)


class LowLightPairs(TranslationPairs):
    """Feeds real pairs ``(x, y)`` in [0, 1]: x in normal light [N, C, H, W], y in low light; whole images in tests.

    As LOL (Wei et al. 2018) has them: folders ``our485`` and ``eval15``, each with one folder ``low`` and one ``high``
    whose images bear equal names. MIT-Adobe FiveK as it is prepared for Retinexformer differs in the names alone:
    ``train: [FiveK/train], test: [FiveK/test]`` and ``files: Namesakes(a: input, b: target)``.

    Args:
        train: folders of pairs below ``root``; none for what needs no training.
        test: folders of pairs below ``root``; a path with dashes for slashes is its set's name.
        files: how the files of a folder pair up; "low" and "high" unless given.
        load: side in px to which images are resized; None takes them as they are.

    The other arguments are TranslationPairs'.

    Raises:
        ValueError: settings that cannot be followed; when read: files that make no pairs.
        FileNotFoundError: absent folders.
    """

    value_range: ValueRange = UNIT

    def __init__(
        self,
        train: Sequence[str] = ("LOL/our485",),
        test: Sequence[str] = ("LOL/eval15",),
        files: PairedFiles | None = None,
        direction: Direction = "AtoB",
        load: int | None = None,
        patch: int = SIDE,
        turns: Turns = "all",
        colour: Colour = "rgb",
        batch_size: int = 16,
        seed: int = 0,
        device: str = "cpu",
        root: str | None = None,
    ) -> None:
        files = files or Namesakes("low", "high")
        super().__init__(train, test, files, direction, load, patch, turns, colour, batch_size, seed, device, root)


class UnpairedLowLight(UnpairedImages):
    """Feeds ``(x, y)`` in [0, 1] that do not belong together: x in normal light, y in low light.

    As EnlightenGAN (Jiang et al. 2021) has them: a folder with ``trainA`` (dark), ``trainB`` (bright), ``testA`` and
    ``testB``. The arguments are UnpairedImages'.
    """

    value_range: ValueRange = UNIT

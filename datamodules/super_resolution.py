"""Pairs for super-resolution: an image as it should be (HR) and the small one that a network is given (LR).

Benchmarks are folders of shipped pairs, laid out as those of SelfExSR (Huang et al. 2015, "Single image
super-resolution from transformed self-exemplars"), whose LR files MATLAB made: ``<benchmark>/image_SRF_<scale>/`` with
``NAME_HR.png`` and ``NAME_LR.png``. They are taken exactly as they are: the HR is cropped to a multiple of the scale
already, and an image that is grey stays so. Training pairs are made of folders of any images, by MATLAB's bicubic.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from torch import Tensor

from datamodules.base import below
from datamodules.collection import read_whole
from datamodules.functional.resize import bicubic_by
from datamodules.image_files import source_at
from datamodules.pair_files import checked_shares, shrunk
from datamodules.pairs import Colour, PairDataModule, PairSet
from datamodules.patches import Pair, Turns

SELF_EX_SR = ("SelfExSR/Set5", "SelfExSR/Set14")
HR, LR = "_HR.png", "_LR.png"


class SuperResolutionImages(PairDataModule):
    """Feeds ``(x, y)`` in [0, 1]: x the HR [N, C, H, W], y the LR [N, C, h, w]; a dataloader a benchmark and scale.

    Args:
        scales: of every benchmark, and of training.
        benchmarks: their folders below ``root``; the last part of a path is the name.
        train: folders of images below ``root`` to train on; none for what needs no training.
        shrink: sizes, as shares of its own, at which each training image is taken, unless a patch is larger.
        patch: side of a training patch of the HR; with several scales, of the largest multiple of each below.

    The other arguments are PairDataModule's.

    Raises:
        ValueError: no scales or benchmarks, or one twice; when read: a file that is no image, or stands alone, or an
            HR that is not ``scale`` times its LR. FileNotFoundError: absent folders.
    """

    def __init__(
        self,
        scales: Sequence[int] = (2, 3, 4),
        benchmarks: Sequence[str] = SELF_EX_SR,
        train: Sequence[str] = (),
        shrink: Sequence[float] = (1.0,),
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
        names = [Path(path).name for path in benchmarks]
        for what, given in (("scales", scales), ("benchmarks", names)):
            if not given or len(set(given)) < len(given):
                shown = ", ".join(map(str, given)) or "none"
                raise ValueError(f"{what} are {shown}: set data.init_args.{what} to one or more, each another.")
        self.scales, self.benchmarks = tuple(scales), tuple(benchmarks)
        self.train, self.shrink = tuple(train), checked_shares(shrink)

    @cached_property
    def benchmark_pairs(self) -> list[PairSet]:
        """Every benchmark at every scale, held in memory."""
        return [read_pairs(below(self.root, path), scale) for path in self.benchmarks for scale in self.scales]

    def pairs(self) -> list[PairSet]:
        """Every benchmark at every scale."""
        return self.benchmark_pairs

    def training_pairs(self) -> dict[int, list[Pair]]:
        """The training images and what MATLAB's bicubic makes of each, at every scale."""
        if not self.train:
            return {}
        sizes = shrunk(self.images(self.train, "train"), self.shrink, self.patch)
        return {scale: [small_pair(pair, scale) for pair in sizes] for scale in self.scales}


def small_pair(pair: Pair, scale: int) -> Pair:
    """``pair`` with its x cropped to a multiple of ``scale``, and that x at 1 / scale of its size as y."""
    H, W = (side // scale * scale for side in pair.x.shape[2:])
    x = pair.x[:, :, :H, :W]
    return pair._replace(x=x, y=bicubic_by(x, 1 / scale))


def read_pairs(benchmark: Path, scale: int) -> PairSet:
    """The pairs of ``benchmark`` at ``scale``.

    Raises:
        FileNotFoundError: no such folder; ValueError: files that do not pair up, named in one sentence.
    """
    place = benchmark / f"image_SRF_{scale}"
    source = source_at(
        [place],
        f"it should hold the pairs NAME{HR} and NAME{LR} of scale {scale}, as github.com/jbhuang0604/SelfExSR ships"
        " them: set ATELIER_DATA or data.init_args.root to the folder above, or data.init_args.scales.",
    )
    number = {entry.name: i for i, entry in enumerate(source.entries)}
    stems = sorted({name.removesuffix(end) for name in number for end in (HR, LR) if name.endswith(end)})
    if not stems:
        raise ValueError(f"{place} holds no pair of NAME{HR} and NAME{LR}: put the benchmark's files there.")
    pairs = []
    for stem in stems:
        for name, other in ((stem + HR, stem + LR), (stem + LR, stem + HR)):
            if name not in number:
                raise ValueError(f"{place / name} is absent and {other} is there: a pair needs both, restore it.")
        x, y = (read_whole(source, number[stem + end]) for end in (HR, LR))
        check_pair(x, y, scale, place / stem)
        pairs.append((x, y))
    return PairSet(f"{benchmark.name}-x{scale}", scale, pairs)


def check_pair(x: Tensor, y: Tensor, scale: int, stem: Path) -> None:
    """Compare an HR ``x`` and an LR ``y``, [1, C, H, W].

    Raises:
        ValueError: the HR is not ``scale`` times as large, or one of them is grey.
    """
    if x.shape[1] != y.shape[1]:
        grey, colour = (HR, LR) if x.shape[1] == 1 else (LR, HR)
        raise ValueError(f"{stem}{grey} is grey and {stem.name}{colour} is not: replace the pair by one of a kind.")
    (H, W), (h, w) = x.shape[2:], y.shape[2:]
    if (scale * h, scale * w) != (H, W):
        raise ValueError(
            f"{stem}{HR} is {W} x {H} and {stem.name}{LR} {w} x {h}: at scale {scale} the HR must be"
            f" {scale * w} x {scale * h}."
        )

"""Label maps as classes: how much of a map that was made is labelled as it should be, beyond what colours tell.

Each pixel is of the class whose colour is nearest to its own, as in the evaluation of maps made of photos by CycleGAN
(Zhu et al. 2017, table 3); the three scores are those of Long et al. 2015, section 5.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from PIL import ImageColor
from torch import Tensor
from torchmetrics import Metric

from lightning_modules.metrics.protocol import metric_name

PALETTES: Mapping[str, tuple[str, ...]] = {
    # The CMP Facade Database's twelve classes in its order, background and facade first, as its maps are coloured in
    # pix2pix's data set: the colours that most pixels of the 400 training maps have.
    "facades": (
        *("#0000de", "#0030ff", "#0080ff", "#00cfff", "#20ffe0", "#70ff8f"),
        *("#c0ff3f", "#fff000", "#ff9f00", "#ff5000", "#ff0000", "#ae0000"),
    ),
}


@dataclass(frozen=True)
class Palette:
    """The colours of a kind of label maps.

    Args:
        name: what scores are named after, as in ``pixel_accuracy@facades``.
        colours: of the classes, each as #rrggbb or another word that Pillow knows.

    Raises:
        ValueError: fewer than two colours, one twice, or a word that is none.
    """

    name: str
    colours: tuple[str, ...]

    def __post_init__(self) -> None:
        rgb = [_rgb(colour) for colour in self.colours]
        if len(rgb) < 2 or len(set(rgb)) < len(rgb):
            given = ", ".join(self.colours) or "no colours"
            raise ValueError(f"{given} are no palette: give two colours or more, each another")

    @property
    def rgb(self) -> Tensor:
        """The colours, [K, 3], 0 to 255."""
        return torch.tensor([_rgb(colour) for colour in self.colours])

    def classes(self, maps: Tensor) -> Tensor:
        """The class of each pixel of uint8 ``maps`` [N, 3, H, W], int64 [N, H, W]; the first of those equally near.

        Raises:
            ValueError: maps without three channels.
        """
        if maps.shape[1] != 3:
            raise ValueError(f"label maps have the three channels of a palette, not {maps.shape[1]}")
        colours = self.rgb.to(maps.device, torch.float32)
        # |p - c|^2 without |p|^2, in whole numbers that float32 holds exactly.
        distance = colours.square().sum(1) - 2 * maps.permute(0, 2, 3, 1).float() @ colours.T
        return distance.argmin(-1)


def find_palette(given: str | Sequence[str]) -> Palette:
    """A palette by its name, or of one's own colours.

    Raises:
        ValueError: for an unknown name, or colours that make no palette.
    """
    if not isinstance(given, str):
        return Palette(f"{len(given)}colours", tuple(given))
    if given not in PALETTES:
        known = ", ".join(PALETTES)
        raise ValueError(
            f'there is no palette {given!r}: name {known}, or give colours, in a YAML in quotes: ["#ff0000", "#00ff00"]'
        )
    return Palette(given, PALETTES[given])


def _rgb(colour: str) -> tuple[int, ...]:
    try:
        return ImageColor.getrgb(colour)[:3]
    except (ValueError, TypeError) as error:
        raise ValueError(f"{colour!r} is no colour of a palette: write it as #rrggbb") from error


class LabelScores(Metric):
    """Pixel accuracy, class accuracy and class IoU of label maps, over all pixels of a set.

    With n_ij pixels of class i made class j, t_i = sum_j n_ij and m_j = sum_i n_ij:
    ``pixel_accuracy`` = sum_i n_ii / sum_i t_i; ``class_accuracy``, the mean of n_ii / t_i over classes that are there;
    ``class_iou``, the mean of n_ii / (t_i + m_i - n_ii) over classes that are there or were made.

    Args:
        palette: of the classes.
        names: of the scores wanted; all unless given.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    NAMES = ("pixel_accuracy", "class_accuracy", "class_iou")
    confusion: Tensor  # [K, K], rows the classes that should be, columns those that were made

    def __init__(self, palette: Palette, names: Sequence[str] = NAMES) -> None:
        super().__init__()
        self.palette, self.names = palette, tuple(names)
        K = len(palette.colours)
        self.add_state("confusion", torch.zeros(K, K, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, made: Tensor, right: Tensor) -> None:
        """Add uint8 label maps [N, 3, H, W], as they were made and as they should be.

        Raises:
            ValueError: they differ in shape, or are no colour images.
        """
        if made.shape != right.shape:
            raise ValueError(f"a made map is {list(made.shape)} and the right one {list(right.shape)}: crop one")
        K = len(self.palette.colours)
        cells = self.palette.classes(right) * K + self.palette.classes(made)
        self.confusion += torch.bincount(cells.flatten(), minlength=K * K).view(K, K)

    def compute(self) -> dict[str, Tensor]:
        """The scores over all ranks: scalars, float64.

        Raises:
            ValueError: no map was added.
        """
        if not self.confusion.any():
            raise ValueError("There are no scores of no label maps: update the metric before computing it.")
        n = self.confusion.double()
        hits, right, made = n.diagonal(), n.sum(1), n.sum(0)
        there, either = right > 0, right + made > 0
        scores = (
            hits.sum() / n.sum(),
            (hits[there] / right[there]).mean(),
            (hits[either] / (right + made - hits)[either]).mean(),
        )
        return {
            metric_name(name, self.palette.name): score
            for name, score in zip(self.NAMES, scores, strict=True)
            if name in self.names
        }

    def as_floats(self) -> dict[str, float]:
        """``compute`` as plain numbers."""
        return {name: float(value) for name, value in self.compute().items()}

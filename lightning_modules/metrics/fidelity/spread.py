"""How far several answers to one image are from each other: a network that ignores its noise has none."""

import torch
from torch import Tensor

from datamodules.functional.quantise import ValueRange
from lightning_modules.metrics.fidelity.means import ImageMeans
from lightning_modules.metrics.fidelity.pixelwise import mean_where


class AnswerSpread(ImageMeans):
    """Mean over images of the root mean square over pixels of the answers' deviation from their mean, in 0 to 1.

    ``spread`` is of whole images; where there is a hole, ``spread-hole`` and ``spread-known`` are of its pixels and of
    the others, as the network makes them: nothing is put back where y is known.

    Args:
        holes: whether images have holes.
    """

    higher_is_better = True

    def __init__(self, holes: bool) -> None:
        super().__init__(["spread-hole", "spread-known"] if holes else ["spread"])
        self.holes = holes

    def update(self, answers: Tensor, value_range: ValueRange, hole: Tensor | None = None) -> None:
        """Add images [n, N, C, H, W], two answers or more of each, and which of their pixels were missing [N, 1, H, W].

        Raises:
            ValueError: fewer than two answers.
        """
        if len(answers) < 2:
            raise ValueError(f"{len(answers)} answer has no spread: draw 2 or more")
        low, high = value_range
        squares = (answers.double() / (high - low)).var(0)  # [N, C, H, W]
        if hole is None:
            self.add(mean_where(squares, None).sqrt())
            return
        both = torch.stack([mean_where(squares, part).sqrt() for part in (hole, ~hole)])
        self.add(*both[:, hole.flatten(1).any(1) & ~hole.flatten(1).all(1)])  # others have but one of the parts

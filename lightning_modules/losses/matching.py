"""What attention between views should be like, beside being of use: the unsupervised losses of PASSRnet.

Wang et al. 2019, "Learning parallax attention for stereo image super-resolution", section 3.3, equations 5 to 9; there
each weighs 0.005 beside the squared error. All are means here, as in the authors' code, not sums.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from lightning_modules.losses.terms import WeightedTerm


class Match(Protocol):
    """What is known of one view's alignment with another: see ``networks.base.Alignment``."""

    @property
    def target(self) -> Tensor:
        """[N, C, h, w]."""
        ...

    @property
    def warped(self) -> Tensor:
        """[N, C, h, w]."""
        ...

    @property
    def valid(self) -> Tensor:
        """[N, 1, h, w]."""
        ...

    @property
    def attention(self) -> Tensor:
        """Along rows [N, h, w, w], in windows [N, K, h, w]."""
        ...


class MatchingLoss(WeightedTerm):
    """A term on what views find in each other.

    Attributes:
        rows: whether it is for row attention alone, of two views in both directions.
    """

    rows: ClassVar[bool] = False

    def __init__(self, weight: float = 0.005) -> None:
        super().__init__(weight)

    @abstractmethod
    def __call__(self, matches: Sequence[Match]) -> Tensor:
        """The term, a scalar, weighted."""


class Photometric(MatchingLoss):
    """Equation 6: what a pixel attends to looks like it, where it is visible."""

    name = "photometric"

    def __call__(self, matches: Sequence[Match]) -> Tensor:
        """weight * the sum over ``matches`` of mean valid |target - warped|."""
        terms = [(match.valid * (match.target - match.warped).abs()).mean() for match in matches]
        return self.weight * torch.stack(terms).sum()


class Smoothness(MatchingLoss):
    """Equation 7: neighbours attend to neighbours, down a column of the image and along a row."""

    name = "smoothness"
    rows = True

    def __call__(self, matches: Sequence[Match]) -> Tensor:
        """weight * the sum over ``matches`` of mean |A(i, j, k) - A(i+1, j, k)| and |A(i, j, k) - A(i, j+1, k+1)|."""
        terms = [
            (a[:, 1:] - a[:, :-1]).abs().mean() + (a[:, :, 1:, 1:] - a[:, :, :-1, :-1]).abs().mean()
            for a in (match.attention for match in matches)
        ]
        return self.weight * torch.stack(terms).sum()


class Cycle(MatchingLoss):
    """Equations 4 and 8: to the other view and back is where one was, where that is visible."""

    name = "cycle"
    rows = True

    def __call__(self, matches: Sequence[Match]) -> Tensor:
        """weight * the sum over both ways of mean valid |A B - I|, A and B being the attention there and back."""
        there, back = matches
        terms = []
        for first, second in ((there, back), (back, there)):
            circle = first.attention @ second.attention
            identity = torch.eye(circle.shape[-1], device=circle.device, dtype=circle.dtype)
            terms.append((first.valid.movedim(1, -1) * (circle - identity).abs()).mean())
        return self.weight * torch.stack(terms).sum()

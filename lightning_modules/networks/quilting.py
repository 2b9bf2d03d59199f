"""Image quilting (Efros and Freeman 2001): a texture sewn of pieces of its exemplar. No weights, nothing learnt.

Blocks are laid row by row. Each is drawn from those of the exemplar that fit what it overlaps within a tenth of the
best one's error, and is cut to its neighbours along the path through the overlap where both differ least (section 2).
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from lightning_modules.networks.base import Exemplified


class Quilting(Exemplified):
    """Textures sewn of pieces of their exemplars; z is the seed of each, [N, 1].

    Args:
        size: side of a texture in px.
        block: side of a block in px.
        overlap: of two blocks in px; a sixth of a block unless given.
        tolerance: a block may have so much more error than the best one, as a share of that.
    """

    z_dim = 1

    def __init__(self, size: int = 161, block: int = 36, overlap: int | None = None, tolerance: float = 0.1) -> None:
        super().__init__()
        self.out_shape = (3, size, size)
        self.block, self.overlap, self.tolerance = block, overlap, tolerance
        self.exemplars: list[Tensor] = []

    def sample_z(self, n: int) -> Tensor:
        """Seeds [n, 1], of the global random stream."""
        return torch.randint(2**31, (n, 1))

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """``z`` [N, 1] to textures [N, C, size, size] in [-1, 1], of the exemplars in turn; ``y`` is not used."""
        made = [self.sew(i, seed, self.out_shape[1:]) for i, seed in enumerate(z[:, 0].tolist())]
        return torch.stack(made).float() / 127.5 - 1

    def sew(self, number: int, seed: int, size: Sequence[int]) -> Tensor:
        """One texture: uint8 [C, *size]."""
        exemplar = self.exemplars[number % len(self.exemplars)]
        stream = torch.Generator().manual_seed(int(seed))
        return quilt(exemplar, (size[0], size[1]), self.block, stream, self.overlap, self.tolerance)


def quilt(
    exemplar: Tensor,
    size: tuple[int, int],
    block: int,
    stream: torch.Generator,
    overlap: int | None = None,
    tolerance: float = 0.1,
) -> Tensor:
    """A texture like ``exemplar``.

    Args:
        exemplar: uint8 [C, H, W].
        size: (H', W') of the texture.
        block: side of a block in px.
        stream: that blocks are drawn from.
        overlap: of two blocks in px; a sixth of a block unless given, and 1 or more.
        tolerance: a block may have so much more error than the best one, as a share of that.

    Returns:
        uint8 [C, H', W'].

    Raises:
        ValueError: an exemplar smaller than a block, or an overlap that leaves nothing of one.
    """
    overlap = max(block // 6, 1) if overlap is None else overlap
    if min(exemplar.shape[1:]) < block:
        raise ValueError(
            f"the exemplar is {exemplar.shape[2]} x {exemplar.shape[1]} px, smaller than a block of {block}: make that "
            "smaller"
        )
    if not 0 < overlap <= block // 2:
        raise ValueError(f"overlap is {overlap} px of a block of {block}: give 1 up to half of it")
    step = block - overlap
    rows, columns = (max(-(-(side - overlap) // step), 1) for side in size)
    source = exemplar.float()
    errors = OverlapErrors(exemplar, block)
    made = torch.zeros(len(source), rows * step + overlap, columns * step + overlap)
    for i in range(rows):
        for j in range(columns):
            place = (slice(None), slice(i * step, i * step + block), slice(j * step, j * step + block))
            old, seen = made[place], seen_before(block, overlap, i > 0, j > 0)
            top, left = choose(errors(old, seen), tolerance, stream)
            new = source[:, top : top + block, left : left + block]
            made[place] = torch.where(cut(new, old, overlap, i > 0, j > 0), new, old)
    return made[:, : size[0], : size[1]].to(torch.uint8)


def seen_before(block: int, overlap: int, above: bool, beside: bool) -> Tensor:
    """Which pixels of a block are laid already: float [block, block]."""
    seen = torch.zeros(block, block)
    seen[: overlap if above else 0] = 1
    seen[:, : overlap if beside else 0] = 1
    return seen


class OverlapErrors:
    """How far every block of an exemplar is from what is laid already, by Fourier transforms.

    Args:
        exemplar: uint8 [C, H, W].
        block: side of a block in px.
    """

    def __init__(self, exemplar: Tensor, block: int) -> None:
        source = exemplar.double()
        self.size, self.block = source.shape[1:], block
        self.source, self.squares = torch.fft.rfft2(source), torch.fft.rfft2(source.square().sum(0))

    def __call__(self, old: Tensor, seen: Tensor) -> Tensor:
        """Squared difference of every block to ``old`` [C, b, b] where it was ``seen`` [b, b]: one for each place."""
        cross = (self.source * self.spectrum(old * seen)).sum(0)
        found = torch.fft.irfft2(self.squares * self.spectrum(seen) - 2 * cross, s=self.size)
        H, W = (side - self.block + 1 for side in self.size)
        return (found[:H, :W] + (old.square() * seen).sum()).clamp_min(0)

    def spectrum(self, template: Tensor) -> Tensor:
        """What multiplies an exemplar's spectrum for its correlation with ``template`` [..., b, b]."""
        return torch.fft.rfft2(template.double(), s=self.size).conj()


def choose(errors: Tensor, tolerance: float, stream: torch.Generator) -> tuple[int, int]:
    """A place whose error is at most the least one and a share of it more, any of them alike; where nothing was laid
    yet, any place."""
    fits = (errors <= errors.min() * (1 + tolerance) + 0.5).nonzero()
    top, left = fits[int(torch.randint(len(fits), (), generator=stream))].tolist()
    return top, left


def cut(new: Tensor, old: Tensor, overlap: int, above: bool, beside: bool) -> Tensor:
    """Where the new block lies over the old ones: bool [b, b]."""
    over = torch.ones(new.shape[1:], dtype=torch.bool)
    error = (new - old).square().sum(0)
    if beside:
        over &= right_of(seam(error[:, :overlap]), new.shape[2])
    if above:
        over &= right_of(seam(error[:overlap].T), new.shape[1]).T
    return over


def right_of(path: Tensor, width: int) -> Tensor:
    """The places right of a ``path`` [n] down a block, and on it: bool [n, width]."""
    return torch.arange(width) >= path[:, None]


def seam(error: Tensor) -> Tensor:
    """The path from top to bottom of ``error`` [n, w] along which its sum is least: a column for each row, int64 [n].

    From row to row it moves by at most one column (the paper's equation in section 2.1).
    """
    total = error.clone()
    for i in range(1, len(total)):
        beside = pad(total[i - 1], (1, 1), value=torch.inf)
        total[i] += beside.unfold(0, 3, 1).min(1).values
    path = [int(total[-1].argmin())]
    for row in reversed(total[:-1]):
        first = max(path[-1] - 1, 0)
        path.append(first + int(row[first : path[-1] + 2].argmin()))
    return torch.tensor(path[::-1])

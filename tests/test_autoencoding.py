"""The pictures of autoencoders: images beside their reconstructions, and one dimension of a code at a time."""

from typing import cast

import torch
from torch import Tensor, nn

from lightning_modules.autoencoding import REACH, SIDE, Pair, in_turn, traversals
from lightning_modules.networks.base import Encoder, Generator


class Means(Encoder):
    """E(x) = x, whatever its variance."""

    z_dim = 3

    def forward(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return x, torch.zeros_like(x)


class Same(Generator):
    """G(z, y) = z, and y behind it where there is one."""

    z_dim, out_shape = 3, (3,)

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(1))

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return z if y is None else torch.cat([z, y[:, None].float()], dim=1)


CODES = torch.tensor([[0.1, 5.0, -2.0], [0.2, -5.0, 2.0], [0.3, 1.0, 1.0]])  # most of their variance is the second's
RANKED = [1, 2, 0]


def test_a_row_of_traversals_changes_one_dimension_of_one_code_from_end_to_end() -> None:
    rows = traversals(Pair(Means(), Same()), CODES, None).view(SIDE, SIDE, 3)
    for i, row in enumerate(rows):
        image, unit = CODES[i // 3 % 3], RANKED[i % 3]
        assert torch.allclose(row[:, unit], torch.linspace(-REACH, REACH, SIDE))
        others = [j for j in range(3) if j != unit]
        assert torch.equal(row[:, others], image[others].expand(SIDE, -1))


def test_a_traversal_keeps_its_images_label() -> None:
    y = torch.tensor([7, 8, 9])
    rows = traversals(Pair(Means(), Same()), CODES, y).view(SIDE, SIDE, 4)
    assert rows[:, :, 3].tolist() == [[float(y[i // 3 % 3])] * SIDE for i in range(SIDE)]


def test_images_and_reconstructions_stand_in_turn_row_by_row() -> None:
    x = torch.arange(8.0)
    assert in_turn(x, x + 100).tolist() == [*range(4), *range(100, 104), *range(4, 8), *range(104, 108)]
    many = in_turn(torch.arange(64.0), torch.arange(64.0) + 100)
    assert cast(list[float], many[:16].tolist()) == [*range(8), *range(100, 108)]
    assert len(many) == SIDE * SIDE

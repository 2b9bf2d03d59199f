"""Luma by hand, against floating point and against Pillow."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from datamodules.functional.colour import full_luma8, luma, luma8


def colours(*rgb: tuple[int, int, int]) -> Tensor:
    """A row of pixels [1, 3, 1, n]."""
    return torch.tensor(rgb, dtype=torch.uint8).T[None, :, None]


@pytest.fixture(scope="module")
def many() -> Tensor:
    return torch.randint(0, 256, (1, 3, 500, 1000), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_luma_by_hand() -> None:
    # black, white, red 16 + 65.481, green 16 + 128.553, blue 16 + 24.966, and grey 100: 16 + 219 * 100 / 255
    image = colours((0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 255, 0), (0, 0, 255), (100, 100, 100))
    assert luma8(image).flatten().tolist() == [16, 235, 81, 145, 41, 102]
    exact = [16, 235, 81.481, 144.553, 40.966, 16 + 21900 / 255]
    assert luma(image).flatten().tolist() == pytest.approx(exact, abs=1e-12)
    assert full_luma8(image).flatten().tolist() == [0, 255, 76, 150, 29, 100]


def test_a_tie_rounds_up() -> None:
    # In thousandths, 65,481 R + 128,553 G + 24,966 B is 255,000 k + 127,500 for 194 colours; floats miss some of them.
    R, G = torch.arange(256), torch.arange(256)[:, None]
    B = torch.arange(256)[:, None, None]
    rest = (65_481 * R + 128_553 * G + 24_966 * B) % 255_000
    ties = (rest == 127_500).nonzero()
    assert len(ties) == 194
    image = ties.flip(1).T[None, :, None].to(torch.uint8)  # found as (B, G, R)
    assert (luma8(image) - luma(image)).sub(0.5).abs().max() < 1e-9


def test_rounded_luma_is_the_nearest_integer(many: Tensor) -> None:
    R, G, B = many[0].double().numpy()
    y = 16 + (65.481 * R + 128.553 * G + 24.966 * B) / 255
    assert np.abs(luma(many)[0, 0].numpy() - y).max() < 1e-10
    assert np.abs(luma8(many)[0, 0].numpy() - y).max() < 0.5 + 1e-10


def test_full_luma_is_pillows(many: Tensor) -> None:
    grey = Image.fromarray(many[0].permute(1, 2, 0).numpy()).convert("L")
    assert np.array_equal(full_luma8(many)[0, 0].numpy(), np.asarray(grey))


def test_grey_stays_as_it_is(many: Tensor) -> None:
    grey = many[:, :1]
    assert torch.equal(luma8(grey), grey)
    assert torch.equal(full_luma8(grey), grey)
    assert torch.equal(luma(grey), grey.double())


@pytest.mark.parametrize(
    "image",
    [torch.rand(1, 3, 4, 4), torch.zeros(3, 4, 4, dtype=torch.uint8), torch.zeros(1, 4, 4, 4, dtype=torch.uint8)],
    ids=["float", "no batch", "alpha"],
)
@pytest.mark.parametrize("convert", [luma, luma8, full_luma8])
def test_other_images_are_refused(convert, image: Tensor) -> None:
    with pytest.raises(ValueError, match=r"Luma is taken of uint8 images \[N, 3, H, W\] or \[N, 1, H, W\], these are"):
        convert(image)

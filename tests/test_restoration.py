"""What a restoring network reads of a picture, and what becomes of its colours: values by hand, tiles."""

import pytest
import torch
from restore_runs import Brighter, Twice, noise, tensor
from torch import Tensor, nn

from datamodules.functional.colour import luma8, rgb, ycbcr
from datamodules.functional.quantise import to_uint8
from datamodules.functional.resize import bicubic_by
from lightning_modules.networks.fsrcnn import FSRCNN
from lightning_modules.tools.restoration import Restorer
from lightning_modules.tools.tiles import Tiling, tiled


def test_ycbcr_has_matlabs_values_and_rgb_is_its_inverse():
    corners = {  # of ITU-R BT.601: 16 to 235 and 16 to 240, by its coefficients of three decimals
        (0, 0, 0): (16.0, 128.0, 128.0),
        (255, 255, 255): (235.0, 128.0, 128.0),
        (255, 0, 0): (81.481, 90.203, 240.0),
        (0, 255, 0): (144.553, 53.797, 34.214),
        (0, 0, 255): (40.966, 240.0, 109.786),
    }
    for colour, expected in corners.items():
        image = torch.tensor(colour, dtype=torch.uint8)[None, :, None, None]
        assert ycbcr(image).flatten().tolist() == pytest.approx(expected, abs=1e-9)
    image = torch.from_numpy(noise(2, 3, 5, 7))
    assert torch.equal(ycbcr(image)[:, :1].round().to(torch.uint8), luma8(image))
    torch.testing.assert_close(rgb(ycbcr(image)), image.double(), rtol=0, atol=1e-9)
    with pytest.raises(ValueError, match="no Cb and Cr"):
        ycbcr(image[:, :1])


def test_a_network_for_luma_moves_y_alone():
    pixels = noise(12, 9, 3, low=60, high=190)
    result = Restorer(Brighter(channels=1), "luma").restore(tensor(pixels))
    moved = luma8(tensor(pixels)).double() + 10 - ycbcr(tensor(pixels))[:, :1]  # rounded, as it was trained
    expected = tensor(pixels).double() + moved * 255 / 219  # the same for R, G and B: grey is their sum's direction
    torch.testing.assert_close(result.double() * 255, expected, rtol=0, atol=2e-2)  # three decimals of BT.601


def test_a_network_for_luma_enlarges_the_chroma_as_matlab_does():
    pixels = noise(10, 8, 3, low=90, high=160)
    result = Restorer(Twice(), "luma", 2).restore(tensor(pixels)) * 255
    back = ycbcr(to_uint8(result, (0, 255)))
    chroma = ycbcr(tensor(pixels))[:, 1:].round().to(torch.uint8)
    assert float((back[:, 1:] - bicubic_by(chroma, 2).double()).abs().max()) < 2  # three roundings
    luma = luma8(tensor(pixels)).repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert float((back[:, :1] - luma.double()).abs().max()) < 1


def test_a_grey_network_restores_each_channel_and_an_rgb_one_takes_grey():
    pixels = noise(12, 9, 3, high=200)
    each = Restorer(Brighter(channels=1), "grey").restore(tensor(pixels))
    torch.testing.assert_close(each * 255, tensor(pixels).float() + 10, rtol=0, atol=1e-3)
    grey = Restorer(Brighter(), "rgb").restore(tensor(pixels[:, :, 0]))
    torch.testing.assert_close(grey * 255, tensor(pixels[:, :, 0]).float() + 10, rtol=0, atol=1e-3)


@pytest.mark.parametrize("ensemble", [False, True])
@pytest.mark.parametrize("reads", ["luma", "grey", "rgb"])
def test_tiles_of_a_colour_picture_are_the_whole_before_rounding(reads, ensemble):
    torch.manual_seed(0)
    network = FSRCNN(scale=2, d=8, s=4, m=1, channels=3 if reads == "rgb" else 1)
    nn.init.normal_(network.enlarge.weight, 0.0, 0.1)
    restorer = Restorer(network, reads, 2, ensemble)
    pixels = tensor(noise(50, 37, 3))
    seen = restorer.locality()
    assert seen == (2 + 1 + 2, 1)
    whole = restorer.restore(pixels)
    out = torch.empty_like(whole)
    restoring_tiles(restorer, pixels, out, Tiling(16, seen.radius))
    assert float(whole.std()) > 0.05
    assert float((out - whole).abs().max()) < 1e-5
    restoring_tiles(restorer, pixels, out, Tiling(16, seen.radius - 1))
    assert float((out - whole).abs().max()) > 1e-4


def restoring_tiles(restorer: Restorer, pixels: Tensor, out: Tensor, tiling: Tiling) -> None:
    tiled(restorer.restore, pixels, out, tiling, restorer.scale)

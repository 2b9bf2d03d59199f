"""Tiles: what is put together is what one piece gives, as far as the network sees and no nearer; the eight turns."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from lightning_modules.networks.bicubic import Bicubic
from lightning_modules.tools.ensemble import SelfEnsemble, turned, turned_back
from lightning_modules.tools.tiles import REACHES, Locality, Restoration, Tiling, locality, tiled

CPU = torch.device("cpu")


class Strided(nn.Module):
    """Down by four, up again, and past it a convolution of one pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(1, 4, 4, stride=4)
        self.middle = nn.Conv2d(4, 4, 3, padding=1)
        self.up = nn.ConvTranspose2d(4, 1, 4, stride=4)

    def forward(self, y: Tensor) -> Tensor:
        H, W = y.shape[2:]
        whole = nn.functional.pad(y, (0, -W % 4, 0, -H % 4))
        return y + self.up(self.middle(self.down(whole)).relu())[:, :, :H, :W]


class Average(nn.Module):
    """Sees everything."""

    def forward(self, y: Tensor) -> Tensor:
        return y - y.mean((2, 3), keepdim=True)


class Place(nn.Module):
    """Sees one pixel, and where it is."""

    def forward(self, y: Tensor) -> Tensor:
        return y * torch.arange(y.shape[3])


class Lopsided(nn.Module):
    """Sees three pixels to the right and none elsewhere."""

    def forward(self, y: Tensor) -> Tensor:
        return y + nn.functional.pad(y, (0, 3))[:, :, :, 3:]


def made(network: nn.Module) -> Restoration:
    torch.manual_seed(0)
    for parameter in network.parameters():
        nn.init.normal_(parameter, 0.0, 0.3)
    return network.eval().requires_grad_(False)


def plain() -> Restoration:
    return made(
        nn.Sequential(
            *(nn.Conv2d(1, 8, 5, padding=2), nn.ReLU(), nn.BatchNorm2d(8)),
            *(nn.Conv2d(8, 8, 3, padding=2, dilation=2), nn.PReLU(), nn.Conv2d(8, 1, 1)),
        )
    )


def doubling() -> Restoration:
    # Output o comes of the inputs (o + 4 - k) / 2, k = 0 .. 8: two to each side; the convolution adds one.
    kernels = nn.Conv2d(1, 8, 3, padding=1), nn.ConvTranspose2d(8, 1, 9, stride=2, padding=4, output_padding=1)
    return made(nn.Sequential(kernels[0], nn.PReLU(), kernels[1]))


NETWORKS = {
    "5x5, then 3x3 of dilation two": (plain, 1, Locality(2 + 2, 1)),
    "3x3, then 9x9 transposed to x2": (doubling, 2, Locality(1 + 2, 1)),
    "down by four": (lambda: made(Strided()), 1, Locality(4, 4)),
    "lopsided": (Lopsided, 1, Locality(3, 1)),
    "lopsided, eight turns": (lambda: SelfEnsemble(Lopsided()), 1, Locality(3, 1)),
    "eight turns of x2": (lambda: SelfEnsemble(doubling()), 2, Locality(3, 1)),
    "one pixel": (lambda: made(nn.Conv2d(1, 1, 1)), 1, Locality(0, 1)),
    "rounds to bytes": (lambda: lambda y: Bicubic()(y, 2), 2, Locality(2, 1)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_how_far_a_network_sees_is_what_its_kernels_say(name):
    make, scale, expected = NETWORKS[name]
    assert locality(make(), 1, scale, CPU) == expected


@pytest.mark.parametrize("network", [Average(), Place()])
def test_a_network_that_sees_all_or_knows_places_has_no_radius(network):
    assert locality(network, 1, 1, CPU) is None


def test_a_longer_reach_is_found_by_a_larger_image():
    steps = [nn.Conv2d(1, 1, 3, padding=1) for _ in range(REACHES[0] + 3)]
    for step in steps:
        nn.init.constant_(step.weight, 1 / 9)
    assert locality(made_of(steps), 1, 1, CPU) == Locality(REACHES[0] + 3, 1)


def made_of(steps: list[nn.Conv2d]) -> Restoration:
    return nn.Sequential(*steps).eval().requires_grad_(False)


def in_tiles(network: Restoration, image: Tensor, tiling: Tiling, scale: int) -> Tensor:
    out = torch.full((1, 1, image.shape[2] * scale, image.shape[3] * scale), torch.nan)
    tiled(network, image, out, tiling, scale)
    return out


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "one pixel"])
@pytest.mark.parametrize("size", [(61, 83), (16, 100), (7, 5)])
def test_tiles_are_the_whole_where_they_overlap_by_the_radius(name, size):
    make, scale, seen = NETWORKS[name]
    network = make()
    size = tuple(side * seen.step for side in size)  # what stands on a grid takes multiples of it
    image = torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(1))
    whole = network(image)
    for tile in (16, 40):
        result = in_tiles(network, image, Tiling(tile, seen.radius, seen.step), scale)
        assert float((result - whole).abs().max()) < 1e-5
        if max(size) > tile and seen.step == 1:  # on a grid an overlap is rounded up to a multiple of it
            near = in_tiles(network, image, Tiling(tile, seen.radius - 1, seen.step), scale)
            assert float((near - whole).abs().max()) > 1e-4


def test_off_its_grid_a_strided_network_shows_seams():
    network, image = made(Strided()), torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(1))
    off = in_tiles(network, image, Tiling(22, 8, 1), 1)
    assert float((off - network(image)).abs().max()) > 1e-2


@pytest.mark.parametrize(("length", "tile", "overlap", "step"), [(100, 32, 5, 1), (97, 32, 5, 8), (5, 32, 5, 1)])
def test_cores_cover_each_pixel_once_and_begin_on_the_grid(length, tile, overlap, step):
    spans = Tiling(tile, overlap, step).spans(length)
    assert [i for span in spans for i in range(span.start, span.stop)] == list(range(length))
    for span in spans:
        assert span.stop - span.start <= tile
        assert span.start % step == span.first % step == 0
        assert span.first == max(0, span.first)
        assert span.start - span.first >= min(overlap, span.start)
        assert span.last - span.stop >= min(overlap, length - span.stop)


def test_no_piece_is_larger_than_the_tile_with_its_overlap():
    seen: list[tuple[int, ...]] = []

    def watched(y: Tensor) -> Tensor:
        seen.append(tuple(y.shape[2:]))
        return interpolate(y.float(), scale_factor=2).to(torch.uint8)

    image = torch.randint(256, (1, 3, 200, 130), dtype=torch.uint8)
    out = torch.zeros(1, 3, 400, 260, dtype=torch.uint8)
    tiling, calls = Tiling(32, 6), []
    tiled(watched, image, out, tiling, 2, lambda: calls.append(len(seen)))
    assert max(map(max, seen)) <= 32 + 2 * 6
    assert len(seen) == tiling.count(200, 130) == 7 * 5
    assert calls == list(range(1, 36))
    assert torch.equal(out[:, :, ::2, 1::2], image)


# --- the eight turns ------------------------------------------------------------------------------------------


def test_the_ensemble_is_the_mean_over_the_square_symmetries():
    network = plain()
    y = torch.rand(1, 1, 9, 14, generator=torch.Generator().manual_seed(2))
    answers = []
    for transposed in (False, True):
        for rows in (1, -1):
            for columns in (1, -1):  # the same eight by other words: transpose, then reverse each axis or not
                there = y[0, 0].numpy().T if transposed else y[0, 0].numpy()
                answer = network(torch.from_numpy(there[::rows, ::columns].copy())[None, None])[0, 0].numpy()
                back = answer[::rows, ::columns]
                answers.append(back.T if transposed else back)
    np.testing.assert_allclose(SelfEnsemble(network)(y)[0, 0].numpy(), np.mean(answers, 0), rtol=0, atol=1e-6)


@pytest.mark.parametrize("quarters", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
def test_the_ensemble_turns_with_the_image(quarters, mirrored):
    y = torch.rand(2, 1, 9, 14, generator=torch.Generator().manual_seed(3))
    turn = turned(y, quarters, mirrored)
    assert torch.equal(turned_back(turn, quarters, mirrored), y)
    ensemble = SelfEnsemble(doubling())
    torch.testing.assert_close(ensemble(turn), turned(ensemble(y), quarters, mirrored), rtol=0, atol=1e-5)
    assert float((doubling()(turn) - turned(doubling()(y), quarters, mirrored)).abs().max()) > 1e-2 or not (
        quarters or mirrored
    )

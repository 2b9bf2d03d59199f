"""Laws of the diversity metrics: descriptions by hand and by loops, each blind to what it does not claim to see."""

import math
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from test_spectrum import pictures
from torch import Tensor
from toys import free_port, start, wait

from lightning_modules.metrics import diversity as d
from lightning_modules.metrics.mode_coverage import ModeCoverage
from lightning_modules.metrics.sliced_wasserstein import SlicedWasserstein
from lightning_modules.metrics.spectrum import SpectrumDistance, mean_spectrum


def scores(reference: Tensor, samples: Tensor, batch: int = 1000) -> dict[str, float]:
    metric = d.Diversity(d.describe(reference))
    for part in samples.split(batch):
        metric.update(part)
    return {name: value.item() for name, value in metric.compute().items()}


def stripes(width: int, vertical: bool = True) -> Tensor:
    """Black and white bars of ``width`` pixels: grey [1, 1, 24, 24]."""
    line = (torch.arange(24) // width % 2 * 200).byte().expand(24, 24)
    return (line if vertical else line.T)[None, None]


# --- descriptions -------------------------------------------------------------------------------------------


def test_colour_by_hand() -> None:
    image = torch.zeros(1, 3, 2, 2, dtype=torch.uint8)
    image[0, :, 0, 0] = torch.tensor([255, 0, 0])  # cell 3 0 0 is 48
    image[0, :, 0, 1] = torch.tensor([64, 127, 128])  # cell 1 1 2 is 22
    found = d.colour(image)[0]
    assert found[[48, 22, 0]].tolist() == [0.25, 0.25, 0.5]
    assert found.sum() == 1
    grey = torch.tensor([[[[0, 15, 16, 255]]]], dtype=torch.uint8)
    assert d.colour(grey)[0, [0, 1, 15]].tolist() == [0.5, 0.25, 0.25]


def test_texture_by_hand() -> None:
    # Even grey: all eight neighbours at least as bright. A bright dot: none. One edge: an arc of three or five.
    even = torch.full((1, 1, 3, 3), 9, dtype=torch.uint8)
    dot, corner, saddle = even.clone(), even.clone(), torch.zeros_like(even)
    dot[..., 1, 1] = 10
    corner[..., 0:2, 0:2] = 10  # the centre and three neighbours in one arc
    saddle[..., [0, 1, 2, 1], [1, 0, 1, 1]] = 10  # the centre and three neighbours apart
    codes = d.texture(torch.cat([even, dot, corner, saddle])).argmax(1)
    assert codes.tolist() == [8, 0, 3, 9]


def test_shape_by_hand() -> None:
    # Gradients across vertical edges point along x: direction 0; of horizontal ones along y: 4; of diagonals 2 or 6.
    vertical, horizontal = stripes(4), stripes(4, vertical=False)
    diagonal = ((torch.arange(24)[:, None] + torch.arange(24)) // 6 % 2 * 200).byte()[None, None]
    found = d.shape(torch.cat([vertical, horizontal, diagonal, diagonal.flip(3), torch.zeros_like(vertical)]))
    assert found.argmax(1)[:4].tolist() == [0, 4, 2, 6]
    assert found[[0, 1], [0, 4]].tolist() == [1, 1]
    assert found[2, 2] > 0.9
    assert found[4].tolist() == [0] * 8


def slow(image: Tensor) -> list[float]:
    """The three definitions for one image [C, H, W], a pixel at a time."""
    channels, height, width = image.shape
    x = image.tolist()
    cells = [0.0] * (16 if channels == 1 else 64)
    bright = [[0.0] * width for _ in range(height)]
    for i in range(height):
        for j in range(width):
            r, g, b = (x[c % channels][i][j] for c in range(3))
            cells[r // 16 if channels == 1 else r // 64 * 16 + g // 64 * 4 + b // 64] += 1 / (height * width)
            bright[i][j] = 299 * r + 587 * g + 114 * b
    patterns, edges = [0.0] * 10, [0.0] * 8
    circle = [(-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1)]
    for i in range(1, height - 1):
        for j in range(1, width - 1):
            ring = [bright[i + a][j + b] for a, b in circle]
            bits = [value >= bright[i][j] for value in ring]
            changes = sum(bits[n] != bits[n - 1] for n in range(8))
            patterns[sum(bits) if changes <= 2 else 9] += 1 / ((height - 2) * (width - 2))
            dx = ring[2] + 2 * ring[3] + ring[4] - ring[0] - 2 * ring[7] - ring[6]
            dy = ring[6] + 2 * ring[5] + ring[4] - ring[0] - 2 * ring[1] - ring[2]
            degrees = math.degrees(math.atan2(dy, dx)) % 180
            edges[int((degrees + 11.25) // 22.5) % 8] += math.hypot(dx, dy)
    return cells + patterns + [edge / sum(edges) for edge in edges]


@pytest.mark.parametrize("channels", [1, 3])
def test_descriptions_equal_the_slow_definitions_for_any_batches(channels: int) -> None:
    image = pictures(5, 0, (channels, 9, 12))
    found = d.describe(image)
    for one, described in zip(image, found, strict=True):
        assert described.tolist() == pytest.approx(slow(one), abs=1e-6)
        assert torch.equal(d.describe(one[None])[0], described)


def test_grey_and_its_rgb_copy_have_equal_texture_and_shape() -> None:
    grey = pictures(5, 0, (1, 16, 16))
    rgb = grey.expand(-1, 3, -1, -1)
    assert torch.equal(d.describe(grey)[:, -18:], d.describe(rgb)[:, -18:])


# --- distances ----------------------------------------------------------------------------------------------


def test_two_points_are_as_far_as_by_euclid() -> None:
    for dim in (2, 8, 64):
        a, b = torch.zeros(1, dim), torch.zeros(3, dim)
        b[:, 0], b[:, 1] = 3, 4
        values = [d.distance(a, b, seed=seed).item() for seed in range(5)]
        assert values == pytest.approx([5] * 5, rel=0.05)
        assert sum(values) / 5 == pytest.approx(5, rel=0.015)
    one = scores(stripes(4), stripes(4, vertical=False))
    assert one["shape"] == pytest.approx(math.sqrt(2), rel=0.04)  # all in direction 0, all in 4
    assert (one["colour"], one["texture"]) == (0, 0)


def test_of_a_set_to_itself_they_are_zero_and_noise_shrinks() -> None:
    image = pictures(400, 0)
    assert set(scores(image, image.flip(0)).values()) == {0.0}
    one = scores(image, pictures(400, 1))
    for batch in (1, 7):
        assert scores(image, pictures(400, 1), batch) == pytest.approx(one, rel=1e-6)
    few = scores(image[:40], pictures(40, 1))
    assert all(0 < one[name] < 0.6 * few[name] for name in one)


def test_each_sees_what_it_claims_and_nothing_else() -> None:
    # Wide images: all edges of the reference are steep.
    stretched = [pictures(200, seed, (3, 32, 128)).unfold(3, 32, 32)[:, :, :, 1] for seed in (0, 1)]
    squeezed = [torch.nn.functional.avg_pool2d(x.float(), (8, 1), 1, 0).byte()[..., :24] for x in stretched]
    reference, other = squeezed
    floor = scores(reference, other)
    turned = scores(reference, other.rot90(1, (2, 3)))
    assert turned["shape"] > 10 * floor["shape"]
    assert turned["texture"] == pytest.approx(floor["texture"], abs=1e-9)
    assert turned["colour"] == pytest.approx(floor["colour"], abs=1e-9)
    swapped = scores(reference, (other.float() * torch.tensor([1.0, 1.0, 0.3]).view(3, 1, 1)).byte())
    assert swapped["colour"] > 5 * floor["colour"]
    assert swapped["shape"] < 3 * floor["shape"]
    grain = torch.randint(-9, 10, other.shape, generator=torch.Generator().manual_seed(0))
    grainy = scores(reference, (other + grain).clamp(0, 255).byte())
    assert grainy["texture"] > 5 * floor["texture"]
    assert grainy["colour"] < 3 * floor["colour"]


def test_brightness_is_no_texture_and_no_shape() -> None:
    image = pictures(50, 0) // 2
    found = scores(image, image + 60)
    assert found["colour"] > 0.1
    assert (found["texture"], found["shape"]) == (0, 0)


def test_a_collapsed_set_is_far_though_each_image_is_real() -> None:
    image = pictures(300, 0)
    floor = scores(image, pictures(300, 1))
    described = d.describe(image)
    middle = (described - described.mean(0)).norm(dim=1).argmin()  # the most ordinary of all
    collapsed = scores(image, image[middle].expand(300, -1, -1, -1))
    assert all(collapsed[name] > 2 * floor[name] for name in floor)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: d.Diversity(torch.zeros(3, 7)), "describes no images"),
        (lambda: d.Diversity(torch.zeros(0, 82)), "describes no images"),
        (lambda: d.Diversity(torch.zeros(3, 82)).update(pictures(2, 0, (1, 8, 8))), "1 channels, the reference 3"),
        (lambda: d.Diversity(torch.zeros(3, 82)).compute(), "no images"),
        (lambda: d.describe(pictures(2, 0, (1, 2, 8))), "at least 3 pixels"),
        (lambda: d.describe(torch.zeros(2, 4, 8, 8, dtype=torch.uint8)), "are no images"),
    ],
)
@pytest.mark.filterwarnings("ignore:The ``compute`` method:UserWarning")
def test_what_is_wrong_is_said_in_one_sentence(act, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        act()
    assert "\n" not in str(error.value)


# --- ranks: all metrics without an extractor ------------------------------------------------------------------


def _all_scores(reference: Tensor, share: Tensor, points: Tensor) -> dict[str, float]:
    shape = tuple(reference.shape[1:])
    metrics = [
        d.Diversity(d.describe(reference), slices=16),
        SpectrumDistance(mean_spectrum([reference], shape), shape),
        SlicedWasserstein(reference, images=20, count=8, slices=8),
    ]
    coverage = ModeCoverage.ring()
    if len(share):
        for metric in metrics:
            metric.update(share)
        coverage.update(points)
    return {name: value.item() for metric in (*metrics, coverage) for name, value in metric.compute().items()}


def _rank(rank: int, world: int, port: int, folder: Path) -> None:
    torch.set_num_threads(1)
    address = f"tcp://127.0.0.1:{port}"
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=world)
    found = []
    for edge in (17, 30):  # 17 and 13 images; then all of them on rank 0
        part = slice(0, edge) if rank == 0 else slice(edge, 30)
        found.append(_all_scores(pictures(25, 0), pictures(30, 1)[part], _points()[part]))
    torch.save(found, folder / f"{rank}.pt")
    dist.destroy_process_group()


def _points() -> Tensor:
    return ModeCoverage.ring().centres.repeat(4, 1)[:30] + 0.02


@pytest.mark.filterwarnings("ignore:The ``compute`` method:UserWarning")
def test_two_ranks_even_an_idle_one_are_one(tmp_path: Path) -> None:
    port = free_port()
    wait([start(_rank, rank, 2, port, tmp_path) for rank in range(2)])
    one = _all_scores(pictures(25, 0), pictures(30, 1), _points())
    assert len(one) == 3 + 2 + 3 + 5
    for rank in range(2):
        for found in torch.load(tmp_path / f"{rank}.pt", weights_only=True):
            assert found == pytest.approx(one, rel=1e-6, abs=1e-9)

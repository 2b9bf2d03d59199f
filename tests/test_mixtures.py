"""Laws of the two-dimensional mixtures: distinct centres, equal weights, the stated deviation."""

import math

import pytest
import torch
from jsonargparse import ArgumentParser

from datamodules.functional.mixtures import GRIDS, RINGS
from datamodules.mixtures import Grid, Mixture, Ring

MIXTURES = [(Ring, 8, 0.01), (Grid, 25, 0.05)]


@pytest.mark.parametrize(("make", "modes", "std"), MIXTURES)
def test_equally_weighted_distinct_modes(make, modes, std):
    data = make()
    train = data.reference("train")
    assert train.points.shape == (100_000, 2)
    assert (data.out_shape, data.num_classes, data.value_range) == ((2,), modes, None)
    assert len(data.centres.unique(dim=0)) == modes
    assert torch.pdist(data.centres).min() > 14 * std
    assert train.labels.bincount().tolist() == [100_000 // modes] * modes
    assert data.reference("test").labels.bincount().tolist() == [1000] * modes


@pytest.mark.parametrize(("make", "modes", "std"), MIXTURES)
def test_points_scatter_round_their_own_centre(make, modes, std):
    data = make()
    train = data.reference("train")
    offsets = train.points - data.centres[train.labels]
    assert (offsets.std(dim=0) / std - 1).abs().max() < 0.01
    assert torch.cdist(train.points, data.centres).argmin(1).eq(train.labels).all()
    for mode in range(modes):
        mean = offsets[train.labels == mode].mean(dim=0)
        assert mean.abs().max() < 5 * std / math.sqrt(100_000 / modes)


def test_ring_centres_by_hand():
    centres = Ring(modes=4, radius=2.0).centres
    expected = torch.tensor([[2.0, 0.0], [0.0, 2.0], [-2.0, 0.0], [0.0, -2.0]])
    assert (centres - expected).abs().max() < 1e-6
    assert (Ring().centres.norm(dim=1) - 1).abs().max() < 1e-6


def test_grid_centres_by_hand():
    assert sorted(Grid().centres.tolist()) == [[float(x), float(y)] for x in range(-4, 5, 2) for y in range(-4, 5, 2)]
    assert Grid(side=2, spacing=1.0).centres.abs().eq(0.5).all()
    assert Grid(side=1).centres.tolist() == [[0.0, 0.0]]


def test_points_are_a_function_of_the_draw_and_not_of_the_runs_seed():
    hashes = [Ring(seed=seed, draw=draw).reference("train").sha256 for seed, draw in ((0, 0), (5, 0), (0, 1))]
    assert hashes[0] == hashes[1] != hashes[2]
    data = Ring(points_per_mode=1000)
    assert not torch.equal(data.reference("train").points, data.reference("test").points)


def test_points_are_fed_like_images_without_a_range():
    data = Ring(batch_size=100)
    x, y = next(iter(data.train_dataloader()))
    assert (x.shape, x.dtype, y.shape, y.dtype) == ((100, 2), torch.float32, (100,), torch.int64)
    [(x, y)] = data.val_dataloader()
    assert y.bincount().tolist() == [8] * 8
    assert torch.equal(x, data.reference("test")[:64])


@pytest.mark.parametrize(
    "make", [lambda: Ring(modes=0), lambda: Ring(radius=0), lambda: Grid(side=0), lambda: Grid(spacing=-1.0),
             lambda: Ring(std=-1.0), lambda: Grid(points_per_mode=0), lambda: Ring(batch_size=0)],
)  # fmt: skip
def test_a_wrong_setting_is_named(make):
    with pytest.raises(ValueError, match=r"^[^\n]+\.$"):
        make()


@pytest.mark.parametrize(("make", "names", "modes"), [(Ring, RINGS, (8, 10)), (Grid, GRIDS, (25,))])
def test_presets_have_exactly_their_modes_each_of_equal_weight(make, names, modes):
    for name in names:
        data = make.preset(name, points=1000)
        train = data.reference("train")
        assert len(data.centres) == (modes[1] if name == "presgan" else modes[0])
        assert torch.pdist(data.centres).min() > 14 * data.std
        assert train.labels.bincount().tolist() == [1000 // len(data.centres)] * len(data.centres)
        # The points themselves: as many lie round each centre, so that none is doubled and none is missing.
        near = torch.cdist(train.points, data.centres).argmin(1).bincount(minlength=len(data.centres))
        assert near.tolist() == train.labels.bincount().tolist()


def test_no_ring_closes_the_circle():
    # Eight angles over the closed circle are seven, one of double weight (poolio/unrolled_gan, issue 7).
    closed = torch.linspace(0, 2 * math.pi, 8, dtype=torch.float64)
    wrong = torch.stack([closed.cos(), closed.sin()], dim=1)
    assert torch.pdist(wrong).min() < 1e-6
    right = Ring.preset("unrolled").centres
    assert torch.pdist(right).min() == pytest.approx(2 * math.sin(math.pi / 8), abs=1e-6)
    assert right.mean(dim=0).abs().max() < 1e-6
    assert torch.equal(right, Ring().centres)


def test_presets_are_those_of_the_papers():
    assert torch.equal(Ring.preset("self-conditioned").centres, Ring(radius=2.0).centres)
    assert torch.equal(Ring.preset("presgan").centres, Ring(modes=10, radius=3.0).centres)
    assert torch.equal(Grid.preset("veegan").centres, Grid().centres)
    assert [Ring.preset(name).std for name in RINGS] == [0.01] * 4 + [0.05]
    assert [Grid.preset(name).std for name in GRIDS] == [0.05] * 3
    assert Ring.preset().reference("train").sha256 == Ring().reference("train").sha256
    assert Grid.preset().reference("train").sha256 == Grid().reference("train").sha256
    other = Grid.preset(points=50, batch_size=10, seed=3, val_images=5, draw=4)
    assert (other.points_per_mode, other.batch_size, other.seed, other.val_images, other.draw) == (2, 10, 3, 5, 4)


def test_presets_can_be_named_in_a_config():
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--data", type=Mixture)
    asked = {"class_path": "datamodules.mixtures.Ring.preset", "init_args": {"name": "presgan", "batch_size": 100}}
    data = parser.instantiate(parser.parse_object({"data": asked})).data
    assert isinstance(data, Ring)
    assert (data.num_classes, data.batch_size) == (10, 100)


@pytest.mark.parametrize(
    "make", [lambda: Ring.preset("pakgan"), lambda: Grid.preset("presgan"), lambda: Ring.preset(points=1001),
             lambda: Grid.preset(points=0)],
)  # fmt: skip
def test_a_wrong_preset_is_named(make):
    with pytest.raises(ValueError, match=r"^[^\n]+\.$"):
        make()

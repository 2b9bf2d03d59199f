"""Laws of the sliced Wasserstein distance: exact on a line, equal to slow numpy, a function of two sets alone."""

import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
import torch
from torch import Tensor

from datamodules.functional.keys import key
from lightning_modules.metrics import wasserstein as w
from lightning_modules.metrics.sliced_wasserstein import (
    SlicedWasserstein,
    _mixed,
    choose,
    fingerprints,
    laplacian_pyramid,
    level_sizes,
    patches,
    places,
)

SMALL = {"count": 16, "slices": 32}


def noise(n: int, seed: int, shape: tuple[int, ...] = (3, 32, 32)) -> Tensor:
    """Smooth random images."""
    x = torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    return (128 + 60 * smooth).clamp(0, 255).byte()


def swd(reference: Tensor, samples: Tensor, batch: int = 1000, **settings: int) -> dict[str, float]:
    metric = SlicedWasserstein(reference, **{**SMALL, **settings})
    for part in samples.split(batch):
        metric.update(part)
    return {name: value.item() for name, value in metric.compute().items()}


# --- on a line ----------------------------------------------------------------------------------------------


def test_wasserstein_by_hand() -> None:
    a = torch.tensor([[0.0, 1.0, 3.0], [2.0, 2.0, 2.0]])
    b = torch.tensor([[5.0, 6.0, 8.0], [3.0, 1.0, 2.0]])
    assert w.wasserstein(a, b).tolist() == pytest.approx([5, 2 / 3])
    # Quantile functions 0, 1 on halves against 0, 3, 3 on thirds: 1/6 * 3 + 1/2 * 2.
    assert w.wasserstein(torch.tensor([[1.0, 0.0]]), torch.tensor([[3.0, 0.0, 3.0]])).item() == pytest.approx(1.5)


@pytest.mark.parametrize(("n", "m"), [(50, 50), (50, 35), (7, 100), (1, 9)])
def test_wasserstein_equals_scipy(n: int, m: int) -> None:
    stream = torch.Generator().manual_seed(0)
    a, b = torch.randn(4, n, generator=stream), 2 * torch.randn(4, m, generator=stream) + 1
    wanted = [scipy.stats.wasserstein_distance(x, y) for x, y in zip(a.numpy(), b.numpy(), strict=True)]
    assert w.wasserstein(a, b).tolist() == pytest.approx(wanted, rel=1e-6)
    assert w.wasserstein(b, a).tolist() == pytest.approx(wanted, rel=1e-6)


def test_slices_do_not_depend_on_how_many_are_sorted_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = torch.Generator().manual_seed(0)
    a, b = torch.randn(100, 5, generator=stream), torch.randn(90, 5, generator=stream) + 0.5
    along = w.directions(5, 33, 0)
    assert (along.norm(dim=0) - 1).abs().max() < 1e-12
    one = w.sliced_wasserstein(a, b, along).item()
    monkeypatch.setattr(w, "AT_ONCE", 700)
    monkeypatch.setattr(w, "ROWS", 13)
    assert w.sliced_wasserstein(a, b, along).item() == pytest.approx(one, rel=1e-7)
    # Of two points it is |v| times the mean of |cos|.
    point = w.sliced_wasserstein(torch.zeros(1, 5), torch.tensor([[3.0, 0, 0, 0, 4.0]]), along).item()
    assert point == pytest.approx((3 * along[0] + 4 * along[4]).abs().mean().item(), rel=1e-6)


def test_orthonormal_directions_are_at_right_angles_and_uniform() -> None:
    along = w.orthonormal_directions(6, 6000, 0)
    first = along[:, :6]
    assert (first.T @ first - torch.eye(6)).abs().max() < 1e-12
    assert (along @ along.T / 1000 - torch.eye(6)).abs().max() < 1e-12
    assert along.abs().mean(1).tolist() == pytest.approx([16 / 15 / torch.pi] * 6, rel=0.03)  # E|x| on R^6's sphere
    assert w.orthonormal_directions(6, 7, 0).shape == (6, 7)


# --- pyramid and patches ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "levels"), [((64, 64), [64, 32, 16]), ((31, 45), [31, 16]), ((28, 28), [28])])
def test_pyramid_is_that_of_scipy_and_loses_nothing(size: tuple[int, int], levels: list[int]) -> None:
    image = noise(2, 0, (3, *size)).float()
    found = laplacian_pyramid(image)
    assert [min(level.shape[2:]) for level in found] == level_sizes(*size) == levels
    filter_2d = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1])[None, None] / 256
    x = image.double().numpy()
    for level in found[:-1]:
        small = scipy.ndimage.convolve(x, filter_2d, mode="mirror")[:, :, ::2, ::2]
        large = np.zeros_like(x)
        large[:, :, ::2, ::2] = small
        assert np.abs(x - scipy.ndimage.convolve(large, 4 * filter_2d, mode="mirror") - level.numpy()).max() < 1e-4
        x = small
    assert np.abs(x - found[-1].numpy()).max() < 1e-4


def test_fingerprints_are_the_house_hash_and_differ() -> None:
    # One part of key() is the finaliser of 1 + part + the golden ratio; seeds of 63 bits are its upper ones.
    part = 12345
    state = (1 + part + 0x9E3779B97F4A7C15) % 2**64
    mixed = _mixed(torch.tensor([state - 2**64])).item() % 2**64
    assert mixed >> 1 == key(part)
    image = noise(500, 0)
    image[1] = image[0]
    image[2, 0, 0, 0] ^= 1  # a single bit
    names = fingerprints(image, 0)
    assert names[0] == names[1]
    assert len(names.unique()) == 499
    assert not fingerprints(image, 1).eq(names).any()
    assert torch.equal(fingerprints(image[100:103], 0), names[100:103])


def test_places_are_uniform_and_reach_the_borders() -> None:
    y, x = places(fingerprints(noise(400, 0), 0), 128, 26, 10, seed=0)
    assert y.shape == x.shape == (400, 128)
    joint = (10 * y + x).flatten().bincount(minlength=260)
    assert len(joint) == 260
    assert scipy.stats.chisquare(joint).pvalue > 1e-3
    assert not torch.equal(y[0], y[1])


def slow(a: Tensor, b: Tensor, level: int, count: int, slices: int, seed: int) -> float:
    """The definition in numpy, a patch and a direction at a time, at the same places along the same directions."""
    sides = []
    for image in (a, b):
        pixels = laplacian_pyramid(image.float())[level].numpy()
        rows, columns = (side - 6 for side in pixels.shape[2:])
        y, x = places(fingerprints(image, seed), count, rows, columns, key(seed, level))
        cuts = [
            pixels[i, :, y[i, j] : y[i, j] + 7, x[i, j] : x[i, j] + 7] for i in range(len(image)) for j in range(count)
        ]
        cuts_64 = np.stack(cuts).astype(np.float64)
        cuts_64 -= cuts_64.mean((0, 2, 3), keepdims=True)
        cuts_64 /= cuts_64.std((0, 2, 3), keepdims=True)
        sides.append(cuts_64.reshape(len(cuts), -1))
    along = w.directions(sides[0].shape[1], slices, key(seed, level)).numpy()
    return 1000 * float(np.mean([scipy.stats.wasserstein_distance(sides[0] @ d, sides[1] @ d) for d in along.T]))


@pytest.mark.parametrize(("shape", "n", "m"), [((3, 32, 32), 12, 12), ((1, 32, 40), 9, 14)])
def test_distance_equals_the_slow_definition(shape: tuple[int, ...], n: int, m: int) -> None:
    a, b = noise(n, 1, shape), noise(m, 2, shape) // 2
    found = swd(b, a, seed=3, count=10, slices=8)
    wanted = [slow(a, b, level, count=10, slices=8, seed=3) for level in (0, 1)]
    assert found == pytest.approx({"swd_32": wanted[0], "swd_16": wanted[1], "swd": sum(wanted) / 2}, rel=1e-5)


def test_patches_are_normalised_a_channel_at_a_time() -> None:
    image = noise(20, 0)
    image[:, 1] //= 4
    for level in (0, 1):
        found = patches(image, level, 16, 0).view(-1, 3, 49).double()
        assert found.shape[0] == 320
        assert found.mean((0, 2)).abs().max() < 1e-6
        assert (found.square().mean((0, 2)) - 1).abs().max() < 1e-5


# --- a function of the two sets -----------------------------------------------------------------------------


def test_of_a_set_to_itself_it_is_zero_in_any_order_and_batches() -> None:
    image = noise(40, 0)
    shuffled = image[torch.randperm(40, generator=torch.Generator().manual_seed(0))]
    assert set(swd(image, shuffled, batch=7).values()) == {0.0}
    other = noise(40, 1)
    one = swd(image, other)
    assert one["swd"] > 0
    assert swd(image, other.flip(0), batch=3) == pytest.approx(one, rel=1e-6)
    assert swd(image, other, seed=1)["swd"] != one["swd"]


def test_no_more_images_than_asked_are_kept_whatever_their_order() -> None:
    reference, other = noise(60, 0), noise(90, 1)
    metric = SlicedWasserstein(reference, images=20, **SMALL)
    assert len(metric.reference) == 20
    for part in other.flip(0).split(7):
        metric.update(part)
        assert sum(map(len, metric.seen)) <= 40 + 7
    few = choose(other, 20, 0)
    assert {tuple(x) for x in few.flatten(1).tolist()} < {tuple(x) for x in other.flatten(1).tolist()}
    assert metric.compute()["swd"].item() == pytest.approx(swd(choose(reference, 20, 0), few)["swd"], rel=1e-6)
    assert set(swd(other, other, images=20).values()) == {0.0}


def test_each_level_sees_its_own_scale() -> None:
    def smooth(seed: int) -> Tensor:
        return torch.nn.functional.avg_pool2d(noise(200, seed).float(), 5, 1, 2, count_include_pad=False)

    reference, other = smooth(0).byte(), smooth(1)
    grain = torch.randint(0, 20, (200, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    slope = torch.linspace(-60, 60, 32)
    floor = swd(reference, other.byte(), count=64)
    grainy = swd(reference, (other + grain).byte(), count=64)
    slanted = swd(reference, (other + slope).clamp(0, 255).byte(), count=64)
    assert grainy["swd_32"] > 3 * floor["swd_32"]
    assert grainy["swd_16"] < 1.2 * floor["swd_16"]
    assert slanted["swd_16"] > 10 * floor["swd_16"]
    assert slanted["swd_32"] < 4 * floor["swd_32"]


def test_a_collapsed_generator_is_far_and_finite() -> None:
    reference = noise(50, 0)
    floor = swd(reference, noise(50, 1))["swd"]
    assert swd(reference, reference[:1].expand(50, -1, -1, -1))["swd"] > 2 * floor
    grey = torch.full((50, 3, 32, 32), 77, dtype=torch.uint8)
    found = swd(reference, grey)
    assert found["swd"] > 5 * floor
    # All patches are 0: the mean length of a normalised reference patch along a direction remains.
    along = w.directions(147, SMALL["slices"], key(0, 0))
    wanted = 1000 * (patches(reference, 0, SMALL["count"], 0).double() @ along).abs().mean().item()
    assert found["swd_32"] == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: SlicedWasserstein(noise(4, 0, (1, 8, 8))), "at least 16 pixels"),
        (lambda: SlicedWasserstein(noise(4, 0).float()), "are no images"),
        (lambda: SlicedWasserstein(noise(4, 0)[:0]), "has no images"),
        (lambda: SlicedWasserstein(noise(4, 0)).update(noise(4, 0, (1, 32, 32))), "bring both to one kind"),
        (lambda: SlicedWasserstein(noise(4, 0)).compute(), "update it first"),
        (lambda: w.wasserstein(torch.zeros(2, 0), torch.zeros(2, 3)), "here are 0 and 3"),
    ],
)
@pytest.mark.filterwarnings("ignore:The ``compute`` method:UserWarning")
def test_what_is_wrong_is_said_in_one_sentence(act, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        act()
    assert "\n" not in str(error.value)

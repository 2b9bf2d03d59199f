"""Laws of nearest neighbours: they are the nearest, whatever the blocks; who memorises stands out, and is shown."""

import pytest
import torch
from looking import gaussian, scored, shuffled
from torch import Tensor

from lightning_modules.metrics import neighbours
from lightning_modules.metrics.base import Look, Setting
from lightning_modules.metrics.gathered import FeatureStore
from lightning_modules.metrics.neighbours import NearestNeighbours, Radii, nearest, squared_radii


@pytest.mark.parametrize(("rows", "columns"), [(1024, 8192), (3, 5), (1, 1)])
def test_nearest_are_the_nearest(rows: int, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "ROWS", rows)
    monkeypatch.setattr(neighbours, "COLUMNS", columns)
    x, y = gaussian(11, 4, 1), gaussian(23, 4, 2)
    apart = (x[:, None].double() - y[None].double()).square().sum(2)
    wanted, order = apart.sort(1)
    squared, index = nearest(x, y, 7)
    assert torch.equal(index, order[:, :7])
    assert torch.allclose(squared, wanted[:, :7], rtol=1e-9)


def test_radii_leave_the_sample_itself_out() -> None:
    line = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
    assert squared_radii(line, (1, 3)).tolist() == [[1, 1, 4, 16], [49, 36, 16, 49]]


def test_distances_of_bytes_are_exact() -> None:
    x = torch.randint(0, 256, (9, 3072), generator=torch.Generator().manual_seed(0)).float()
    squared, index = nearest(x, x.flip(0), 1)
    assert squared.count_nonzero() == 0
    assert index[:, 0].tolist() == list(range(8, -1, -1))


def test_quantiles_by_hand() -> None:
    real = torch.tensor([[0.0], [10.0], [30.0]])  # nearest others: 10, 10, 20
    fake = torch.tensor([[1.0], [12.0], [33.0], [34.0], [60.0]])  # to the nearest real: 1, 2, 3, 4, 30
    found = {name: value.item() for name, value in scored(NearestNeighbours(), fake, real).items()}
    assert found == pytest.approx({"nn_p05": 1.2, "nn_median": 3.0, "nn_p95": 24.8, "nn_ratio": 0.3})


def test_who_memorises_stands_out_from_new_samples() -> None:
    both = gaussian(800, 8, 1)
    train, test = both[:400], both[400:]
    honest, copied = (scored(NearestNeighbours(), fake, train) for fake in (test, train + 1e-3))
    assert 0.8 < honest["nn_ratio"] < 1.25
    assert copied["nn_ratio"] < 0.01
    assert copied["nn_median"] < 0.01 * honest["nn_median"]


class Pictures:
    """Images that are told apart by their first pixel."""

    name, split, sha256 = "numbers", "train", ""

    def __init__(self, n: int) -> None:
        self.images = torch.zeros(n, 1, 2, 3, dtype=torch.uint8)
        self.images[:, 0, 0, 0] = torch.arange(n)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, part: slice) -> Tensor:
        return self.images[part]


def drawn(fakes: Tensor, reference: Pictures, mirror: bool, count: int = 20) -> Tensor | None:
    images = reference.images[:count]
    images = torch.cat([images, images.flip(-1)]) if mirror else images
    known = {"features": images.flatten(1).float()}
    radii = {"squared": squared_radii(known["features"], (1,))}
    metric = NearestNeighbours(shown=2, k=3)
    metric.begin(Setting((1, 2, 3), 6, 0, len(fakes), {FeatureStore.kind: known, Radii((1,)).kind: radii}))
    for i in shuffled(len(fakes), 2):
        metric.update(Look(fakes[i], i, fakes[i].flatten(1).float(), torch.empty(len(i), 0)))
    assert metric.picture(reference, count) is None  # not computed yet
    metric.compute()
    return metric.picture(reference, count)


def test_the_picture_has_some_samples_and_beside_each_its_nearest() -> None:
    reference = Pictures(20)
    fakes = reference.images[[5, 19, 7]] + torch.tensor([1, 1, 0], dtype=torch.uint8).view(3, 1, 1, 1)
    picture = drawn(fakes, reference, mirror=False)
    assert picture is not None
    assert picture.shape == (2, 4, 1, 2, 3)
    assert torch.equal(picture[:, 0], fakes[:2])
    # (n + 1, 1, 1, ...) is nearest to n + 1, then to its neighbours by number.
    assert picture[0, 1, 0, 0, 0] == 6
    assert set(picture[0, 2:, 0, 0, 0].tolist()) == {5, 7}
    assert picture[1, 1:, 0, 0, 0].tolist() == [19, 18, 17]


def test_the_picture_shows_mirror_images_where_they_count() -> None:
    reference = Pictures(20)
    fakes = reference.images[[8]].flip(-1)
    picture = drawn(fakes, reference, mirror=True)
    assert picture is not None
    assert torch.equal(picture[0, 1], fakes[0])


def test_mirror_images_follow_the_first_so_many_of_the_reference() -> None:
    reference = Pictures(20)
    fakes = reference.images[[3, 8]].flip(-1)
    picture = drawn(fakes, reference, mirror=True, count=10)
    assert picture is not None
    assert torch.equal(picture[:, 1], fakes)
    assert picture[:, 1:].amax() < 10  # nothing of what the score leaves out


def test_the_picture_shows_samples_from_the_whole_range() -> None:
    reference = Pictures(20)
    picture = drawn(reference.images, reference, mirror=False)
    assert picture is not None
    assert torch.equal(picture[:, 0], reference.images[[0, 10]])


def test_a_picture_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="1 or more"):
        NearestNeighbours(shown=0)

"""Laws of precision, recall, density and coverage: values by hand, slow independent routes, bounded memory."""

import numpy as np
import pytest
import torch
from looking import gaussian, scored, shuffled
from torch import Tensor
from torch_fidelity.metric_prc import prc_features_to_metric

from lightning_modules.metrics import neighbours, prdc
from lightning_modules.metrics.prdc import PRDC

NAMES = ("precision", "recall", "density", "coverage")


def scores(real: Tensor, fake: Tensor, k: int = 3, coverage_k: int = 5) -> dict[str, float]:
    return {name: value.item() for name, value in prdc.prdc(real, fake, k, coverage_k).items()}


def slow(real: Tensor, fake: Tensor, k: int, coverage_k: int) -> dict[str, float]:
    """The definitions, pair by pair."""
    X, Y = real.double().numpy(), fake.double().numpy()

    def distance(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.sqrt(((a - b) ** 2).sum()))

    def radius(points: np.ndarray, i: int, k: int) -> float:
        return sorted(distance(points[i], points[j]) for j in range(len(points)) if j != i)[k - 1]

    real_radius, open_radius = ([radius(X, i, n) for i in range(len(X))] for n in (k, coverage_k))
    fake_radius = [radius(Y, j, k) for j in range(len(Y))]
    precise = [any(distance(x, y) <= r for x, r in zip(X, real_radius, strict=True)) for y in Y]
    recalled = [any(distance(x, y) <= r for y, r in zip(Y, fake_radius, strict=True)) for x in X]
    balls = [sum(distance(x, y) < r for x, r in zip(X, open_radius, strict=True)) for y in Y]
    covered = [any(distance(x, y) < r for y in Y) for x, r in zip(X, open_radius, strict=True)]
    values = (np.mean(precise), np.mean(recalled), np.mean(balls) / coverage_k, np.mean(covered))
    return {name: float(value) for name, value in zip(NAMES, values, strict=True)}


def test_by_hand() -> None:
    # Reals 0, 1, 2, 3 with balls of radius 1, fakes .5 and 10 with balls of radius 9.5. The fake at .5 lies in the
    # balls of 0 and of 1, the other in none; both fakes' balls hold all reals, or at least one of them does.
    real, fake = torch.tensor([[0.0], [1], [2], [3]]), torch.tensor([[0.5], [10]])
    assert scores(real, fake, 1, 1) == {"precision": 0.5, "recall": 1.0, "density": 1.0, "coverage": 0.5}


def test_balls_are_closed_for_precision_and_recall_and_open_for_density_and_coverage() -> None:
    real, fake = torch.tensor([[0.0], [1]]), torch.tensor([[2.0], [3]])  # touching at 1 and 2
    assert scores(real, fake, 1, 1) == {"precision": 0.5, "recall": 0.5, "density": 0.0, "coverage": 0.0}


@pytest.mark.parametrize(("k", "coverage_k"), [(1, 1), (3, 5), (5, 5)])
def test_equals_the_slow_definition(k: int, coverage_k: int) -> None:
    real, fake = gaussian(40, 3, 1), gaussian(30, 3, 1, 0.7)
    ours, theirs = scores(real, fake, k, coverage_k), slow(real, fake, k, coverage_k)
    assert ours == pytest.approx(theirs, abs=1e-12)
    assert all(0.1 < value < 1.5 for value in theirs.values())  # nothing is trivial here


@pytest.mark.parametrize("k", [3, 5])
def test_precision_and_recall_equal_torch_fidelity(k: int) -> None:
    fake, real = gaussian(300, 16, 1, 1.5), gaussian(250, 16, 1)
    theirs = prc_features_to_metric(fake, real, prc_neighborhood=k, verbose=False)
    ours = scores(real, fake, k)
    assert 0.1 < theirs["precision"] < 0.99
    assert [ours["precision"], ours["recall"]] == pytest.approx([theirs["precision"], theirs["recall"]], abs=1e-6)


def test_of_a_set_with_itself() -> None:
    x = gaussian(300, 16, 1)
    found = scores(x, x)
    assert (found["precision"], found["recall"], found["coverage"]) == (1, 1, 1)
    assert found["density"] == pytest.approx(1, abs=0.01)


def test_of_a_far_away_set_and_of_one_mode() -> None:
    x = gaussian(200, 8, 1)
    assert set(scores(x, x + 1e4).values()) == {0}
    one_mode = scores(x, x[:1] + 1e-3 * gaussian(200, 8, 2))  # faithful, and without variety
    assert one_mode["precision"] == 1
    assert max(one_mode["recall"], one_mode["coverage"]) < 0.2


def test_blocks_do_not_matter_and_bound_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = gaussian(90, 6, 1), gaussian(70, 6, 1, 0.5)
    whole, sizes = scores(real, fake), []

    def watched(x: Tensor, y: Tensor) -> Tensor:
        sizes.append(len(x) * len(y))
        return plain(x, y)

    plain = neighbours.squared_distances
    for module in (neighbours, prdc):
        monkeypatch.setattr(module, "squared_distances", watched)
        monkeypatch.setattr(module, "ROWS", 16)
        monkeypatch.setattr(module, "COLUMNS", 4)  # fewer than the neighbours that are wanted
    assert scores(real, fake) == whole
    assert max(sizes) <= 16 * 4
    assert sum(sizes) == 90 * 90 + 70 * 70 + 70 * 90  # each distance once, but for those of a set to itself


@pytest.mark.parametrize("batch", [1, 7, 100])
def test_batches_and_their_order_do_not_matter(batch: int) -> None:
    fake, real = gaussian(60, 8, 1), gaussian(50, 8, 1, 0.5)
    assert scored(PRDC(2, 4), fake, real, shuffled(60, batch)) == scored(PRDC(2, 4), fake, real)
    whole = {name: value.item() for name, value in scored(PRDC(2, 4), fake, real).items()}
    assert whole == scores(real, fake, 2, 4)


def test_no_neighbour_is_refused() -> None:
    with pytest.raises(ValueError, match="1 or more"):
        PRDC(neighbours=0)

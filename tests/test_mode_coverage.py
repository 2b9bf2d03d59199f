"""Laws of mode coverage: hand values, slow loops as the papers' codes run them, the floors of real samples."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from datamodules.functional.mixtures import GRIDS, RINGS
from datamodules.mixtures import Grid, Ring
from lightning_modules.metrics.mode_coverage import (
    RULES,
    ModeCoverage,
    QualityRule,
    StackedModes,
    assign,
    histogram_scores,
    stacked_modes,
)

SQUARE = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])


def scores(samples: Tensor, rule: QualityRule, batch: int = 1000) -> dict[str, float]:
    """Of four modes of deviation 1."""
    metric = ModeCoverage(SQUARE, 1.0, rule)
    for part in samples.split(batch):
        metric.update(part)
    return {name: value.item() for name, value in metric.compute().items()}


def slow(samples: np.ndarray, centres: np.ndarray, std: float, rule: QualityRule) -> dict[str, float]:
    """The definition, a sample and a mode at a time."""
    near, good = [0] * len(centres), [0] * len(centres)
    for x in samples:
        distances = [math.dist(x, centre) for centre in centres]
        mode = distances.index(min(distances))
        near[mode] += 1
        if rule.per_axis:
            good[mode] += all(abs(a - b) < rule.sigmas * std for a, b in zip(x, centres[mode], strict=True))
        else:
            good[mode] += distances[mode] < rule.sigmas * std
    counted = near if rule.count_all else good
    p = [count / sum(counted) for count in counted]
    u = 1 / len(centres)
    kl = sum(a * math.log(a / u) for a in p if a)
    jsd = sum((a * math.log(2 * a / (a + u)) if a else 0) + u * math.log(2 * u / (a + u)) for a in p) / 2
    entropy = -sum(a * math.log(a) for a in p if a)
    share = sum(good) / len(samples)
    return {
        "modes": sum(map(bool, good)),
        "high_quality": share,
        "reverse_kl": kl,
        "entropy": entropy,
        "jsd": jsd,
    }


# --- hand values --------------------------------------------------------------------------------------------


def test_scores_by_hand() -> None:
    # Three deviations of 1: two good ones at mode 0, one at mode 1, one beyond mode 3 that is not good.
    samples = torch.tensor([[0.0, 0.0], [0.0, 2.9], [10.0, 0.0], [10.0, 13.1]])
    found = scores(samples, QualityRule())
    assert found["modes"] == 2
    assert found["high_quality"] == 0.75
    entropy = math.log(3) - 2 / 3 * math.log(2)  # of (2/3, 1/3)
    assert found["entropy"] == pytest.approx(entropy, abs=1e-12)
    assert found["reverse_kl"] == pytest.approx(math.log(4) - entropy, abs=1e-12)
    everything = scores(samples, QualityRule(count_all=True))
    assert (everything["modes"], everything["high_quality"]) == (2, 0.75)
    assert everything["entropy"] == pytest.approx(1.5 * math.log(2), abs=1e-12)  # of (1/2, 1/4, 1/4)


def test_corner_is_good_per_axis_only_and_the_border_is_not() -> None:
    # (2.5, 2.5) is 3.54 deviations away, but 2.5 along each axis; (3, 0) lies on the border.
    samples = torch.tensor([[2.5, 2.5], [3.0, 0.0]])
    assert scores(samples, QualityRule())["high_quality"] == 0
    assert scores(samples, QualityRule(per_axis=True))["high_quality"] == 0.5
    assert scores(samples, QualityRule(sigmas=3.6))["high_quality"] == 1


def test_histogram_scores_at_their_ends() -> None:
    even, one, nothing = torch.full((8,), 5), torch.eye(8)[0].long(), torch.zeros(8, dtype=torch.int64)
    assert [round(value.item(), 12) for value in histogram_scores(even).values()] == [0, round(math.log(8), 12), 0]
    worst = histogram_scores(one)
    assert worst["reverse_kl"].item() == pytest.approx(math.log(8))
    assert worst["entropy"].item() == 0
    # m = (9/16, 1/16, ..., 1/16): (log(16/9) + log(2/9) / 8 + 7/8 log 2) / 2
    jsd = (math.log(16 / 9) + math.log(2 / 9) / 8 + 7 / 8 * math.log(2)) / 2
    assert worst["jsd"].item() == pytest.approx(jsd, abs=1e-12)
    assert histogram_scores(nothing)["jsd"].item() == pytest.approx(math.log(2))
    assert histogram_scores(nothing)["reverse_kl"].item() == pytest.approx(math.log(8))


# --- routes and floors --------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [QualityRule(), QualityRule(per_axis=True, count_all=True), QualityRule(sigmas=1.0)])
def test_scores_equal_the_slow_definition_for_any_batches(rule: QualityRule) -> None:
    stream = torch.Generator().manual_seed(0)
    samples = 4 + 5 * torch.randn(301, 2, generator=stream)
    wanted = slow(samples.numpy().astype(float), SQUARE.numpy().astype(float), 1.0, rule)
    assert 0 < wanted["high_quality"] < 1
    for batch in (1, 7, 301):
        found = scores(samples, rule, batch)
        assert found == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize(("shape", "preset"), [("ring", name) for name in RINGS] + [("grid", name) for name in GRIDS])
def test_real_samples_score_their_floor(shape: str, preset: str) -> None:
    data = (Ring if shape == "ring" else Grid).preset(preset)
    metric = (ModeCoverage.ring if shape == "ring" else ModeCoverage.grid)(preset)
    assert torch.equal(metric.centres.float(), data.centres)
    assert (metric.std, metric.rule) == (data.std, RULES[preset])
    train = data.reference("train")
    metric.update(train.points)
    found = metric.compute()
    assert found["modes"] == len(data.centres)
    # P(two normal deviates lie within 3): of a circle 1 - exp(-9/2), of a square erf(3 / sqrt 2)^2.
    share = math.erf(3 / math.sqrt(2)) ** 2 if metric.rule.per_axis else 1 - math.exp(-4.5)
    assert found["high_quality"].item() == pytest.approx(share, abs=5 * math.sqrt(share * (1 - share) / 100_000))
    assert found["reverse_kl"] < 1e-5
    assert assign(train.points, metric.centres, metric.std, metric.rule)[0].equal(train.labels)


def test_collapse_and_noise_are_told_apart() -> None:
    points = Ring.preset("pacgan").reference("test").points
    four, wide = ModeCoverage.ring(), ModeCoverage.ring()
    half = points[points[:, 0] > 0]  # the modes at -45, 0 and 45 degrees, and halves of those at 90 and 270
    four.update(half)
    wide.update(points + 0.1 * torch.randn(points.shape, generator=torch.Generator().manual_seed(0)))
    assert four.compute()["modes"] == 5
    assert four.compute()["reverse_kl"] > math.log(8 / 5)
    assert four.compute()["high_quality"] > 0.98
    assert wide.compute()["modes"] == 8
    assert wide.compute()["high_quality"] < 0.1


def test_presets_are_those_of_the_papers() -> None:
    assert RINGS.keys() == RULES.keys() == {"pacgan", "veegan", "unrolled", "self-conditioned", "presgan"}
    assert RINGS["self-conditioned"] == (8, 2.0, 0.01)
    assert RINGS["presgan"] == (10, 3.0, 0.05)
    assert {RINGS[name] for name in ("pacgan", "veegan", "unrolled")} == {(8, 1.0, 0.01)}
    assert set(GRIDS.values()) == {(5, 2.0, 0.05)}
    assert RULES["self-conditioned"] == QualityRule(3.0, per_axis=True, count_all=True, samples=50_000)
    assert {RULES[name] for name in RULES if name != "self-conditioned"} == {QualityRule(3.0, samples=2500)}


# --- Stacked-MNIST ------------------------------------------------------------------------------------------


def test_stacked_modes_by_hand() -> None:
    each = torch.cartesian_prod(*[torch.arange(10)] * 3)
    found = stacked_modes(each.repeat(3, 1))
    assert found["modes"] == 1000
    assert found["reverse_kl"].item() == pytest.approx(0, abs=1e-12)
    one = stacked_modes(torch.tensor([[1, 2, 3]] * 26))
    assert one["modes"] == 1
    assert one["reverse_kl"].item() == pytest.approx(math.log(1000))
    # The order of the channels counts: (1, 2, 3), (3, 2, 1) and twice (2, 2, 2).
    three = stacked_modes(torch.tensor([[1, 2, 3], [3, 2, 1], [2, 2, 2], [2, 2, 2]], dtype=torch.uint8))
    assert three["modes"] == 3
    assert three["reverse_kl"].item() == pytest.approx(math.log(1000) - 1.5 * math.log(2))


def test_stacked_floor_is_that_of_a_fair_draw() -> None:
    labels = torch.randint(0, 10, (26_000, 3), generator=torch.Generator().manual_seed(0))
    metric = StackedModes()
    for part in labels.split(777):
        metric.update(part)
    found = metric.compute()
    assert found["modes"] == 1000
    assert found["reverse_kl"].item() == pytest.approx(999 / 52_000, rel=0.15)  # (K - 1) / 2n, deviation 4.5 %
    assert found == stacked_modes(labels)


# --- bad input ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: ModeCoverage.ring("pakgan"), "no ring preset 'pakgan': choose one of pacgan"),
        (lambda: ModeCoverage.grid("presgan"), "no grid preset 'presgan'"),
        (lambda: ModeCoverage(SQUARE[[0, 0, 1]], 1.0), "no distinct points"),
        (lambda: ModeCoverage(SQUARE, 0.0), "deviation 0.0"),
        (lambda: ModeCoverage.ring().update(torch.zeros(3, 3)), "2 dimensions"),
        (lambda: ModeCoverage.ring().update(torch.tensor([[0.0, math.nan]])), "not finite"),
        (lambda: ModeCoverage.ring().compute(), "no samples"),
        (lambda: StackedModes().compute(), "no samples"),
        (lambda: stacked_modes(torch.tensor([[0, 1, 10]])), "from 0 to 9"),
        (lambda: StackedModes().update(torch.zeros(2, 2, dtype=torch.int64)), "of 3 channels"),
        (lambda: StackedModes().update(torch.zeros(2, 3)), "float32 are no classes"),
    ],
)
@pytest.mark.filterwarnings("ignore:The ``compute`` method:UserWarning")
def test_what_is_wrong_is_said_in_one_sentence(act, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        act()
    assert "\n" not in str(error.value)

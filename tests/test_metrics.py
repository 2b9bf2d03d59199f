"""Laws of the metrics: closed forms, an independent reference, three ranks equal to one."""

import math
import os
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from looking import fed, scored, shuffled
from torch import Tensor
from torch_fidelity.metric_isc import isc_features_to_metric

from lightning_modules.metrics.base import EvaluationMetric
from lightning_modules.metrics.class_share import ClassShare
from lightning_modules.metrics.evaluate import floor, measure, protocol_for
from lightning_modules.metrics.extractors import Identity
from lightning_modules.metrics.frechet import FrechetDistance, Moments, frechet_distance, moments
from lightning_modules.metrics.inception_score import InceptionScore
from lightning_modules.metrics.kid import KID
from lightning_modules.metrics.neighbours import NearestNeighbours
from lightning_modules.metrics.prdc import PRDC
from lightning_modules.metrics.reference import LARGEST


def features(n: int, dim: int, seed: int) -> Tensor:
    noise = torch.Generator().manual_seed(seed)
    mix = torch.randn(dim, dim, generator=noise, dtype=torch.float64)
    return torch.randn(n, dim, generator=noise, dtype=torch.float64) @ mix + seed


def reference_fid(x: Tensor, y: Tensor) -> float:
    """numpy's covariance and scipy's general matrix root, independent of ours."""
    a, b = x.numpy(), y.numpy()
    root = scipy.linalg.sqrtm(np.cov(a, rowvar=False) @ np.cov(b, rowvar=False)).real
    gap = ((a.mean(0) - b.mean(0)) ** 2).sum()
    return float(gap + np.trace(np.cov(a, rowvar=False) + np.cov(b, rowvar=False) - 2 * root))


# --- Fréchet distance ---------------------------------------------------------------------------------------


def test_frechet_of_two_gaussians_is_the_closed_form() -> None:
    # Commuting covariances: |m|^2 + sum (sqrt(a) - sqrt(b))^2 = 25 + (1 - 2)^2 + (3 - 1)^2 + (0 - 2)^2.
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))[0]
    zero, mean = torch.zeros(3).double(), torch.tensor([3.0, 4.0, 0.0]).double()
    a = Moments(zero, turn @ torch.diag(torch.tensor([1.0, 9.0, 0.0]).double()) @ turn.T)
    b = Moments(mean, turn @ torch.diag(torch.tensor([4.0, 1.0, 4.0]).double()) @ turn.T)
    assert abs(frechet_distance(a, b).item() - 34.0) < 1e-6
    assert abs(frechet_distance(b, a).item() - 34.0) < 1e-6


@pytest.mark.parametrize(("n", "dim"), [(300, 8), (500, 64)])
def test_frechet_equals_scipy(n: int, dim: int) -> None:
    x, y = features(n, dim, 1), features(n, dim, 2)
    ours = frechet_distance(moments(x), moments(y)).item()
    assert abs(ours / reference_fid(x, y) - 1) < 1e-8


def test_moments_equal_numpy() -> None:
    x = features(50, 6, 1)
    ours = moments(x.float())
    assert np.allclose(ours.mean, x.float().double().mean(0), atol=1e-12)
    assert np.allclose(ours.cov, np.cov(x.float().double().numpy(), rowvar=False), atol=1e-10)


def test_frechet_of_itself_is_zero() -> None:
    x = moments(features(500, 64, 1))
    assert abs(frechet_distance(x, x).item()) < 1e-3


def test_fewer_samples_than_dimensions_is_finite_and_right() -> None:
    # Two sets in one plane: all of the other 62 dimensions are singular. The plane alone gives the same distance.
    x, y = features(20, 2, 1), features(20, 2, 2)
    plane = torch.linalg.qr(torch.randn(64, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))[0]
    flat = frechet_distance(moments(x @ plane.T), moments(y @ plane.T)).item()
    assert math.isfinite(flat)
    assert abs(flat - frechet_distance(moments(x), moments(y)).item()) < 1e-4


def test_one_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="at least two images"):
        moments(torch.zeros(1, 4))


@pytest.mark.parametrize("batch", [1, 7, 100, 333])
def test_frechet_is_invariant_to_the_batch_size(batch: int) -> None:
    x, y = features(333, 16, 1).float(), features(200, 16, 2).float()
    found = scored(FrechetDistance(), x, y, shuffled(333, batch))["fid"].item()
    assert abs(found - frechet_distance(moments(y), moments(x)).item()) < 1e-6


def test_one_feature_is_enough() -> None:
    # (m - m')^2 + (s - s')^2 of two pairs: means 1 and 7, deviations sqrt 2 and sqrt 18.
    x, y = torch.tensor([[0.0], [2.0]]), torch.tensor([[4.0], [10.0]])
    assert scored(FrechetDistance(), x, y)["fid"].item() == pytest.approx(36 + (18**0.5 - 2**0.5) ** 2)


# --- Inception score ----------------------------------------------------------------------------------------


def inception_score(logits: Tensor, splits: int) -> tuple[float, float]:
    """The definition, with all predictions kept."""
    scores = []
    for i in range(splits):
        n = len(logits)
        p = logits[i * n // splits : (i + 1) * n // splits].double().softmax(1).numpy()
        kl = (p * (np.log(p) - np.log(p.mean(0, keepdims=True)))).sum(1).mean()
        scores.append(np.exp(kl))
    return float(np.mean(scores)), float(np.std(scores))


def measured(
    logits: Tensor, splits: int, batches: list[Tensor] | None = None, shuffle: int | None = None
) -> list[float]:
    found = fed(InceptionScore(splits, shuffle), torch.empty(len(logits), 0), logits=logits, batches=batches)
    return [found["is"].item(), found["is_std"].item()]


def test_one_hot_predictions_score_the_number_of_classes() -> None:
    assert measured(1e4 * torch.eye(7).repeat(10, 1), 10) == pytest.approx([7, 0], abs=1e-9)


def test_constant_predictions_score_one() -> None:
    assert measured(torch.randn(1, 7).expand(40, 7), 4) == pytest.approx([1, 0], abs=1e-9)


@pytest.mark.parametrize("splits", [1, 4, 10])
def test_inception_score_is_the_definition_in_any_order(splits: int) -> None:
    logits = features(103, 5, 3).float()  # 103 images make uneven splits
    wanted = inception_score(logits, splits)
    assert measured(logits, splits, shuffled(103, 10)) == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize(("shuffle", "seed"), [(True, 2020), (True, 3), (False, 0)])
def test_inception_score_equals_torch_fidelity(shuffle: bool, seed: int) -> None:
    logits = features(103, 5, 3).float()
    theirs = isc_features_to_metric(logits, splits=4, shuffle=shuffle, rng_seed=seed)
    ours = measured(logits, 4, shuffled(103, 10), seed if shuffle else None)
    assert ours == pytest.approx([theirs["inception_score_mean"], theirs["inception_score_std"]], rel=1e-9)


def test_more_splits_than_images_are_refused() -> None:
    with pytest.raises(ValueError, match="5 in 10 splits"):
        measured(torch.zeros(5, 3), 10)
    with pytest.raises(ValueError, match="splits must be 1 or more"):
        InceptionScore(0)


# --- class shares -------------------------------------------------------------------------------------------


def test_class_shares_by_hand() -> None:
    sure, unsure = math.log(0.95 / 0.05), math.log(0.85 / 0.15)  # of two classes: p = .95 and .85
    logits = torch.tensor([[sure, 0.0], [unsure, 0.0], [0.0, sure], [sure, 0.0]])
    found = fed(ClassShare(), torch.empty(4, 0), logits=logits)
    assert {name: value.item() for name, value in found.items()} == {
        "confident": 0.75,
        "class_min": 0.25,
        "class_max": 0.75,
    }


# --- ranks --------------------------------------------------------------------------------------------------


class Pictures:
    """A set of images of seeded noise; duck-typed as ``datamodules.base.ImageSet``."""

    def __init__(self, n: int, split: str, seed: int) -> None:
        noise = torch.Generator().manual_seed(seed)
        self.images = torch.randint(0, 256, (n, 1, 2, 3), generator=noise, dtype=torch.uint8)
        self.name, self.split, self.sha256 = "noise", split, f"{split} {n} {seed}"

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, part: slice) -> Tensor:
        return self.images[part]


def _metrics() -> list[EvaluationMetric]:
    standard = [FrechetDistance(), InceptionScore(), ClassShare()]
    return [*standard, KID(4, 50), PRDC(), NearestNeighbours()]


def _scores() -> tuple[dict[str, float], Tensor]:
    """Scores and picture of an evaluation with odd counts.

    337 fakes, 101 reference images (too few for three ranks), 203 for the floor.
    """
    reference, real, extractor = Pictures(101, "train", 1), Pictures(203, "test", 2), Identity((1, 2, 3), 6)
    metrics = _metrics()
    protocol = protocol_for(reference, extractor, fakes=337, metrics=metrics, seed=5, real=real)

    def generator(n: int) -> Tensor:
        return torch.randint(0, 200, (n, 1, 2, 3)).byte()

    scores, shown = measure(generator, reference, protocol, extractor, metrics)
    of_real = floor(real, reference, protocol, extractor, metrics)
    return scores | {f"floor {k}": v for k, v in of_real.items()}, shown["nn_p05"]


def _rank(rank: int, world: int, folder: str) -> None:
    torch.set_num_threads(1)
    os.environ["ATELIER_CACHE"] = f"{folder}/cache"
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world)
    torch.manual_seed(rank)
    torch.save(_scores(), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_three_ranks_equal_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mp.spawn(_rank, (3, str(tmp_path)), nprocs=3)
    monkeypatch.setenv("ATELIER_CACHE", str(tmp_path / "another"))
    one, picture = _scores()
    names = [name for metric in _metrics() for name in metric.names]
    assert {f"{prefix}{name}@identity" for prefix in ("", "floor ") for name in names} == one.keys()
    for rank in range(3):
        three, of_three = torch.load(tmp_path / f"{rank}.pt")
        assert torch.equal(of_three, picture)
        assert three.keys() == one.keys()
        assert max(abs(one[name] / three[name] - 1) for name in one if one[name]) < 1e-6
    # Moments, features, two kinds of radii and the floor, each written by rank 0 alone.
    assert len(list((tmp_path / "cache").iterdir())) == 5
    assert LARGEST > 4 * 50_000 * 2048  # what is kept must hold the features of a training split

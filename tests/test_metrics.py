"""Laws of the metrics: closed forms, an independent reference, constant memory, two ranks equal to one."""

import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from lightning_modules.metrics.class_share import class_share
from lightning_modules.metrics.evaluate import evaluate, floor, protocol_for
from lightning_modules.metrics.extractors import Identity
from lightning_modules.metrics.frechet import FeatureMoments, FrechetDistance, Moments, frechet_distance, moments
from lightning_modules.metrics.inception_score import InceptionScore
from lightning_modules.metrics.protocol import Protocol, metric_name

NAMES = ("fid", "is", "is_std", "confident", "class_min", "class_max")


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
    metric = FrechetDistance(moments(y))
    for part in x.split(batch):
        metric.update(part)
    assert abs(metric.compute().item() - frechet_distance(moments(y), moments(x)).item()) < 1e-6


def test_memory_does_not_grow_with_the_images() -> None:
    metrics = [FeatureMoments(8), FrechetDistance(moments(features(20, 8, 1)))]
    for metric in metrics:
        metric.update(features(10, 8, 1))
        before = sum(value.numel() for value in metric.metric_state.values())
        metric.update(features(5000, 8, 2))
        assert sum(value.numel() for value in metric.metric_state.values()) == before == 8 + 64 + 1


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


def test_one_hot_predictions_score_the_number_of_classes() -> None:
    metric = InceptionScore(7, 70, splits=10)
    metric.update(1e4 * torch.eye(7).repeat(10, 1), torch.arange(70))
    mean, std = metric.compute()
    assert abs(mean.item() - 7) < 1e-9
    assert abs(std.item()) < 1e-9


def test_constant_predictions_score_one() -> None:
    metric = InceptionScore(7, 40, splits=4)
    metric.update(torch.randn(1, 7).expand(40, 7), torch.arange(40))
    mean, std = metric.compute()
    assert abs(mean.item() - 1) < 1e-9
    assert abs(std.item()) < 1e-9


@pytest.mark.parametrize("splits", [1, 4, 10])
def test_inception_score_is_the_definition_in_any_order(splits: int) -> None:
    logits = features(103, 5, 3).float()  # 103 images make uneven splits
    order = torch.randperm(103, generator=torch.Generator().manual_seed(0))
    metric = InceptionScore(5, 103, splits)
    for index in order.split(10):
        metric.update(logits[index], index)
    mean, std = inception_score(logits, splits)
    assert abs(metric.compute()[0].item() - mean) < 1e-9
    assert abs(metric.compute()[1].item() - std) < 1e-9


def test_more_splits_than_images_are_refused() -> None:
    with pytest.raises(ValueError, match="5 in 10 splits"):
        InceptionScore(3, 5, splits=10)


# --- class shares -------------------------------------------------------------------------------------------


def test_class_shares_by_hand() -> None:
    sure, unsure = math.log(0.95 / 0.05), math.log(0.85 / 0.15)  # of two classes: p = .95 and .85
    logits = torch.tensor([[sure, 0.0], [unsure, 0.0], [0.0, sure], [sure, 0.0]])
    confident, shares = class_share(logits)
    assert confident.item() == 0.75
    assert shares.tolist() == [0.75, 0.25]


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


def _scores() -> dict[str, float]:
    """An evaluation with odd counts: 337 fakes, 101 reference images, 203 for the floor."""
    reference, real, extractor = Pictures(101, "train", 1), Pictures(203, "test", 2), Identity((1, 2, 3), 6)
    protocol = protocol_for(reference, extractor, fakes=337, seed=5, real=real)
    scores = evaluate(lambda n: torch.randint(0, 200, (n, 1, 2, 3)).byte(), reference, protocol, extractor)
    return scores | {f"floor {k}": v for k, v in floor(real, reference, protocol, extractor).items()}


def _rank(rank: int, world: int, folder: str) -> None:
    torch.set_num_threads(1)
    os.environ["ATELIER_CACHE"] = f"{folder}/cache"
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world)
    torch.manual_seed(rank)
    torch.save(_scores(), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_ranks_equal_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mp.spawn(_rank, (2, str(tmp_path)), nprocs=2)
    monkeypatch.setenv("ATELIER_CACHE", str(tmp_path / "another"))
    one = _scores()
    assert {f"{prefix}{name}@identity" for prefix in ("", "floor ") for name in NAMES} == one.keys()
    for rank in (0, 1):
        two = torch.load(tmp_path / f"{rank}.pt")
        assert two.keys() == one.keys()
        assert max(abs(one[name] / two[name] - 1) for name in one if one[name]) < 1e-6
    assert len(list((tmp_path / "cache").iterdir())) == 2  # the reference and the floor, written by rank 0 alone


# --- protocol -----------------------------------------------------------------------------------------------

PROTOCOL = Protocol(
    data="digits",
    data_sha256="ab",
    resolution="1x32x32",
    resize="none",
    extractor="digits-cnn",
    extractor_sha256="cd",
    reference_split="train",
    reference_count=1437,
    fakes=1000,
    is_splits=10,
)


def test_difference_names_the_fields() -> None:
    other = replace(PROTOCOL, fakes=5000, weights="raw")
    assert PROTOCOL.difference(other) == {"fakes": (1000, 5000), "weights": ("ema", "raw")}
    assert PROTOCOL.difference(replace(PROTOCOL)) == {}


def test_key_is_equal_for_equal_protocols_only() -> None:
    assert PROTOCOL.key() == Protocol(**PROTOCOL.as_dict()).key()  # type: ignore[arg-type]
    others = [replace(PROTOCOL, seed=1), replace(PROTOCOL, is_splits=1), replace(PROTOCOL, extractor_sha256="ce")]
    assert len({p.key() for p in (PROTOCOL, *others)}) == 4


def test_fields_are_plain() -> None:
    assert all(value is None or isinstance(value, str | int | float | bool) for value in PROTOCOL.as_dict().values())


@pytest.mark.parametrize(
    ("change", "message"),
    [({"fakes": 1}, "evaluation.fakes"), ({"is_splits": 0}, "is_splits"), ({"is_splits": 1001}, "is_splits")],
)
def test_counts_that_measure_nothing_are_refused(change: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(PROTOCOL, **change)  # type: ignore[arg-type]


def test_only_inception_gives_the_bare_name() -> None:
    assert metric_name("fid", "inception") == "fid"
    assert metric_name("fid", "digits-cnn") == "fid@digits-cnn"

"""Scores through Inception equal those of torch-fidelity and torchmetrics, which are run here, and the distance that
pytorch-fid and clean-fid define.

One file of random weights serves all of them. Fakes are test images of cifar10_jpeg75 with less contrast, so that no
score is near zero. A ``slow`` test has 2,000 images on each side and the last tap; the others have few and a low one,
of which there are more images than dimensions.
"""

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
import torch_fidelity
from torch import Tensor, nn
from torch.utils.data import Dataset
from torchmetrics.image import FrechetInceptionDistance

from datamodules.base import ImageSet
from datamodules.cifar_jpeg import CIFAR10JPEG75
from datamodules.inspection import decode_all
from experiments.bench.evaluate import random_weights
from lightning_modules.metrics.base import EvaluationMetric, Extractor, Features
from lightning_modules.metrics.cache import forget
from lightning_modules.metrics.evaluate import evaluate, protocol_for
from lightning_modules.metrics.frechet import FrechetDistance, frechet_distance, moments
from lightning_modules.metrics.inception import InceptionExtractor
from lightning_modules.metrics.inception_score import InceptionScore
from lightning_modules.metrics.kid import KID
from lightning_modules.metrics.prdc import PRDC
from lightning_modules.metrics.reference import BLOCK

FEW, MANY = 100, 2000
SUBSETS = 10


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(random_weights(tmp_path_factory.mktemp("inception") / "random.pth"))


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATELIER_CACHE", str(tmp_path / "cache"))
    forget()


@cache
def images(count: int) -> tuple[Tensor, Tensor]:
    """``count`` reals and as many fakes, uint8 [count, 3, 32, 32]."""
    if not os.environ.get("ATELIER_DATA"):
        pytest.skip("ATELIER_DATA is not set: it names the folder that holds cifar10-jpeg.zip")
    real, other = (some_of(split, count) for split in ("train", "test"))
    return real, (0.8 * other.float() + 20).round().byte()


def some_of(split: str, count: int) -> Tensor:
    """Images of all classes, without those between."""
    data = CIFAR10JPEG75()
    files = [number for number, _ in data.layout.images[split]]
    found, _ = decode_all(data.source, files[:: len(files) // count][:count], data.decode, 0, keep=True)
    assert found is not None
    return found


class Recording(InceptionExtractor):
    """Keeps what it saw."""

    def extract(self, image: Tensor) -> Features:
        found = super().extract(image)
        self.seen = [*getattr(self, "seen", []), found.features]
        return found


class Pictures(Dataset):
    """What torch-fidelity reads."""

    def __init__(self, image: Tensor) -> None:
        self.image = image

    def __len__(self) -> int:
        return len(self.image)

    def __getitem__(self, number: int) -> Tensor:
        return self.image[number]


def our_scores(extractor: Extractor, metrics: Sequence[EvaluationMetric], count: int) -> dict[str, float]:
    """By the evaluation, as every caller runs it."""
    real, fake = images(count)
    reference = ImageSet("cifar10_jpeg75", "train", real, torch.zeros(count, dtype=torch.int64))
    served = iter(fake.split(BLOCK))
    protocol = protocol_for(reference, extractor, count, metrics)
    scores = evaluate(lambda n: next(served), reference, protocol, extractor, metrics)
    return {name.split("@")[0]: value for name, value in scores.items()}


def torch_fidelitys_scores(weights: str, layer: str, subset_size: int, count: int, isc: bool) -> dict[str, float]:
    real, fake = images(count)
    found = torch_fidelity.calculate_metrics(
        input1=Pictures(fake),
        input2=Pictures(real),
        isc=isc,
        fid=True,
        kid=True,
        prc=True,
        feature_extractor="inception-v3-compat",
        feature_extractor_weights_path=weights,
        feature_layer_fid=layer,
        feature_layer_kid=layer,
        feature_layer_prc=layer,
        kid_subsets=SUBSETS,
        kid_subset_size=subset_size,
        batch_size=16,
        cuda=False,
        cache=False,
        save_cpu_ram=True,
        verbose=False,
    )
    names = {
        "fid": "frechet_inception_distance",
        "kid": "kernel_inception_distance_mean",
        "kid_std": "kernel_inception_distance_std",
        "precision": "precision",
        "recall": "recall",
    }
    if isc:
        names |= {"is": "inception_score_mean", "is_std": "inception_score_std"}
    return {ours: found[theirs] for ours, theirs in names.items()}


def agree(ours: dict[str, float], theirs: dict[str, float]) -> None:
    for name, wanted in theirs.items():
        assert ours[name] == pytest.approx(wanted, rel=1e-4), name
    assert ours["fid"] > 1e-3
    assert ours["kid"] > 0
    assert 0.05 < ours["precision"] < 0.99
    assert 0.05 < ours["recall"] < 0.99


def pytorch_fids_distance(x: np.ndarray, y: np.ndarray, eps: float = 1e-6) -> float:
    """The definition of pytorch-fid, which clean-fid shares: numpy's moments, a general matrix root, and where that
    is not finite, one of covariances with ``eps`` on their diagonals."""
    a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = scipy.linalg.sqrtm(a @ b)
    if not np.isfinite(root).all():
        offset = eps * np.eye(len(a))
        root = scipy.linalg.sqrtm((a + offset) @ (b + offset))
    assert np.allclose(np.diagonal(root).imag, 0, atol=1e-3)
    gap = x.mean(0) - y.mean(0)
    return float(gap @ gap + np.trace(a) + np.trace(b) - 2 * np.trace(root.real))


class FeaturesAlone(nn.Module):
    """An extractor as torchmetrics wants one."""

    def __init__(self, extractor: Extractor) -> None:
        super().__init__()
        self.extractor, self.num_features = extractor, extractor.dim

    def forward(self, image: Tensor) -> Tensor:
        return self.extractor(image).features


def torchmetrics_fid(fid: FrechetInceptionDistance, count: int) -> float:
    for side, real in zip(images(count), (True, False), strict=True):
        for block in side.split(BLOCK):
            fid.update(block, real=real)
    return float(fid.compute())


def test_few_images_score_as_everybody_scores_them(weights: str) -> None:
    extractor = Recording(weights, "inception-64")
    ours = our_scores(extractor, [FrechetDistance(), KID(SUBSETS, FEW // 2), PRDC()], FEW)
    x, y = torch.cat(extractor.seen).double().numpy().reshape(2, FEW, 64)  # the reference comes first
    assert ours["fid"] == pytest.approx(pytorch_fids_distance(x, y), rel=1e-6)
    theirs = FrechetInceptionDistance(FeaturesAlone(extractor))
    assert torchmetrics_fid(theirs, FEW) == pytest.approx(ours["fid"], rel=1e-4)
    agree(ours, torch_fidelitys_scores(weights, "64", FEW // 2, FEW, isc=False))


def test_a_set_is_at_no_distance_from_itself(weights: str) -> None:
    (real, _), extractor = images(FEW), InceptionExtractor(weights, "inception-64")
    reference = ImageSet("cifar10_jpeg75", "train", real, torch.zeros(FEW, dtype=torch.int64))
    metrics = [FrechetDistance(), PRDC()]
    protocol = protocol_for(reference, extractor, FEW, metrics)
    scores = evaluate(lambda n: real, reference, protocol, extractor, metrics)
    assert scores["fid@inception-64"] < 1e-3
    assert scores["precision@inception-64"] == scores["recall@inception-64"] == 1


@pytest.mark.slow
def test_many_images_score_as_everybody_scores_them(weights: str) -> None:
    extractor = Recording(weights)
    metrics = [FrechetDistance(), KID(SUBSETS, MANY // 2), InceptionScore(10, shuffle=2020), PRDC()]
    ours = our_scores(extractor, metrics, MANY)
    x, y = torch.cat(extractor.seen).double().split(MANY)  # the reference comes first
    assert ours["fid"] == pytest.approx(frechet_distance(moments(x), moments(y)).item(), rel=1e-6)
    alive = (x.amax(0) > 0) & (y.amax(0) > 0)  # some maps of random weights never are: their general root is singular
    x, y = x[:, alive], y[:, alive]
    wanted = pytorch_fids_distance(x.numpy(), y.numpy())
    assert frechet_distance(moments(x), moments(y)).item() == pytest.approx(wanted, rel=1e-6)
    theirs = FrechetInceptionDistance(2048, feature_extractor_weights_path=weights, antialias=False)
    assert torchmetrics_fid(theirs, MANY) == pytest.approx(ours["fid"], rel=1e-4)
    agree(ours, torch_fidelitys_scores(weights, "2048", MANY // 2, MANY, isc=True))

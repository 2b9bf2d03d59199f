"""Laws of the scores that need no extractor: an evaluation gives what the metrics themselves give."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from datamodules.base import ImageSet
from datamodules.mixtures import PointSet, Ring
from lightning_modules.metrics import cache
from lightning_modules.metrics.base import EvaluationMetric
from lightning_modules.metrics.diversity import Diversity, describe
from lightning_modules.metrics.evaluate import evaluate, fakes, floor, protocol_for
from lightning_modules.metrics.extractors import Identity
from lightning_modules.metrics.mode_coverage import ModeCoverage
from lightning_modules.metrics.sample_scores import (
    DiversityScore,
    GridCoverage,
    RingCoverage,
    SlicedWassersteinScore,
    SpectrumScore,
)
from lightning_modules.metrics.sliced_wasserstein import SlicedWasserstein, choose
from lightning_modules.metrics.spectrum import SpectrumDistance, mean_spectrum

SHAPE = (3, 16, 16)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("ATELIER_CACHE", str(tmp_path / "cache"))
    cache.forget()
    yield
    cache.forget()


def noise(n: int) -> Tensor:
    return torch.randint(0, 200, (n, *SHAPE)).byte()


def pictures(n: int, seed: int, split: str = "train") -> ImageSet:
    drawn = torch.randint(0, 256, (n, *SHAPE), generator=torch.Generator().manual_seed(seed)).byte()
    return ImageSet("noise", split, drawn, torch.zeros(n, dtype=torch.int64))


def metrics() -> list[EvaluationMetric]:
    return [SpectrumScore(), DiversityScore(slices=8), SlicedWassersteinScore(images=50, count=4, slices=8)]


class Blind(Identity):
    """Looks at nothing."""

    def extract(self, image: Tensor) -> None:  # type: ignore[override]
        raise AssertionError("no metric needs the extractor")


def test_textures_are_compared_with_as_many_images_as_were_drawn() -> None:
    reference, extractor = pictures(120, 1), Blind(SHAPE)
    metric = SlicedWassersteinScore(images=50, count=4, slices=8)
    protocol = protocol_for(reference, extractor, fakes=30, metrics=[metric])
    drawn = torch.cat([image for image, *_ in fakes(noise, protocol, SHAPE)])
    wanted = []
    for count in (30, 50):
        direct = SlicedWasserstein(choose(reference.images, count, seed=0), images=50, count=4, slices=8)
        direct.update(drawn)
        wanted.append(direct.compute()["swd"].item())
    assert wanted[0] != wanted[1]
    assert evaluate(noise, reference, protocol, extractor, [metric])["swd"] == wanted[0]


def test_an_evaluation_gives_what_the_metrics_give() -> None:
    reference, extractor = pictures(120, 1), Blind(SHAPE)
    protocol = protocol_for(reference, extractor, fakes=130, metrics=metrics())
    drawn = torch.cat([image for image, *_ in fakes(noise, protocol, SHAPE)])
    direct = (
        SpectrumDistance(mean_spectrum([reference.images], SHAPE), SHAPE),
        Diversity(describe(reference.images), slices=8),
        SlicedWasserstein(reference.images, images=50, count=4, slices=8),
    )
    wanted: dict[str, float] = {}
    for metric in direct:
        metric.update(drawn)
        wanted |= {name: value.item() for name, value in metric.compute().items()}
    scores = evaluate(noise, reference, protocol, extractor, metrics())
    assert scores == pytest.approx(wanted, rel=1e-9)
    assert scores.keys() == {"spectrum", "spectrum_high", "colour", "texture", "shape", "swd", "swd_16"}
    assert protocol.settings is not None
    assert "spectrum_beta=8.0" in protocol.settings
    assert "swd_patches=4" in protocol.settings
    cache.forget()
    assert evaluate(noise, reference, protocol, extractor, metrics()) == scores  # from the files of the cache


def test_a_reference_in_the_place_of_fakes_is_at_distance_zero() -> None:
    reference, other = pictures(120, 1), pictures(120, 1, "test")
    protocol = protocol_for(reference, Blind(SHAPE), fakes=120, metrics=metrics(), real=other)
    assert max(map(abs, floor(other, reference, protocol, Blind(SHAPE), metrics()).values())) < 1e-9


def test_modes_of_points() -> None:
    data = Ring(points_per_mode=50)
    reference: PointSet = data.reference("train")
    chosen: list[EvaluationMetric] = [RingCoverage()]
    protocol = protocol_for(reference, Identity((2,)), fakes=400, metrics=chosen)
    assert protocol.settings == "modes_ring=pacgan"

    def two_modes(n: int) -> Tensor:
        return data.centres[[0, 3]].repeat(n // 2, 1) + 0.001 * torch.randn(n, 2)

    scores = evaluate(two_modes, reference, protocol, Identity((2,)), chosen)
    assert (scores["modes"], scores["high_quality"]) == (2, 1)
    assert scores["reverse_kl"] == pytest.approx(torch.tensor(4.0).log().item())  # log 8 - log 2
    direct = ModeCoverage.ring()
    direct.update(two_modes(400))
    assert scores.keys() == direct.compute().keys()


@pytest.mark.parametrize(
    ("shape", "metric"),
    [
        ((2,), DiversityScore()),
        ((2,), SpectrumScore()),
        ((3, 8, 8), SlicedWassersteinScore()),
        ((2, 32, 32), SlicedWassersteinScore()),
        ((3, 32, 32), RingCoverage()),
        ((3,), GridCoverage()),
    ],
)
def test_what_cannot_be_measured_is_refused_with_the_protocol(shape: tuple[int, ...], metric: EvaluationMetric) -> None:
    samples = torch.zeros(20, *shape, dtype=torch.uint8)
    data = ImageSet("zeros", "train", samples, torch.zeros(20, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"remove it\s+from evaluation\.metrics"):
        protocol_for(data, Identity(shape), 10, [metric])


@pytest.mark.parametrize("kind", [RingCoverage, GridCoverage])
def test_an_unknown_mixture_is_refused(kind: type[RingCoverage] | type[GridCoverage]) -> None:
    with pytest.raises(ValueError, match="preset 'gan'"):
        kind("gan")

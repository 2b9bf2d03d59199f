"""Laws of what an evaluation takes: points, metrics of one's own, and which go with which extractor."""

import shutil
import sys
from collections.abc import Sequence
from importlib import import_module, invalidate_caches
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from noise_sets import SHAPE, Counting, noise, own_cache, pictures, protocol_of
from torch import Tensor

from datamodules.mixtures import PointSet
from lightning_modules.metrics import cache
from lightning_modules.metrics.base import (
    EvaluationMetric,
    Extractor,
    Features,
    Look,
    Needs,
    Setting,
    Statistic,
    Tensors,
)
from lightning_modules.metrics.class_share import ClassShare
from lightning_modules.metrics.evaluate import evaluate, fakes, floor, measure, protocol_for
from lightning_modules.metrics.extractors import Identity
from lightning_modules.metrics.frechet import FrechetDistance
from lightning_modules.metrics.inception_score import InceptionScore
from lightning_modules.metrics.kid import KID
from lightning_modules.metrics.neighbours import NearestNeighbours
from lightning_modules.metrics.prdc import PRDC

pytestmark = pytest.mark.usefixtures(own_cache.__name__)


def points(n: int, seed: int = 1) -> PointSet:
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return PointSet("plane", "train", torch.randn(n, 2), torch.zeros(n, dtype=torch.int64))


def test_points_are_scored_as_they_are() -> None:
    # N(0, I) against N((3, 4), 4 I): 25 + 2 (2 - 1)^2 = 27.
    reference, metrics = points(20_000), [FrechetDistance(), KID(2, 50), PRDC(), NearestNeighbours()]
    few = points(200)
    given = protocol_for(reference, Identity((2,)), fakes=20_000)
    assert (given.quantisation, given.resolution, given.precision) == ("none", "2", "float64")

    def generator(n: int) -> Tensor:
        return 2 * torch.randn(n, 2) + torch.tensor([3.0, 4.0])

    assert evaluate(generator, reference, given, Identity((2,)))["fid@identity"] == pytest.approx(27, rel=0.02)
    given = protocol_for(few, Identity((2,)), 200, metrics)
    scores, shown = measure(generator, few, given, Identity((2,)), metrics)
    assert len(scores) == 11
    assert shown == {}


def test_points_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        evaluate(
            lambda n: torch.full((n, 2), float("nan")),
            points(50),
            protocol_for(points(50), Identity((2,)), 10),
            Identity((2,)),
        )


class Brightest(Statistic):
    """The largest byte of the reference."""

    kind = "brightest"

    def begin(self, setting: Setting) -> None:
        self.add_state("most", torch.tensor(0), dist_reduce_fx="max")

    def update(self, look: Look) -> None:
        self.most = torch.maximum(self.most, look.samples.max())

    def compute(self) -> Tensors:
        return {"most": self.most}


class Brighter(EvaluationMetric):
    """How many samples are brighter than all of the reference. Looks at the samples alone."""

    names = ("brighter",)

    def __init__(self, by: int = 0) -> None:
        super().__init__()
        self.by = by

    @property
    def fields(self) -> dict[str, Any]:
        return {"brighter_by": self.by}

    def statistics(self) -> list[Statistic]:
        return [Brightest()]

    def begin(self, setting: Setting) -> None:
        self.limit = setting.reference["brightest"]["most"] + self.by
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, look: Look) -> None:
        self.count += (look.samples.flatten(1).amax(1) > self.limit).sum()

    def compute(self) -> Tensors:
        return {"brighter": self.count.double()}


def test_a_metric_of_ones_own_that_needs_no_extractor_calls_none_and_bears_no_name() -> None:
    extractor, reference, metrics = Counting(SHAPE), pictures(101), [Brighter(by=1)]
    given = protocol_for(reference, extractor, fakes=150, metrics=metrics)
    assert given.settings == "brighter_by=1"
    most = int(reference.images.max())
    drawn = torch.cat([image for image, *_ in fakes(noise, given, SHAPE)])
    wanted = int((drawn.flatten(1).amax(1) > most + 1).sum())
    assert evaluate(noise, reference, given, extractor, metrics) == {"brighter": wanted}
    assert extractor.seen == 0
    # It is known by now, whatever extractor comes with it.
    other = Identity(SHAPE, 6)
    evaluate(noise, reference, protocol_for(reference, other, 150, metrics), other, metrics)


def module_of(folder: Path, **sources: str) -> ModuleType:
    """Write files of Python code and import them; the last one."""
    for name, source in sources.items():
        (folder / f"{name}.py").write_text(source)
        sys.modules.pop(name, None)
    shutil.rmtree(folder / "__pycache__", ignore_errors=True)  # whose stamps are of whole seconds
    invalidate_caches()
    return import_module(name)


LEAST = """
import torch
from lightning_modules.metrics.base import EvaluationMetric

def added():
    return 0

class Least(EvaluationMetric):
    names = ("least",)

    def begin(self, setting):
        self.add_state("found", torch.tensor(255), dist_reduce_fx="min")

    def update(self, look):
        self.found = torch.minimum(self.found, look.samples.min())

    def compute(self):
        return {"least": self.found.double() + added()}
"""


def test_what_an_own_metric_found_is_not_reused_once_its_file_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    extractor, reference, real = Counting(SHAPE), pictures(101), pictures(60, split="test")

    def found(source: str) -> float:
        metrics = [module_of(tmp_path, my_least=source).Least()]
        given = protocol_for(reference, extractor, 50, metrics, real=real)
        return floor(real, reference, given, extractor, metrics)["least"]

    first = found(LEAST)
    assert found(LEAST) == first
    assert len(list(own_cache.iterdir())) == 1
    assert found(LEAST.replace("return 0", "return 1")) == first + 1


BASE = """
from lightning_modules.metrics.base import Extractor

class Base(Extractor):
    name, sha256, dim = "mine", "ab" * 32, 6
    seen, scale = 0, 1

    def fit(self, shape):
        return "none"
"""
MINE = """
from lightning_modules.metrics.base import Features
from my_base import Base

def help(image):
    return image.flatten(1).float() * 1

class Mine(Base):
    def extract(self, image):
        self.seen += len(image)
        return Features(help(image) * self.scale + 0, None)
"""


class Within(Extractor):
    """Looks through another."""

    def __init__(self, inner: Extractor) -> None:
        super().__init__()
        self.inner, self.name, self.sha256, self.dim = inner, inner.name, inner.sha256, inner.dim

    def fit(self, shape: Sequence[int]) -> str:
        return self.inner.fit(shape)

    def extract(self, image: Tensor) -> Features:
        return self.inner.extract(image)


@pytest.mark.parametrize("edit", ["scale + 0", "float() * 1", "0, 1"])  # in extract, in a helper, in a base class
@pytest.mark.parametrize("within", [False, True])
def test_what_an_own_extractor_saw_is_not_reused_once_a_file_of_it_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edit: str, within: bool
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    reference, real, metrics = pictures(101), pictures(60, split="test"), [FrechetDistance()]

    def seen(base: str, mine: str) -> int:
        extractor = module_of(tmp_path, my_base=base, my_mine=mine).Mine()
        outer = Within(extractor) if within else extractor
        cache.forget()
        floor(real, reference, protocol_for(reference, outer, 60, metrics, real=real), outer, metrics)
        return extractor.seen

    assert seen(BASE, MINE) == 101 + 60
    assert seen(BASE, MINE) == 0
    assert seen(*(source.replace(edit, edit[:-1] + "2") for source in (BASE, MINE))) == 101 + 60


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ([InceptionScore()], "InceptionScore needs logits, which the extractor identity does not have"),
        ([ClassShare()], "ClassShare needs logits"),
        ([KID(), PRDC(), KID(10)], "both give kid, kid_std"),
    ],
)
def test_metrics_that_cannot_be_measured_are_refused(metrics: list[EvaluationMetric], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        protocol_for(pictures(101), Identity(SHAPE), 50, metrics)


def test_classes_of_other_data_have_no_shares() -> None:
    foreign = Identity(SHAPE, 6)
    foreign.own_classes = False
    assert foreign.offers == Needs.FEATURES | Needs.LOGITS
    assert set(evaluate(noise, pictures(101), protocol_for(pictures(101), foreign, 50), foreign)) == {
        f"{name}@identity" for name in ("fid", "is", "is_std")
    }
    with pytest.raises(ValueError, match="ClassShare needs classes that are the data's own"):
        protocol_for(pictures(101), foreign, 50, [ClassShare()])


def test_metrics_of_other_settings_than_the_protocols_are_refused() -> None:
    with pytest.raises(ValueError, match="metrics of other settings"):
        evaluate(noise, pictures(101), protocol_of([KID(4, 40)]), Identity(SHAPE, 6), [KID(4, 30)])

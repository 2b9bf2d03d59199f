"""Laws of the evaluation: keyed fakes, one reference, an honest cache, and a callback that changes nothing."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from datamodules.base import ImageSet
from datamodules.functional.keys import key
from datamodules.mixtures import PointSet
from lightning_modules.metrics import cache
from lightning_modules.metrics import evaluate as evaluation
from lightning_modules.metrics import reference as of_reference
from lightning_modules.metrics.base import EvaluationMetric, Features, Look, Needs, Setting, Statistic, Tensors
from lightning_modules.metrics.class_share import ClassShare
from lightning_modules.metrics.evaluate import evaluate, fakes, floor, measure, protocol_for
from lightning_modules.metrics.extractors import Identity
from lightning_modules.metrics.frechet import FeatureMoments, FrechetDistance, Moments, frechet_distance, moments
from lightning_modules.metrics.inception_score import InceptionScore
from lightning_modules.metrics.kid import KID, kid
from lightning_modules.metrics.neighbours import NearestNeighbours
from lightning_modules.metrics.prdc import PRDC, prdc
from lightning_modules.metrics.protocol import Protocol
from lightning_modules.metrics.reference import reference_statistics

SHAPE = (1, 2, 3)


class Counting(Identity):
    """Counts the images it looks at."""

    seen = 0

    def extract(self, image: Tensor) -> Features:
        self.seen += len(image)
        return super().extract(image)


def noise(n: int) -> Tensor:
    return torch.randint(0, 200, (n, *SHAPE)).byte()


def pictures(n: int, split: str = "train", seed: int = 1) -> ImageSet:
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return ImageSet("noise", split, noise(n), torch.zeros(n, dtype=torch.int64))


def flat(image: Tensor) -> Tensor:
    return image.flatten(1).double()


def reference_moments(reference: ImageSet, given: Protocol, extractor: Identity) -> Moments:
    return Moments(**reference_statistics(reference, given, extractor, [FeatureMoments()])["moments"])


def every_metric() -> list[EvaluationMetric]:
    """All of ours, with settings for few images."""
    small = [KID(4, 40), PRDC(), NearestNeighbours()]
    return [FrechetDistance(), InceptionScore(), ClassShare(), *small]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("ATELIER_CACHE", str(tmp_path / "cache"))
    cache.forget()
    yield tmp_path / "cache"
    cache.forget()


# --- fakes --------------------------------------------------------------------------------------------------


def protocol(count: int = 337, **changes: Any) -> Protocol:
    return replace(protocol_for(pictures(101), Identity(SHAPE, 6), fakes=count), **changes)


def test_a_block_is_drawn_whole_under_its_key() -> None:
    blocks = list(fakes(noise, protocol(337), SHAPE))
    assert [len(image) for image, _ in blocks] == [100, 100, 100, 37]
    assert torch.cat([index for _, index in blocks]).tolist() == list(range(337))
    for number, (image, _) in enumerate(blocks):
        torch.manual_seed(key(0, number))
        assert torch.equal(image, noise(100)[: len(image)])


def test_more_fakes_begin_with_the_same_ones_and_seeds_differ() -> None:
    some, more = (torch.cat([image for image, _ in fakes(noise, protocol(n), SHAPE)]) for n in (150, 337))
    assert torch.equal(some, more[:150])
    other = torch.cat([image for image, _ in fakes(noise, protocol(150, seed=1), SHAPE)])
    assert not torch.equal(some, other)
    assert not torch.equal(more[:100], more[100:200])


@pytest.mark.parametrize("world", [2, 3, 5])
def test_the_fakes_of_all_ranks_are_those_of_one(world: int, monkeypatch: pytest.MonkeyPatch) -> None:
    one = {int(i): x for image, index in fakes(noise, protocol(337), SHAPE) for i, x in zip(index, image, strict=True)}
    together: dict[int, Tensor] = {}
    for rank in range(world):
        monkeypatch.setattr(evaluation, "rank_and_world", lambda rank=rank: (rank, world))
        for image, index in fakes(noise, protocol(337), SHAPE):
            assert not together.keys() & set(index.tolist())  # none is counted twice
            together |= dict(zip(index.tolist(), image, strict=True))
    assert together.keys() == one.keys()
    assert all(torch.equal(together[i], one[i]) for i in one)


def test_evaluation_leaves_the_random_stream_and_does_not_heed_it() -> None:
    extractor, reference = Identity(SHAPE, 6), pictures(101)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = evaluate(noise, reference, protocol(), extractor)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(4)
    assert evaluate(noise, reference, protocol(), extractor) == first


# --- scores -------------------------------------------------------------------------------------------------


def test_fid_is_that_of_all_fakes_and_the_whole_reference() -> None:
    reference = pictures(101)
    drawn = torch.cat([image for image, _ in fakes(noise, protocol(), SHAPE)])
    wanted = frechet_distance(moments(flat(reference.images)), moments(flat(drawn))).item()
    scores = evaluate(noise, reference, protocol(), Identity(SHAPE, 6))
    assert abs(scores["fid@identity"] / wanted - 1) < 1e-9
    assert scores.keys() == {f"{m}@identity" for m in ("fid", "is", "is_std", "confident", "class_min", "class_max")}


def test_an_extractor_without_logits_gives_fid_alone() -> None:
    plain = protocol_for(pictures(101), Identity(SHAPE), fakes=200)
    assert plain.is_splits is None
    assert evaluate(noise, pictures(101), plain, Identity(SHAPE)).keys() == {"fid@identity"}


def test_one_forward_pass_serves_all_metrics(own_cache: Path) -> None:
    extractor, metrics, reference = Counting(SHAPE, 6), every_metric(), pictures(101)
    given = protocol_for(reference, extractor, fakes=337, metrics=metrics)
    scores = evaluate(noise, reference, given, extractor, metrics)
    assert extractor.seen == 101 + 337
    assert len(scores) == sum(len(metric.names) for metric in metrics) == 16
    assert evaluate(noise, reference, given, extractor, metrics) == scores  # the metrics are as they were
    assert extractor.seen == 101 + 2 * 337  # the reference is known by now
    (own_cache / max(file.name for file in own_cache.iterdir())).unlink()
    cache.forget()
    assert evaluate(noise, reference, given, extractor, metrics) == scores
    assert extractor.seen == 2 * 101 + 3 * 337  # one pass for what was missing


def test_company_does_not_change_a_score() -> None:
    extractor, reference = Identity(SHAPE, 6), pictures(101)
    together = evaluate(noise, reference, protocol_of(every_metric()), extractor, every_metric())
    alone: dict[str, float] = {}
    for metric in every_metric():
        alone |= evaluate(noise, reference, protocol_of([metric]), extractor, [metric])
    assert alone == together
    assert evaluate(noise, reference, protocol(), extractor).items() <= together.items()


def protocol_of(metrics: list[EvaluationMetric]) -> Protocol:
    return protocol_for(pictures(101), Identity(SHAPE, 6), fakes=337, metrics=metrics)


def test_scores_are_those_of_all_fakes_and_the_whole_reference() -> None:
    reference, metrics = pictures(101), [KID(4, 40), PRDC()]
    drawn = flat(torch.cat([image for image, _ in fakes(noise, protocol(), SHAPE)]))
    real = flat(reference.images)
    scores = evaluate(noise, reference, protocol_of(metrics), Identity(SHAPE, 6), metrics)
    wanted = {"kid": kid(drawn, real, 4, 40).mean(), **prdc(real, drawn)}
    for name, value in wanted.items():
        assert scores[f"{name}@identity"] == pytest.approx(value.item(), rel=1e-9), name


def test_mirror_images_count_for_every_metric() -> None:
    both = torch.cat([pictures(60).images, pictures(60).images.flip(-1)])
    twice = replace(pictures(60), images=both, labels=torch.zeros(120))
    metrics = [FrechetDistance(), KID(4, 40), PRDC()]
    mirrored = replace(protocol_for(pictures(60), Identity(SHAPE), 150, metrics), reference_mirror=True)
    plain = protocol_for(twice, Identity(SHAPE), 150, metrics)
    assert evaluate(noise, pictures(60), mirrored, Identity(SHAPE), metrics) == pytest.approx(
        evaluate(noise, twice, plain, Identity(SHAPE), metrics), rel=1e-9
    )


def test_memorised_images_are_shown_beside_what_they_repeat() -> None:
    reference, metrics = pictures(101), [NearestNeighbours(shown=3, k=2)]
    given = protocol_for(reference, Identity(SHAPE), fakes=100, metrics=metrics)
    scores, pictures_of_it = measure(lambda n: reference.images[:n], reference, given, Identity(SHAPE), metrics)
    assert scores["nn_median@identity"] == scores["nn_ratio@identity"] == 0
    (name, rows), *others = pictures_of_it.items()
    assert (name, others) == ("nn_p05", [])
    assert torch.equal(rows[:, 0], reference.images[:3])
    assert torch.equal(rows[:, 1], reference.images[:3])
    assert not torch.equal(rows[:, 2], reference.images[:3])


# --- points, and metrics of one's own -----------------------------------------------------------------------


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
    drawn = torch.cat([image for image, _ in fakes(noise, given, SHAPE)])
    wanted = int((drawn.flatten(1).amax(1) > most + 1).sum())
    assert evaluate(noise, reference, given, extractor, metrics) == {"brighter": wanted}
    assert extractor.seen == 0
    # It is known by now, whatever extractor comes with it.
    other = Identity(SHAPE, 6)
    evaluate(noise, reference, protocol_for(reference, other, 150, metrics), other, metrics)


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


def test_floor_is_the_other_split_in_the_place_of_fakes() -> None:
    reference, real, extractor = pictures(300), pictures(120, "test", 2), Identity(SHAPE, 6)
    for count in (50, 120, 500):
        given = protocol_for(reference, extractor, fakes=count, real=real)
        assert given.floor_count == min(count, 120)
        first = flat(real.images[:count])
        wanted = frechet_distance(moments(flat(reference.images)), moments(first)).item()
        assert abs(floor(real, reference, given, extractor)["fid@identity"] / wanted - 1) < 1e-9


def test_part_of_a_reference_and_its_mirror_images_count_where_the_protocol_says() -> None:
    reference, extractor = pictures(130), Identity(SHAPE)
    given = replace(protocol_for(reference, extractor, fakes=10), reference_count=115, reference_mirror=True)
    images = reference.images[:115]
    wanted = moments(flat(torch.cat([images, images.flip(-1)])))
    found = reference_moments(reference, given, extractor)
    assert (found.mean - wanted.mean).abs().max() < 1e-9
    assert (found.cov - wanted.cov).abs().max() < 1e-6


@pytest.mark.parametrize(
    ("generator", "message"),
    [(lambda n: torch.zeros(n, *SHAPE), "torch.float32 samples"), (lambda n: noise(n)[:, :, :1], r"\(1, 1, 3\)")],
)
def test_fakes_of_another_kind_are_refused(generator: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate(generator, pictures(101), protocol(), Identity(SHAPE, 6))


def test_a_reference_that_is_not_the_protocols_is_refused() -> None:
    with pytest.raises(ValueError, match="build it with protocol_for"):
        evaluate(noise, pictures(101, seed=9), protocol(), Identity(SHAPE, 6))


# --- cache --------------------------------------------------------------------------------------------------


def look(extractor: Counting, reference: ImageSet | None = None) -> Tensor:
    reference = reference or pictures(101)
    return reference_moments(reference, protocol_for(reference, extractor, fakes=10), extractor).cov


def test_reference_is_looked_at_once_also_by_the_next_process(own_cache: Path) -> None:
    extractor = Counting(SHAPE, 6)
    first = look(extractor)
    assert torch.equal(look(extractor), first)
    cache.forget()
    assert torch.equal(look(extractor), first)
    assert extractor.seen == 101
    look(extractor, pictures(101, seed=2))  # other data
    assert extractor.seen == 202
    assert len(list(own_cache.iterdir())) == 2


@pytest.mark.parametrize("damage", ["cut", "byte", "empty"])
def test_a_damaged_file_is_computed_again(own_cache: Path, damage: str) -> None:
    extractor = Counting(SHAPE, 6)
    first = look(extractor)
    (path,) = own_cache.iterdir()
    content = path.read_bytes()
    path.write_bytes({"cut": content[:-9], "byte": content[:-9] + b"\x01" + content[-8:], "empty": b""}[damage])
    cache.forget()
    assert torch.equal(look(extractor), first)
    cache.forget()
    assert torch.equal(look(extractor), first)  # from the file, which is whole again
    assert extractor.seen == 202


def test_a_cache_that_cannot_be_written_costs_time_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ATELIER_CACHE", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="set ATELIER_CACHE"):
        assert look(Counting(SHAPE, 6)).shape == (6, 6)


def test_what_is_too_large_is_not_kept(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    extractor, reference, metrics = Counting(SHAPE), pictures(101), [FrechetDistance(), KID(4, 40)]
    given = protocol_for(reference, extractor, 50, metrics)
    kept = evaluate(noise, reference, given, extractor, metrics)
    for file in own_cache.iterdir():
        file.unlink()
    cache.forget()
    monkeypatch.setattr(of_reference, "LARGEST", 4 * 101 * 6 - 1)
    for again in (1, 2):
        assert evaluate(noise, reference, given, extractor, metrics) == kept
        assert extractor.seen == (1 + again) * (101 + 50)
    assert len(list(own_cache.iterdir())) == 1  # the moments


def test_floor_is_cached() -> None:
    reference, real, extractor = pictures(101), pictures(60, "test"), Counting(SHAPE, 6)
    given = protocol_for(reference, extractor, fakes=50, real=real)
    first = floor(real, reference, given, extractor)
    cache.forget()
    assert floor(real, reference, given, extractor) == first
    assert extractor.seen == 101 + 50

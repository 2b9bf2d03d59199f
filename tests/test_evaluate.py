"""Laws of the evaluation: keyed fakes, one reference, one forward pass, and a floor that is measured like fakes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from noise_sets import SHAPE, Counting, flat, noise, own_cache, pictures, protocol, protocol_of
from torch import Tensor

from datamodules.base import ImageSet
from datamodules.functional.keys import key
from lightning_modules.metrics import cache
from lightning_modules.metrics import evaluate as evaluation
from lightning_modules.metrics.base import EvaluationMetric
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

pytestmark = pytest.mark.usefixtures(own_cache.__name__)


def every_metric() -> list[EvaluationMetric]:
    """All of ours, with settings for few images."""
    small = [KID(4, 40), PRDC(), NearestNeighbours()]
    return [FrechetDistance(), InceptionScore(), ClassShare(), *small]


def reference_moments(reference: ImageSet, given: Protocol, extractor: Identity) -> Moments:
    return Moments(**reference_statistics(reference, given, extractor, [FeatureMoments()])["moments"])


# --- fakes --------------------------------------------------------------------------------------------------


def test_a_block_is_drawn_whole_under_its_key() -> None:
    blocks = list(fakes(noise, protocol(337), SHAPE))
    assert [len(image) for image, *_ in blocks] == [100, 100, 100, 37]
    assert torch.cat([index for _, index, _ in blocks]).tolist() == list(range(337))
    for number, (image, *_) in enumerate(blocks):
        torch.manual_seed(key(0, number))
        assert torch.equal(image, noise(100)[: len(image)])


def test_more_fakes_begin_with_the_same_ones_and_seeds_differ() -> None:
    some, more = (torch.cat([image for image, *_ in fakes(noise, protocol(n), SHAPE)]) for n in (150, 337))
    assert torch.equal(some, more[:150])
    other = torch.cat([image for image, *_ in fakes(noise, protocol(150, seed=1), SHAPE)])
    assert not torch.equal(some, other)
    assert not torch.equal(more[:100], more[100:200])


@pytest.mark.parametrize("world", [2, 3, 5])
def test_the_fakes_of_all_ranks_are_those_of_one(world: int, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = fakes(noise, protocol(337), SHAPE)
    one = {int(i): x for image, index, _ in blocks for i, x in zip(index, image, strict=True)}
    together: dict[int, Tensor] = {}
    for rank in range(world):
        monkeypatch.setattr(evaluation, "rank_and_world", lambda rank=rank: (rank, world))
        for image, index, _ in fakes(noise, protocol(337), SHAPE):
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
    drawn = torch.cat([image for image, *_ in fakes(noise, protocol(), SHAPE)])
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


def test_scores_are_those_of_all_fakes_and_the_whole_reference() -> None:
    reference, metrics = pictures(101), [KID(4, 40), PRDC()]
    drawn = flat(torch.cat([image for image, *_ in fakes(noise, protocol(), SHAPE)]))
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
    assert torch.equal(rows[:, 0], reference.images[[0, 33, 66]])
    assert torch.equal(rows[:, 1], rows[:, 0])
    assert not torch.equal(rows[:, 2], rows[:, 0])


def test_memorised_mirror_images_of_a_part_of_the_reference_are_shown_too() -> None:
    reference, metrics = pictures(101), [NearestNeighbours(shown=4, k=1)]
    given = protocol_for(reference, Identity(SHAPE), fakes=100, metrics=metrics)
    given = replace(given, reference_mirror=True, reference_count=50)
    both = torch.cat([reference.images[:50], reference.images[:50].flip(-1)])
    scores, shown = measure(lambda n: both[:n], reference, given, Identity(SHAPE), metrics)
    assert scores["nn_p95@identity"] == 0
    assert torch.equal(shown["nn_p05"][:, 0], both[[0, 25, 50, 75]])
    assert torch.equal(shown["nn_p05"][:, 1], shown["nn_p05"][:, 0])


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

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
from lightning_modules.metrics import cache
from lightning_modules.metrics import evaluate as evaluation
from lightning_modules.metrics.base import Features
from lightning_modules.metrics.evaluate import evaluate, fakes, floor, protocol_for, reference_moments
from lightning_modules.metrics.extractors import Identity
from lightning_modules.metrics.frechet import frechet_distance, moments
from lightning_modules.metrics.protocol import Protocol

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


def test_floor_is_cached() -> None:
    reference, real, extractor = pictures(101), pictures(60, "test"), Counting(SHAPE, 6)
    given = protocol_for(reference, extractor, fakes=50, real=real)
    first = floor(real, reference, given, extractor)
    cache.forget()
    assert floor(real, reference, given, extractor) == first
    assert extractor.seen == 101 + 50

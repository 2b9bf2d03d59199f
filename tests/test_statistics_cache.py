"""Laws of the cache of reference statistics: looked at once, damage is noticed, nothing hangs on it but time."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from noise_sets import SHAPE, Counting, noise, own_cache, pictures
from torch import Tensor

from datamodules.base import ImageSet
from lightning_modules.metrics import cache
from lightning_modules.metrics import reference as of_reference
from lightning_modules.metrics.evaluate import evaluate, floor, protocol_for
from lightning_modules.metrics.extractors import Identity
from lightning_modules.metrics.frechet import FeatureMoments, FrechetDistance, Moments
from lightning_modules.metrics.kid import KID
from lightning_modules.metrics.protocol import Protocol
from lightning_modules.metrics.reference import reference_statistics

pytestmark = pytest.mark.usefixtures(own_cache.__name__)


def reference_moments(reference: ImageSet, given: Protocol, extractor: Identity) -> Moments:
    return Moments(**reference_statistics(reference, given, extractor, [FeatureMoments()])["moments"])


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


@pytest.mark.parametrize(
    "changes",
    [
        *({"resize": "another"}, {"extractor": "identity-3"}, {"extractor_sha256": "aa"}, {"precision": "float32"}),
        *({"reference_count": 100}, {"reference_mirror": True}),
    ],
)
def test_another_protocol_has_statistics_of_its_own(changes: dict[str, Any]) -> None:
    extractor, reference = Counting(SHAPE, 6), pictures(101)
    given = protocol_for(reference, extractor, fakes=10)
    reference_moments(reference, given, extractor)
    reference_moments(reference, replace(given, fakes=20, seed=1), extractor)
    assert extractor.seen == 101
    reference_moments(reference, replace(given, **changes), extractor)
    assert extractor.seen > 200


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

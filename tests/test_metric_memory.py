"""The memory of an evaluation by FID does not grow with the images: from 1,000 to 50,000, to the byte."""

import gc
import weakref
from collections.abc import Callable
from typing import Any, Self

import pytest
import torch
from looking import fed
from noise_sets import own_cache
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lightning_modules.metrics.base import Accumulator, Look, Setting
from lightning_modules.metrics.evaluate import evaluate, protocol_for
from lightning_modules.metrics.extractors import Identity
from lightning_modules.metrics.frechet import FeatureMoments, FrechetDistance
from lightning_modules.metrics.gathered import FeatureStore

pytestmark = pytest.mark.usefixtures(own_cache.__name__)
SHAPE, DIM = (1, 2, 4), 8
FEW, MANY, BATCH = 1_000, 50_000, 500


class Alive(TorchDispatchMode):
    """Sees every operation, and counts the bytes that operations have allocated and nobody has dropped.

    Python's collector rests meanwhile: when it would come hangs on all that the process has done before.

    Attributes:
        most: the largest number of them at one time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sizes: dict[int, int] = {}
        self.most = 0

    def __enter__(self) -> Self:
        gc.disable()
        return super().__enter__()

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)
        gc.enable()

    @property
    def bytes(self) -> int:
        return sum(self.sizes.values())

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {id(leaf.untyped_storage()) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self.see(leaf.untyped_storage(), given)
        self.most = max(self.most, self.bytes)
        return out

    def see(self, storage: torch.UntypedStorage, given: set[int]) -> None:
        number = id(storage)
        if number not in self.sizes and number not in given:  # neither a view nor done in place
            self.sizes[number] = storage.nbytes()
            weakref.finalize(storage, self.sizes.pop, number)


def noise(n: int, seed: int) -> Tensor:
    return torch.randn(n, DIM, generator=torch.Generator().manual_seed(seed))


def most_of(make: Callable[[], Accumulator], count: int) -> tuple[int, int]:
    """Bytes of ``make``'s states after ``count`` features, and the most that was alive meanwhile."""
    known = {FeatureMoments.kind: fed(FeatureMoments(), noise(20, 1))}
    with Alive() as alive:
        metric = make()
        metric.begin(Setting((DIM,), DIM, 0, count, known))
        for start in range(0, count, BATCH):
            x = noise(BATCH, start)
            metric.update(Look(x, torch.arange(start, start + BATCH), x, torch.empty(BATCH, 0)))
            del x
        states = [part for state in metric.metric_state.values() for part in tree_leaves(state)]
        kept = sum(part.nbytes for part in states)
        metric.compute()
    return kept, alive.most


@pytest.mark.parametrize("make", [FeatureMoments, FrechetDistance])
def test_the_moments_take_as_much_memory_for_1_000_images_as_for_50_000(make: Callable[[], Accumulator]) -> None:
    kept, most = most_of(make, FEW)
    assert kept == 8 * (DIM + DIM * DIM + 1)  # a mean, outer products and a count, float64 and int64
    assert most_of(make, MANY) == (kept, most)


def test_what_is_kept_would_be_seen() -> None:
    (kept, most), (kept_of_many, most_of_many) = (most_of(FeatureStore, count) for count in (FEW, MANY))
    more = (MANY - FEW) * (4 * DIM + 8)  # float32 features, and their numbers
    assert kept_of_many - kept == more
    assert most_of_many - most >= more


class Endless:
    """``count`` images that are made when they are asked for."""

    name, split = "noise", "train"

    def __init__(self, count: int) -> None:
        self.count, self.sha256 = count, f"noise {count}"

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, part: slice) -> Tensor:
        seeded = torch.Generator().manual_seed(part.start)
        return torch.randint(0, 256, (part.stop - part.start, *SHAPE), generator=seeded, dtype=torch.uint8)


def evaluation(count: int) -> int:
    """The most bytes alive while ``count`` fakes are compared with as many reals, which nobody remembers."""
    reference, extractor, metrics = Endless(count), Identity(SHAPE), [FrechetDistance()]
    protocol = protocol_for(reference, extractor, count, metrics)
    with Alive() as alive:
        evaluate(
            lambda n: torch.randint(0, 256, (n, *SHAPE), dtype=torch.uint8), reference, protocol, extractor, metrics
        )
    return alive.most


def test_so_does_the_whole_evaluation() -> None:
    assert evaluation(FEW) == evaluation(MANY)

"""What the metrics must know of the reference: one pass over it for all of them, then from the cache."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from lightning_modules.metrics.base import Extractor, Images, Look, Needs, Setting, Statistic, Tensors
from lightning_modules.metrics.cache import remembered
from lightning_modules.metrics.protocol import Plain, Protocol
from lightning_modules.metrics.ranks import rank_and_world

BLOCK = 100
RULES = 2  # of how statistics and floors are computed: raise it with each change, so that none is reused from before
LARGEST = 2**30  # bytes of one statistic that is kept: 1 GiB. Larger ones are computed again for each evaluation.
Block = tuple[Tensor, Tensor]  # samples [n, ...], their numbers [n]


def reference_statistics(
    reference: Images, protocol: Protocol, extractor: Extractor, asked: Iterable[Statistic]
) -> dict[str, Tensors]:
    """The statistics ``asked`` for by kind, on the CPU. All ranks must call it."""
    unique = {statistic.kind: statistic for statistic in asked}
    one_pass = _Pass(reference, protocol, extractor, unique)
    return {kind: one_pass.find(statistic) for kind, statistic in unique.items()}


class _Pass:
    """Begun when the first statistic is not remembered; then all see the reference, and are computed when asked."""

    def __init__(
        self, reference: Images, protocol: Protocol, extractor: Extractor, statistics: dict[str, Statistic]
    ) -> None:
        self.reference, self.protocol, self.extractor = reference, protocol, extractor
        self.statistics = list(statistics.values())
        self.done = False
        count = protocol.reference_count * (2 if protocol.reference_mirror else 1)
        setting = Setting(
            tuple(reference[0:1].shape[1:]), extractor.dim, extractor.num_classes or 0, count, reference={}
        )
        for statistic in self.statistics:
            statistic.begin(setting)
            statistic.to(extractor.device)

    def find(self, statistic: Statistic) -> Tensors:
        def compute() -> Tensors:
            self.run()
            return statistic.compute()

        if statistic.size > LARGEST:
            return compute()
        what = what_defines(statistic.kind, statistic.needs, self.reference, self.protocol)
        return remembered(what, compute, self.extractor.device)

    def run(self) -> None:
        if self.done:
            return
        needs = union(statistic.needs for statistic in self.statistics)
        count = self.protocol.reference_count
        for look in looks(real_blocks(self.reference, count), self.extractor, needs, self.reference):
            self.show(look)
            if self.protocol.reference_mirror:
                self.show(seen(look.samples.flip(-1), look.index + count, self.extractor, needs))
        self.done = True

    def show(self, look: Look) -> None:
        for statistic in self.statistics:
            statistic.update(look)


def looks(blocks: Iterable[Block], extractor: Extractor, needs: Needs, reference: Images) -> Iterator[Look]:
    """What ``extractor`` sees in ``blocks``, one forward pass each; an empty look where this rank has no block.

    All ranks then hold states of equal dimensions, which collective calls need.
    """
    empty = True
    for samples, index in blocks:
        empty = False
        yield seen(samples.to(extractor.device), index.to(extractor.device), extractor, needs)
    if empty:
        samples = reference[0:1].to(extractor.device)
        one = seen(samples, torch.zeros(1, dtype=torch.int64, device=extractor.device), extractor, needs)
        yield Look(one.samples[:0], one.index[:0], one.features[:0], one.logits[:0])


def seen(samples: Tensor, index: Tensor, extractor: Extractor, needs: Needs) -> Look:
    """One look at ``samples``, through the extractor only where something needs it."""
    nothing = torch.empty(len(samples), 0, device=samples.device)
    if not needs:
        return Look(samples, index, nothing, nothing)
    features, logits = extractor(samples)
    return Look(samples, index, features, nothing if logits is None else logits)


def union(needs: Iterable[Needs]) -> Needs:
    """All that any of them needs."""
    together = Needs(0)
    for need in needs:
        together |= need
    return together


def real_blocks(images: Images, count: int) -> Iterator[Block]:
    """This rank's blocks of the first ``count`` of ``images``, with their numbers."""
    rank, world = rank_and_world()
    for start in range(rank * BLOCK, count, world * BLOCK):
        stop = min(start + BLOCK, count)
        yield images[start:stop], torch.arange(start, stop)


def what_defines(kind: str, needs: Needs, reference: Images, protocol: Protocol) -> dict[str, Plain]:
    """All that a statistic of the reference hangs on: what it is cached under."""
    what: dict[str, Plain] = {
        "kind": kind,
        "rules": RULES,
        "data": reference.name,
        "split": reference.split,
        "sha256": reference.sha256,
        "count": protocol.reference_count,
        "mirror": protocol.reference_mirror,
    }
    if not needs:
        return what
    return what | {
        "resize": protocol.resize,
        "extractor": protocol.extractor,
        "extractor_sha256": protocol.extractor_sha256,
        "precision": protocol.precision,
    }

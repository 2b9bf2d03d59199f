"""What the metrics must know of the reference: one pass over it for all of them, then from the cache."""

import hashlib
import inspect
import sys
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lightning_modules.metrics.base import (
    Extractor,
    Images,
    Look,
    Needs,
    Setting,
    Statistic,
    Tensors,
    hash_of_labels,
    labels_of,
    number_of_classes,
)
from lightning_modules.metrics.cache import remembered
from lightning_modules.metrics.protocol import Plain, Protocol
from lightning_modules.metrics.ranks import rank_and_world

BLOCK = 100
RULES = 2  # of how statistics and floors are computed: raise it with each change, so that none is reused from before
LARGEST = 2**30  # bytes of one statistic that is kept: 1 GiB. Larger ones are computed again for each evaluation.
NOT_OWN = {"lightning_modules", "torch", "torchmetrics", *sys.stdlib_module_names}


class Block(NamedTuple):
    """Some samples of a stream."""

    samples: Tensor  # [n, ...]
    numbers: Tensor  # int64 [n], among all samples of the stream
    labels: Tensor  # int64 [n], their classes; [0] where unknown


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
            tuple(reference[0:1].shape[1:]),
            extractor.dim,
            extractor.num_classes or 0,
            count,
            reference={},
            classes=number_of_classes(reference),
        )
        for statistic in self.statistics:
            statistic.begin(setting)
            statistic.to(extractor.device)

    def find(self, statistic: Statistic) -> Tensors:
        def compute() -> Tensors:
            self.run()
            return statistic.compute()

        if statistic.size > LARGEST or (statistic.needs and not self.extractor.is_told_apart):
            return compute()
        what = what_defines(statistic.kind, statistic.needs, self.reference, self.protocol, self.extractor)
        what |= code_of([statistic])
        if statistic.labelled:
            what["labels_sha256"] = hash_of_labels(self.reference)
        return remembered(what, compute, self.extractor.device)

    def run(self) -> None:
        if self.done:
            return
        needs = union(statistic.needs for statistic in self.statistics)
        count = self.protocol.reference_count
        for look in looks(real_blocks(self.reference, count), self.extractor, needs, self.reference):
            self.show(look)
            if self.protocol.reference_mirror:
                mirrored = Block(look.samples.flip(-1), look.index + count, look.labels)
                self.show(seen(mirrored, self.extractor, needs))
        self.done = True

    def show(self, look: Look) -> None:
        for statistic in self.statistics:
            statistic.update(look)


def looks(blocks: Iterable[Block], extractor: Extractor, needs: Needs, reference: Images) -> Iterator[Look]:
    """What ``extractor`` sees in ``blocks``, one forward pass each; an empty look where this rank has no block.

    All ranks then hold states of equal dimensions, which collective calls need.
    """
    empty = True
    for block in blocks:
        empty = False
        yield seen(Block(*(part.to(extractor.device) for part in block)), extractor, needs)
    if empty:
        zero = torch.zeros(1, dtype=torch.int64, device=extractor.device)
        one = seen(Block(reference[0:1].to(extractor.device), zero, zero), extractor, needs)
        yield Look(one.samples[:0], one.index[:0], one.features[:0], one.logits[:0], one.labels[:0])


def seen(block: Block, extractor: Extractor, needs: Needs) -> Look:
    """One look at ``block``, through the extractor only where something needs it."""
    samples, index, labels = block
    nothing = torch.empty(len(samples), 0, device=samples.device)
    if not needs:
        return Look(samples, index, nothing, nothing, labels)
    features, logits = extractor(samples)
    return Look(samples, index, features, nothing if logits is None else logits, labels)


def union(needs: Iterable[Needs]) -> Needs:
    """All that any of them needs."""
    together = Needs(0)
    for need in needs:
        together |= need
    return together


def real_blocks(images: Images, count: int) -> Iterator[Block]:
    """This rank's blocks of the first ``count`` of ``images``, with their numbers and classes."""
    rank, world = rank_and_world()
    labels = labels_of(images)
    for start in range(rank * BLOCK, count, world * BLOCK):
        stop = min(start + BLOCK, count)
        yield Block(images[start:stop], torch.arange(start, stop), labels[start:stop])


def what_defines(
    kind: str, needs: Needs, reference: Images, protocol: Protocol, extractor: Extractor
) -> dict[str, Plain]:
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
    return {
        **what,
        "resize": protocol.resize,
        "extractor": protocol.extractor,
        "extractor_sha256": protocol.extractor_sha256,
        "precision": protocol.precision,
        **extractor.facts,
        **code_of([extractor]),
    }


def code_of(parts: Iterable[nn.Module]) -> dict[str, Plain]:
    """Hashes of the files that hold the classes of ``parts``, of modules in them and of all their bases.

    Those of this package and of torch do not count. After a change of a file nothing is reused, and never where a file
    cannot be read. What such a file imports is not looked at.
    """
    kinds = {kind for part in parts for module in part.modules() for kind in type(module).__mro__}
    own = [kind for kind in kinds if kind.__module__.partition(".")[0] not in NOT_OWN]
    return {f"code of {kind.__module__}.{kind.__qualname__}": _hash_of_file(kind) for kind in own}


def _hash_of_file(kind: type) -> str:
    try:
        return hashlib.sha256(Path(inspect.getfile(kind)).read_bytes()).hexdigest()
    except (OSError, TypeError):  # a class of a notebook, or of a compiled module
        return uuid.uuid4().hex

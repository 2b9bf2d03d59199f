"""The one evaluation: fakes against a reference under a protocol. Callback and command line both call it.

Fakes come in blocks of 100, each drawn whole under a random stream keyed by (seed, block), and rank r takes blocks
r::world: the fakes are the same for any number of ranks, and none is counted twice.
"""

import typing
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from datamodules.functional.keys import key
from lightning_modules.metrics.base import Extractor, Features
from lightning_modules.metrics.cache import remembered
from lightning_modules.metrics.class_share import ClassShare
from lightning_modules.metrics.frechet import FeatureMoments, FrechetDistance, Moments
from lightning_modules.metrics.inception_score import InceptionScore
from lightning_modules.metrics.protocol import Plain, Protocol, metric_name
from lightning_modules.metrics.ranks import rank_and_world

BLOCK = 100
Sample = Callable[[int], Tensor]
Block = tuple[Tensor, Tensor]  # images [n, C, H, W], their numbers [n]


class Images(typing.Protocol):
    """What an evaluation asks of a set of images (``datamodules.base.ImageSet``)."""

    @property
    def name(self) -> str: ...
    @property
    def split(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    def __len__(self) -> int: ...
    def __getitem__(self, part: slice, /) -> Tensor: ...


def protocol_for(
    reference: Images,
    extractor: Extractor,
    fakes: int,
    is_splits: int = 10,
    seed: int = 0,
    labels: str = "none",
    weights: str = "ema",
    checkpoint: str = "last",
    real: Images | None = None,
) -> Protocol:
    """The protocol of scoring ``fakes`` images against all of ``reference``, with ``real`` as the floor.

    Raises:
        ValueError: if the images do not fit the extractor, or there are too few.
    """
    shape = reference[0:1].shape[1:]
    return Protocol(
        data=reference.name,
        data_sha256=reference.sha256,
        resolution="x".join(map(str, shape)),
        resize=extractor.fit(shape),
        extractor=extractor.name,
        extractor_sha256=extractor.sha256,
        reference_split=reference.split,
        reference_count=len(reference),
        fakes=fakes,
        labels=labels,
        weights=weights,
        precision=extractor.precision,
        is_splits=is_splits if extractor.num_classes is not None else None,
        checkpoint=checkpoint,
        seed=seed,
        block=BLOCK,
        floor_split=None if real is None else real.split,
        floor_count=None if real is None else min(fakes, len(real)),
    )


def evaluate(generator: Sample, reference: Images, protocol: Protocol, extractor: Extractor) -> dict[str, float]:
    """Score ``protocol.fakes`` images of ``generator`` against ``reference``.

    Args:
        generator: n -> uint8 images [n, C, H, W], drawn from torch's global random streams.
        reference: real images.
        protocol: of these; see ``protocol_for``.
        extractor: the network of the protocol.

    Returns:
        ``fid``; ``is`` and ``is_std`` where the extractor has logits; ``confident`` (share of images with a class of
        p > 0.9), ``class_min`` and ``class_max`` (smallest and largest share of a class) where its classes are those
        of the data. Named after the extractor unless it is Inception: ``fid@digits-cnn``. The same on all ranks,
        which must all call it. Random streams are left as they were.

    Raises:
        ValueError: if reference or extractor are not those of the protocol, or the fakes are no such images.
    """
    _check(protocol, reference, extractor)
    blocks = fakes(generator, protocol, tuple(reference[0:1].shape[1:]))
    return _score(blocks, protocol.fakes, reference, protocol, extractor)


def floor(real: Images, reference: Images, protocol: Protocol, extractor: Extractor) -> dict[str, float]:
    """What real images score: the first ``protocol.floor_count`` of ``real`` in the place of fakes.

    No generator is better than that but by memorising. There are as many of them as fakes, unless ``real`` is
    smaller: the protocol says. Cached like the reference.
    """
    _check(protocol, reference, extractor)
    count = protocol.floor_count
    if count is None or real.split != protocol.floor_split:
        raise ValueError(
            f"The protocol's floor is {count} images of split {protocol.floor_split}, these are of {real.split}."
        )

    def compute() -> dict[str, Tensor]:
        scores = _score(_real_blocks(real, count), count, reference, protocol, extractor)
        return {name: torch.tensor(value, dtype=torch.float64) for name, value in scores.items()}

    what = _reference_fields(reference, protocol) | {
        "kind": "floor",
        "real_sha256": real.sha256,
        "count": count,
        "is_splits": protocol.is_splits,
    }
    return {name: float(value) for name, value in remembered(what, compute, extractor.device).items()}


def reference_moments(reference: Images, protocol: Protocol, extractor: Extractor) -> Moments:
    """Mean and covariance of the reference features, on the extractor's device; computed once, then cached."""

    def compute() -> dict[str, Tensor]:
        metric = FeatureMoments(extractor.dim).to(extractor.device)
        for image, _ in _real_blocks(reference, protocol.reference_count):
            image = image.to(extractor.device)
            metric.update(extractor(image).features)
            if protocol.reference_mirror:
                metric.update(extractor(image.flip(-1)).features)
        return metric.compute()._asdict()

    found = remembered(_reference_fields(reference, protocol), compute, extractor.device)
    return Moments(found["mean"].to(extractor.device), found["cov"].to(extractor.device))


def fakes(generator: Sample, protocol: Protocol, shape: tuple[int, ...]) -> Iterator[Block]:
    """This rank's blocks of fakes, with their numbers. The last block is drawn whole and cut."""
    rank, world = rank_and_world()
    for block in range(rank, -(-protocol.fakes // protocol.block), world):
        start = block * protocol.block
        with _stream(key(protocol.seed, block)):
            image = generator(protocol.block)
        if image.dtype != torch.uint8 or tuple(image.shape[1:]) != shape:
            raise ValueError(
                f"The generator gives {image.dtype} samples of shape {tuple(image.shape[1:])}, the reference uint8 of "
                f"{shape}: an evaluation needs both to be the same kind of image."
            )
        stop = min(start + protocol.block, protocol.fakes)
        yield image[: stop - start], torch.arange(start, stop)


@contextmanager
def _stream(seed: int) -> Iterator[None]:
    # Of a GPU only the current one: the others belong to other ranks, and asking them would open a context on each.
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        yield


def _real_blocks(images: Images, count: int) -> Iterator[Block]:
    rank, world = rank_and_world()
    for start in range(rank * BLOCK, count, world * BLOCK):
        stop = min(start + BLOCK, count)
        yield images[start:stop], torch.arange(start, stop)


def _score(
    blocks: Iterable[Block], count: int, reference: Images, protocol: Protocol, extractor: Extractor
) -> dict[str, float]:
    scores = _Scores(reference_moments(reference, protocol, extractor), extractor, count, protocol.is_splits)
    for image, index in blocks:
        scores.update(extractor(image.to(extractor.device)), index.to(extractor.device))
    return scores.compute()


class _Scores:
    """All metrics of one evaluation, fed by one forward pass."""

    def __init__(self, reference: Moments, extractor: Extractor, count: int, splits: int | None) -> None:
        classes, device = extractor.num_classes, extractor.device
        self.name = extractor.name
        self.fid = FrechetDistance(reference).to(device)
        self.inception_score: InceptionScore | None = None
        self.share: ClassShare | None = None
        if classes is not None and splits is not None:
            self.inception_score = InceptionScore(classes, count, splits).to(device)
        if classes is not None and extractor.own_classes:
            self.share = ClassShare(classes).to(device)

    def update(self, seen: Features, index: Tensor) -> None:
        self.fid.update(seen.features)
        if seen.logits is not None and self.inception_score is not None:
            self.inception_score.update(seen.logits, index)
        if seen.logits is not None and self.share is not None:
            self.share.update(seen.logits)

    def compute(self) -> dict[str, float]:
        scores = {"fid": self.fid.compute()}
        if self.inception_score is not None:
            scores["is"], scores["is_std"] = self.inception_score.compute()
        if self.share is not None:
            scores["confident"], shares = self.share.compute()
            scores |= {"class_min": shares.min(), "class_max": shares.max()}
        return {metric_name(metric, self.name): float(score) for metric, score in scores.items()}


def _check(protocol: Protocol, reference: Images, extractor: Extractor) -> None:
    asked = (protocol.data_sha256, protocol.extractor, protocol.extractor_sha256)
    given = (reference.sha256, extractor.name, extractor.sha256)
    if asked != given:
        raise ValueError(
            f"The protocol is of data {protocol.data} and extractor {protocol.extractor}, but this evaluation got "
            f"{reference.name} and {extractor.name} of these or other hashes: build it with protocol_for."
        )


def _reference_fields(reference: Images, protocol: Protocol) -> dict[str, Plain]:
    return {
        "kind": "moments",
        "data": reference.name,
        "split": reference.split,
        "sha256": reference.sha256,
        "count": protocol.reference_count,
        "mirror": protocol.reference_mirror,
        "resize": protocol.resize,
        "extractor": protocol.extractor,
        "extractor_sha256": protocol.extractor_sha256,
        "precision": protocol.precision,
    }

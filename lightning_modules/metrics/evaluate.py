"""The one evaluation: fakes against a reference under a protocol. Callback and command line both call it.

Fakes come in blocks of 100, each drawn whole under a random stream keyed by (seed, block), and rank r takes blocks
r::world: the fakes are the same for any number of ranks, and none is counted twice. One forward pass of one extractor
serves all metrics.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from datamodules.functional.keys import key
from datamodules.functional.precision import full_precision
from lightning_modules.metrics.base import (
    EvaluationMetric,
    Extractor,
    Images,
    Setting,
    hash_of_labels,
    number_of_classes,
    spell,
)
from lightning_modules.metrics.cache import Tensors, remembered
from lightning_modules.metrics.protocol import QUANTISATION, Protocol, metric_name, settings
from lightning_modules.metrics.ranks import Refusal, rank_and_world
from lightning_modules.metrics.reference import (
    BLOCK,
    Block,
    code_of,
    looks,
    real_blocks,
    reference_statistics,
    union,
    what_defines,
)
from lightning_modules.metrics.standard import check_metrics, standard_metrics

Sample = Callable[[int], Tensor | tuple[Tensor, Tensor | None]]  # n -> samples, or samples and their classes


class Measured(NamedTuple):
    """What came out of an evaluation."""

    scores: dict[str, float]  # the same on all ranks
    pictures: dict[str, Tensor]  # by the name of the metric's first score, uint8 [rows, columns, C, H, W]


def protocol_for(
    reference: Images,
    extractor: Extractor,
    fakes: int,
    metrics: Sequence[EvaluationMetric] = (),
    seed: int = 0,
    labels: str = "none",
    weights: str = "ema",
    truncation: float | None = None,
    checkpoint: str | None = "last",
    real: Images | None = None,
) -> Protocol:
    """The protocol of scoring ``fakes`` samples by ``metrics`` against all of ``reference``, ``real`` being the floor.

    Raises:
        ValueError: if the samples do not fit the extractor, there are too few, or the extractor lacks what a metric
            needs.
    """
    shape = reference[0:1].shape[1:]
    resize = extractor.fit(shape)
    chosen = metrics or standard_metrics(extractor)
    check_metrics(chosen, extractor, shape, labels)
    return Protocol(
        data=reference.name,
        data_sha256=reference.sha256,
        resolution="x".join(map(str, shape)),
        resize=resize,
        extractor=extractor.name,
        extractor_sha256=extractor.sha256,
        reference_split=reference.split,
        reference_count=len(reference),
        fakes=fakes,
        labels=labels,
        quantisation=QUANTISATION if len(shape) == 3 else "none",
        weights=weights,
        precision=extractor.precision,
        truncation=truncation,
        checkpoint=checkpoint,
        seed=seed,
        block=BLOCK,
        floor_split=None if real is None else real.split,
        floor_count=None if real is None else min(fakes, len(real)),
        **settings(metric.fields for metric in chosen),  # type: ignore[arg-type]
    )


def evaluate(
    generator: Sample,
    reference: Images,
    protocol: Protocol,
    extractor: Extractor,
    metrics: Sequence[EvaluationMetric] = (),
) -> dict[str, float]:
    """The scores alone of ``measure``."""
    return measure(generator, reference, protocol, extractor, metrics).scores


def measure(
    generator: Sample,
    reference: Images,
    protocol: Protocol,
    extractor: Extractor,
    metrics: Sequence[EvaluationMetric] = (),
) -> Measured:
    """Score ``protocol.fakes`` samples of ``generator`` against ``reference``.

    Args:
        generator: n -> uint8 images [n, C, H, W] (or float points [n, d], as the reference has them), drawn from
            torch's global random streams; where metrics ask for classes, a pair of them and int64 [n].
        reference: real images, or points.
        protocol: of these; see ``protocol_for``.
        extractor: the network of the protocol.
        metrics: those of the protocol; none are FID, and IS and class shares where the extractor knows classes. They
            are not changed.

    Returns:
        Each metric's scores, named after the extractor that they were measured by unless it is Inception:
        ``fid@digits-cnn``; and the metrics' pictures. All ranks must call it. Random streams are left as they were.

    Raises:
        ValueError: if reference, extractor or metrics are not those of the protocol, or the fakes are no such samples.
    """
    of = _Comparison(reference, protocol, extractor, _chosen(metrics, protocol, extractor))
    return of.measure(fakes(generator, protocol, of.shape), protocol.fakes)


def measure_images(
    images: Images,
    reference: Images,
    protocol: Protocol,
    extractor: Extractor,
    metrics: Sequence[EvaluationMetric] = (),
) -> Measured:
    """Score the first ``protocol.fakes`` of ``images``, which are there already; see ``measure``.

    Raises:
        ValueError: also if the two are not of one shape.
    """
    of = _Comparison(reference, protocol, extractor, _chosen(metrics, protocol, extractor))
    shape = tuple(images[0:1].shape[1:])
    if shape != of.shape:
        raise ValueError(
            f"{images.name} holds {spell(shape)} and {reference.name} {spell(of.shape)}: bring both to one size and to"
            " the same channels before scoring."
        )
    return of.measure(real_blocks(images, protocol.fakes), protocol.fakes)


def floor(
    real: Images,
    reference: Images,
    protocol: Protocol,
    extractor: Extractor,
    metrics: Sequence[EvaluationMetric] = (),
) -> dict[str, float]:
    """What real samples score: the first ``protocol.floor_count`` of ``real`` in the place of fakes.

    No generator is better than that but by memorising. There are as many of them as fakes, unless ``real`` is
    smaller: the protocol says. Cached like the reference.
    """
    of = _Comparison(reference, protocol, extractor, _chosen(metrics, protocol, extractor))
    count = protocol.floor_count
    if count is None or real.split != protocol.floor_split:
        raise ValueError(
            f"The protocol's floor is {count} images of split {protocol.floor_split}, these are of {real.split}."
        )

    def compute() -> Tensors:
        scores = of.measure(real_blocks(real, count), count).scores
        return {name: torch.tensor(value, dtype=torch.float64) for name, value in scores.items()}

    if not extractor.is_told_apart:
        return {name: float(value) for name, value in compute().items()}
    what = what_defines("floor", extractor.offers, reference, protocol, extractor)
    what |= {"real_sha256": real.sha256, "count of real": count, "scores": " ".join(of.names)}
    what |= {name: value for metric in of.metrics for name, value in metric.fields.items()}
    what |= code_of([*of.metrics, *(statistic for metric in of.metrics for statistic in metric.statistics())])
    if any(metric.labelled for metric in of.metrics):
        what |= {"labels_sha256": hash_of_labels(reference), "labels_sha256 of real": hash_of_labels(real)}
    return {name: float(value) for name, value in remembered(what, compute, extractor.device).items()}


def fakes(generator: Sample, protocol: Protocol, shape: tuple[int, ...]) -> Iterator[Block]:
    """This rank's blocks of fakes, with their numbers and classes, made in full precision.

    The last block is drawn whole and cut.
    """
    rank, world = rank_and_world()
    for block in range(rank, -(-protocol.fakes // protocol.block), world):
        start = block * protocol.block
        with _stream(key(protocol.seed, block)), full_precision(_device()):
            drawn = generator(protocol.block)
        sample, labels = (drawn, None) if isinstance(drawn, Tensor) else drawn
        _check_fakes(sample, shape)
        stop = min(start + protocol.block, protocol.fakes)
        labels = torch.empty(0, dtype=torch.int64) if labels is None else labels[: stop - start]
        yield Block(sample[: stop - start], torch.arange(start, stop), labels)


def _check_fakes(sample: Tensor, shape: tuple[int, ...]) -> None:
    points = len(shape) != 3
    if tuple(sample.shape[1:]) != shape or (sample.dtype != torch.uint8 and not points):
        raise ValueError(
            f"The generator gives {sample.dtype} samples of shape {tuple(sample.shape[1:])}, the reference "
            f"{'points' if points else 'uint8'} of {shape}: an evaluation needs both to be the same kind of sample."
        )
    if points and not sample.isfinite().all():
        raise ValueError("The generator gives points that are not finite: it has diverged, lower its learning rate.")


@contextmanager
def _stream(seed: int) -> Iterator[None]:
    # Of a GPU only the current one: the others belong to other ranks, and asking them would open a context on each.
    device = _device()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def _device() -> torch.device:
    """Where this process draws: on its GPU, as soon as it has made use of one."""
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_initialized() else torch.device("cpu")


@dataclass
class _Comparison:
    """All metrics of one evaluation, fed by one forward pass."""

    reference: Images
    protocol: Protocol
    extractor: Extractor
    metrics: Sequence[EvaluationMetric]

    def __post_init__(self) -> None:
        protocol, extractor = self.protocol, self.extractor
        asked = (protocol.data_sha256, protocol.extractor, protocol.extractor_sha256)
        given = (self.reference.sha256, extractor.name, extractor.sha256)
        stated, fields = protocol.as_dict(), settings(metric.fields for metric in self.metrics)
        if asked != given or any(stated[name] != value for name, value in fields.items()):
            raise ValueError(
                f"The protocol is of data {protocol.data} and extractor {protocol.extractor}, but this evaluation got "
                f"{self.reference.name} and {extractor.name} of these or other hashes, or metrics of other settings: "
                "build it with protocol_for."
            )
        self.shape = tuple(self.reference[0:1].shape[1:])
        check_metrics(self.metrics, extractor, self.shape, protocol.labels)

    @property
    def names(self) -> list[str]:
        return [name for metric in self.metrics for name in metric.names]

    def measure(self, blocks: Iterable[Block], count: int) -> Measured:
        running = self.begun(count)
        needs = union(metric.needs for metric in running)
        refusal = Refusal()
        with refusal.noted():
            for look in looks(blocks, self.extractor, needs, self.reference):
                for metric in running:
                    metric.update(look)
        refusal.raise_on_all()
        scores: dict[str, float] = {}
        pictures: dict[str, Tensor] = {}
        for metric in running:
            scores |= {self.named(metric, name): float(value) for name, value in metric.compute().items()}
            if (picture := metric.picture(self.reference, self.protocol.reference_count)) is not None:
                pictures[metric.names[0]] = picture
        return Measured(scores, pictures)

    def begun(self, count: int) -> list[EvaluationMetric]:
        extractor = self.extractor
        asked = [statistic for metric in self.metrics for statistic in metric.statistics()]
        known = reference_statistics(self.reference, self.protocol, extractor, asked)
        classes = number_of_classes(self.reference)
        setting = Setting(self.shape, extractor.dim, extractor.num_classes or 0, count, known, classes)
        running = [deepcopy(metric) for metric in self.metrics]
        for metric in running:
            metric.begin(setting)
            metric.to(extractor.device)
        return running

    def named(self, metric: EvaluationMetric, score: str) -> str:
        return metric_name(score, self.extractor.name) if metric.needs else score


def _chosen(
    metrics: Sequence[EvaluationMetric], protocol: Protocol, extractor: Extractor
) -> Sequence[EvaluationMetric]:
    return metrics or standard_metrics(extractor, protocol.is_splits)

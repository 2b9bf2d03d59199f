"""``atelier evaluate IMAGES REFERENCE``: one set of finished images against another; and what all sets have in common.

Everything goes through the one ``measure`` of ``lightning_modules.metrics.evaluate``, a run's samples too.
"""

from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor

from datamodules.collection import AS_THEY_ARE, image_set
from datamodules.inspection import Progress
from experiments.errors import UserError
from experiments.evaluate_options import Options
from experiments.score_report import ScoreReport
from lightning_modules.metrics.base import EvaluationMetric, Extractor, Images, labels_of
from lightning_modules.metrics.evaluate import measure_images, protocol_for
from lightning_modules.metrics.extractors import Identity, extractor_for
from lightning_modules.metrics.inception import TAPS
from lightning_modules.metrics.inception_score import InceptionScore
from lightning_modules.metrics.presets import TF1_BILINEAR
from lightning_modules.metrics.protocol import INCEPTION, Protocol
from lightning_modules.metrics.standard import look_at_samples_alone, metrics_named, metrics_of, standard_metrics

FILES = "as in the files"  # what a protocol says of fakes that nobody saw being made
SHUFFLE = 2020  # torch-fidelity's seed


def score_sets(options: Options) -> ScoreReport:
    """Score one folder, archive or array against another.

    Raises:
        ValueError, FileNotFoundError: the images, the extractor or the metrics do not go together.
    """
    assert options.other is not None
    images, reference = image_set(options.target, options.change), image_set(options.other, options.change)
    extractor = load(options, INCEPTION, reference)
    extractor.to("cuda" if torch.cuda.is_available() else "cpu")
    count = min(options.fakes or len(images), len(images))
    if "--fakes" in options.request.own and options.fakes != count:
        raise UserError(f"{options.target} holds {count:,} images, and --fakes {options.fakes} asks for more: lower it")
    metrics = shuffled(chosen(options, extractor, reference, count, standard_metrics(extractor)))
    protocol = protocol_for(reference, extractor, count, metrics, labels=FILES, weights=FILES, checkpoint=FILES)
    protocol = followed(replace(protocol, quantisation=FILES, batch_norm=FILES), options)
    with watched(images, "scored") as fakes, watched(reference, "looked at") as reals:
        measured = measure_images(fakes, reals, protocol, extractor, metrics)
    changed = "" if options.change == AS_THEY_ARE else f", files changed: {options.change}"
    report = ScoreReport(
        title=f"{options.target} against {options.other}{changed}",
        of={
            "fakes": images.name,
            "fakes_sha256": images.sha256,
            "fakes_count": len(images),
            "files": str(options.change),
        },
        protocol=protocol.as_dict(),
        scores=[measured.scores],
        pictures=measured.pictures,
        device=extractor.device,
    )
    return against_preset(report, protocol, options)


def shuffled(metrics: Sequence[EvaluationMetric]) -> list[EvaluationMetric]:
    """``metrics``, but the Inception score splits the images in torch-fidelity's random order.

    Files often lie class by class, and a split of one class has no diversity.
    """
    mixed = list(metrics)
    for i, metric in enumerate(metrics):
        if isinstance(metric, InceptionScore) and metric.shuffle is None:
            mixed[i] = InceptionScore(metric.splits, SHUFFLE)
    return mixed


# --- what all sets have in common ---------------------------------------------------------------------------


def load(options: Options, otherwise: str, reference: Images, weights: str | None = None) -> Extractor:
    """The extractor that is asked for, or the one ``otherwise`` with ``weights``.

    ``identity`` instead of Inception where nobody speaks of an extractor and the metrics look at the samples alone: no
    weights are asked for that no score hangs on.
    """
    said = options.extractor or options.weights or options.preset or "extractor" in options.said
    if not said and otherwise in TAPS and look_at_samples_alone(options.metrics):
        otherwise, weights = Identity.name, None
    name = options.extractor or otherwise
    weights = options.weights or (weights if name == otherwise else None)
    resize = TF1_BILINEAR if options.preset is None else str(options.preset.fields.get("resize", TF1_BILINEAR))
    return extractor_for(shape(reference), name, weights, resize)


def chosen(
    options: Options,
    extractor: Extractor,
    reference: Images,
    count: int,
    usual: Sequence[EvaluationMetric],
    labels: str = FILES,
) -> Sequence[EvaluationMetric]:
    """The metrics that are asked for by name, set as in the preset or else in ``usual``; the preset's; or ``usual``.

    Those of ``usual`` that the command line itself speaks of come before the preset's. ``count`` images are compared
    with as many of the reference, or fewer where it has no more; their classes are drawn as ``labels`` says.
    """
    fixed = [] if options.preset is None else metrics_of(options.preset, extractor)
    said = [metric for metric in usual if "metrics" in options.said or _splits_said(metric, options)]
    if options.metrics:
        settled, fewer = [*usual, *fixed, *said], min(count, len(reference))
        return metrics_named(options.metrics, settled, extractor, shape(reference), fewer, labels)
    if not fixed or "metrics" in options.said:
        return usual
    by_kind = {type(metric): metric for metric in said}
    return [by_kind.get(type(metric), metric) for metric in fixed]


def _splits_said(metric: EvaluationMetric, options: Options) -> bool:
    return isinstance(metric, InceptionScore) and "is_splits" in options.said


def followed(protocol: Protocol, options: Options) -> Protocol:
    """``protocol`` with what the preset says of the reference, as far as there are so many images."""
    fixed = {} if options.preset is None else options.preset.fields
    count = fixed.get("reference_count")
    return replace(
        protocol,
        reference_mirror=bool(fixed.get("reference_mirror")),
        reference_count=min(protocol.reference_count, count if isinstance(count, int) else protocol.reference_count),
    )


def against_preset(
    report: ScoreReport, protocol: Protocol, options: Options, no_matter: Container[str] = ()
) -> ScoreReport:
    """``report``, with what was measured otherwise than the preset says, but for fields that are ``no_matter`` here."""
    if options.preset is not None:
        found = options.preset.departures(protocol)
        report.preset = options.preset.name
        report.departures = {name: pair for name, pair in found.items() if name not in no_matter}
        if report.seeds and len(report.seeds) != options.preset.runs:
            report.departures |= {"seeds": (options.preset.runs, len(report.seeds))}
    return report


def shape(images: Images) -> tuple[int, ...]:
    """Of one sample."""
    return tuple(images[0:1].shape[1:])


class Watched:
    """``images``, which tell how far each pass over them is. To look at a single one is no pass.

    Args:
        images: the set.
        done: what a pass does to them.
    """

    def __init__(self, images: Images, done: str) -> None:
        self.images, self.done = images, done
        self.name, self.split, self.sha256 = images.name, images.split, images.sha256
        self.labels = labels_of(images)
        self.progress = self._begin()

    def _begin(self) -> Progress:
        return Progress(f"{self.name} {self.split}", len(self), self.done)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, part: slice) -> Tensor:
        if part.stop - part.start > 1:
            if part.start == 0:
                self.progress.end()
                self.progress = self._begin()
            self.progress.show(part.start)
        return self.images[part]


@contextmanager
def watched(images: Images, done: str) -> Iterator[Watched]:
    """``images`` as ``Watched``, whose line on the terminal is left in the end."""
    watch = Watched(images, done)
    try:
        yield watch
    finally:
        watch.progress.end()

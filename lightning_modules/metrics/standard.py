"""The metrics of an evaluation: ours where nothing is said, those that a preset speaks of, or any that are given."""

from collections.abc import Sequence

from lightning_modules.metrics.base import EvaluationMetric, Extractor, Needs
from lightning_modules.metrics.class_coverage import ClassCoverage
from lightning_modules.metrics.class_share import ClassShare
from lightning_modules.metrics.classification_accuracy import ClassificationAccuracy
from lightning_modules.metrics.conditional import AskedShare, IntraFrechetDistance
from lightning_modules.metrics.frechet import FrechetDistance
from lightning_modules.metrics.inception_score import InceptionScore
from lightning_modules.metrics.kid import KID
from lightning_modules.metrics.neighbours import NearestNeighbours
from lightning_modules.metrics.prdc import PRDC
from lightning_modules.metrics.presets import Preset
from lightning_modules.metrics.sample_scores import DiversityScore, SlicedWassersteinScore, SpectrumScore


def standard_metrics(extractor: Extractor, is_splits: int | None = 10) -> list[EvaluationMetric]:
    """FID, the Inception score in ``is_splits`` (none where None) and class shares, as far as ``extractor`` allows."""
    metrics: list[EvaluationMetric] = [FrechetDistance()]
    if is_splits is not None:
        metrics.append(InceptionScore(is_splits))
    return [metric for metric in (*metrics, ClassShare()) if metric.needs in extractor.offers]


def metrics_of(preset: Preset, extractor: Extractor) -> list[EvaluationMetric]:
    """FID and what else ``preset`` fixes settings of, as far as ``extractor`` allows."""
    fixed = preset.fields
    metrics: list[EvaluationMetric] = [FrechetDistance()]
    if isinstance(splits := fixed.get("is_splits"), int):
        metrics.append(InceptionScore(splits))
    if isinstance(subsets := fixed.get("kid_subsets"), int) and isinstance(size := fixed.get("kid_subset_size"), int):
        metrics.append(KID(subsets, size))
    if isinstance(k := fixed.get("neighbours"), int) and isinstance(c := fixed.get("coverage_neighbours"), int):
        metrics.append(PRDC(k, c))
    return [metric for metric in metrics if metric.needs in extractor.offers]


ALL = "all"
NAMED: dict[str, type[EvaluationMetric]] = {
    "fid": FrechetDistance,
    "is": InceptionScore,
    "classes": ClassShare,
    "kid": KID,
    "prdc": PRDC,
    "neighbours": NearestNeighbours,
    "swd": SlicedWassersteinScore,
    "modes": ClassCoverage,
    "spectrum": SpectrumScore,
    "diversity": DiversityScore,
    "asked": AskedShare,
    "intra_fid": IntraFrechetDistance,
    "cas": ClassificationAccuracy,
}


def metrics_named(
    names: Sequence[str],
    settled: Sequence[EvaluationMetric],
    extractor: Extractor,
    shape: Sequence[int],
    count: int,
    labels: str = "none",
) -> list[EvaluationMetric]:
    """The metrics of ``names``: those of ``settled`` where their kind is among them, else with our settings.

    Args:
        names: of ``NAMED``; or ``all`` alone for those that suit everything else.
        settled: metrics whose settings are fixed, by a preset or an experiment; of one kind the last counts.
        extractor: the network that looks.
        shape: of one sample.
        count: images on the side that has fewer.
        labels: how the samples' classes are drawn, as in ``Protocol``.
    """
    fixed = {type(metric): metric for metric in settled}
    if list(names) == [ALL]:
        metrics = [fixed.get(kind) or kind() for kind in NAMED.values()]
        suitable = [metric for metric in metrics if not metric.labelled or labels in DRAWN]
        return [metric for metric in suitable if metric.needs in extractor.offers and _suits(metric, shape, count)]
    return [fixed.get(kind) or kind() for kind in (NAMED[name] for name in names)]


def look_at_samples_alone(names: Sequence[str]) -> bool:
    """Whether the metrics of ``names``, as in ``metrics_named``, ask nothing of any extractor."""
    return bool(names) and ALL not in names and not any(NAMED[name].needs for name in names)


def _suits(metric: EvaluationMetric, shape: Sequence[int], count: int) -> bool:
    try:
        metric.check(shape)
    except ValueError:
        return False
    return count >= metric.fewest


def check_metrics(metrics: Sequence[EvaluationMetric], extractor: Extractor, shape: Sequence[int], labels: str) -> None:
    """See that ``extractor`` can serve all of ``metrics`` with samples of ``shape``, and no two give the same score.

    ``labels`` says how the samples' classes are drawn, as in ``Protocol``.

    Raises:
        ValueError: otherwise.
    """
    names = [name for metric in metrics for name in metric.names]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"Two metrics of one evaluation both give {', '.join(twice)}: remove one of them.")
    for metric in metrics:
        metric.check(shape)
        if metric.labelled and labels not in DRAWN:
            raise ValueError(
                f"{type(metric).__name__} asks which class each sample was drawn for, and these were drawn for none: "
                "give the run of a generator that knows classes, or remove the metric."
            )
        missing = metric.needs & ~extractor.offers
        if missing:
            raise ValueError(
                f"{type(metric).__name__} needs {_WORDS[missing]}, which the extractor {extractor.name} does not have: "
                "choose another with evaluation.extractor, or remove the metric."
            )


DRAWN = ("uniform", "dataset")  # the ways of Protocol.labels in which somebody knows the class of each sample
_WORDS = {
    Needs.LOGITS: "logits",
    Needs.CLASSES: "classes that are the data's own",
    Needs.LOGITS | Needs.CLASSES: "logits",
}

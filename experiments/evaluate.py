"""``atelier evaluate``: score a trained generator, or images that are there already, under a named protocol.

Everything goes through the one ``measure`` of ``lightning_modules.metrics.evaluate``; this file only finds out what is
to be measured: the command line's options come first, then the preset, then what the run was evaluated by.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from datamodules.collection import image_set
from datamodules.inspection import Progress
from experiments import evaluate_pairs
from experiments.errors import UserError
from experiments.evaluate_options import OWN, Options, read_options
from experiments.house import HOUSE
from experiments.lightning_cli import hush_lightning, switch_off, users_mistakes
from experiments.look import Subject, find_subject
from experiments.request import read_request
from experiments.score_report import ScoreReport
from experiments.train import say
from experiments.weights import load_weights
from lightning_modules.base import AtelierModule
from lightning_modules.callbacks.generative_metrics import DataWithReference, Generates, GenerativeMetrics
from lightning_modules.callbacks.pictures import grid, save_png
from lightning_modules.metrics import cache
from lightning_modules.metrics.base import EvaluationMetric, Extractor, Images
from lightning_modules.metrics.evaluate import Measured, Sample, floor, measure, measure_images, protocol_for
from lightning_modules.metrics.extractors import Identity, load_extractor
from lightning_modules.metrics.protocol import INCEPTION, Protocol
from lightning_modules.metrics.standard import metrics_named, metrics_of, standard_metrics

FILES = "as in the files"  # what a protocol says of fakes that nobody saw being made


def evaluate(argv: Sequence[str]) -> int:
    """Print the scores as a table, and write them as JSON where asked to.

    Raises:
        UserError: it cannot be done as asked, and why.
    """
    hush_lightning()
    request = read_request(argv, OWN)
    if "--cache" in request.own:
        return tend_cache(request.own["--cache"])
    options = read_options(request)
    start = time.monotonic()
    pictures: dict[str, Tensor] = {}
    with users_mistakes():
        if options.paired:
            report = evaluate_pairs.score(options)
        else:
            report, pictures = (score_run if options.other is None else score_files)(options)
    report.seconds = time.monotonic() - start
    report.show()
    if options.out is not None:
        report.write(options.out)
        for name, rows in pictures.items():
            save_png(grid(rows.flatten(0, 1), columns=rows.shape[1]), options.out.with_suffix(f".{name}.png"))
        say(f"written: {options.out}" + "".join(f", {options.out.with_suffix(f'.{name}.png')}" for name in pictures))
    return 0


# --- finished images ----------------------------------------------------------------------------------------


def score_files(options: Options) -> tuple[ScoreReport, dict[str, Tensor]]:
    """Score one folder, archive or array against another."""
    target, other = options.request.target, options.other
    assert target is not None
    assert other is not None
    images, reference = image_set(target, options.change), image_set(other, options.change)
    extractor = load(options, INCEPTION, reference)
    extractor.to("cuda" if torch.cuda.is_available() else "cpu")
    metrics = chosen(options, extractor, reference) or standard_metrics(extractor)
    count = min(options.fakes or len(images), len(images))
    protocol = protocol_for(reference, extractor, count, metrics, labels=FILES, weights=FILES, checkpoint=FILES)
    protocol = followed(replace(protocol, quantisation=FILES, batch_norm=FILES), options)
    with watched(images, "scored") as fakes, watched(reference, "looked at") as reals:
        measured = measure_images(fakes, reals, protocol, extractor, metrics)
    report = ScoreReport(
        title=f"{target} against {other}",
        of={"fakes": images.name, "fakes_sha256": images.sha256, "fakes_count": count},
        protocol=protocol.as_dict(),
        scores=[measured.scores],
    )
    return against_preset(report, protocol, options), measured.pictures


# --- a trained generator ------------------------------------------------------------------------------------


@dataclass
class Trained:
    """A trained generator with its data and the evaluation that its run names."""

    subject: Subject
    module: AtelierModule
    data: DataWithReference
    evaluation: GenerativeMetrics

    @property
    def about(self) -> dict[str, Any]:
        """What was scored."""
        config = self.subject.cli.config
        return {
            "experiment": config.experiment,
            "run_seed": config.seed_everything,
            "checkpoint": self.subject.which,
            **self.module.counters(),
        }


def score_run(options: Options) -> tuple[ScoreReport, dict[str, Tensor]]:
    """Score a run's generator against its data, once for each seed."""
    trained = load_trained(options)
    evaluation, data, module = trained.evaluation, trained.data, trained.module
    split = options.split or evaluation.split
    reference, real = data.reference(split), data.reference("test" if split == "train" else "train")
    extractor = load(options, evaluation.extractor_name, reference, evaluation.weights)
    extractor = extractor.to(module.device)
    metrics = (
        chosen(options, extractor, reference) or evaluation.metrics or standard_metrics(extractor, evaluation.is_splits)
    )
    with_floor = evaluation.with_floor if options.floor is None else options.floor
    assert isinstance(module, Generates)
    first = followed(
        protocol_for(
            reference,
            extractor,
            fakes=options.fakes or evaluation.fakes,
            metrics=metrics,
            seed=evaluation.seed,
            labels="none" if module.G.num_classes is None else "uniform",
            weights=module.weights_name,
            checkpoint=trained.subject.which,
            real=real if with_floor else None,
        ),
        options,
    )
    seeds = [first.seed + i for i in range(options.seeds or 1)]
    with watched(reference, "looked at") as reals:
        rows = [drawn(module.sample, reals, replace(first, seed=seed), extractor, metrics) for seed in seeds]
        with watched(real, "looked at for the floor") as others:
            least = floor(others, reals, first, extractor, metrics) if with_floor else None
    report = ScoreReport(
        title=f"{trained.about['experiment']}, {trained.subject.which} checkpoint",
        of=trained.about,
        protocol=first.as_dict(),
        scores=[row.scores for row in rows],
        seeds=seeds,
        floor=least,
    )
    return against_preset(report, first, options), rows[0].pictures


def load_trained(options: Options) -> Trained:
    """The generator with the weights that are to be scored, on the best device there is.

    Raises:
        UserError: there is none, or no data to compare with.
    """
    subject = find_subject(options.request, "evaluate")
    cli = subject.cli
    switch_off(cli, *(name for name in HOUSE if name != "evaluation"))
    cli.config.trainer.logger = False
    cli.build()
    module, data = cli.model, cli.datamodule
    if not isinstance(module, AtelierModule) or not isinstance(module, Generates):
        raise UserError(f"{type(module).__name__} generates nothing to score: give the run of a generator")
    if not isinstance(data, DataWithReference):
        raise UserError(f"{type(data).__name__} has no images to compare with: give the run of an image data set")
    load_weights(module, subject.checkpoint)
    if options.preset is not None and options.preset.fields.get("weights") == "raw":
        module.ema = None
    data.prepare_data()
    module.to("cuda" if torch.cuda.is_available() else "cpu")
    return Trained(subject, module, data, cli.config_init.evaluation or GenerativeMetrics())


def drawn(
    sample: Sample, reference: Images, protocol: Protocol, extractor: Extractor, metrics: Sequence[EvaluationMetric]
) -> Measured:
    """The scores of one seed, saying now and then how far the drawing is."""
    progress, done = Progress(f"fakes of seed {protocol.seed}", protocol.fakes, "drawn and scored"), 0

    def draw(n: int) -> Tensor:
        nonlocal done
        progress.show(done)
        done += n
        return sample(n)

    measured = measure(draw, reference, protocol, extractor, metrics)
    progress.end()
    return measured


# --- what both have in common -------------------------------------------------------------------------------


def load(options: Options, otherwise: str, reference: Images, weights: str | None = None) -> Extractor:
    """The extractor that is asked for, or the one ``otherwise`` with ``weights``."""
    name = options.extractor or otherwise
    if name == Identity.name:
        return Identity(shape(reference))
    return load_extractor(name, options.weights or (weights if name == otherwise else None))


def chosen(options: Options, extractor: Extractor, reference: Images) -> list[EvaluationMetric]:
    """The metrics that are asked for, by name or by the preset; none where nobody asks."""
    if options.metrics:
        return metrics_named(options.metrics, options.settings, extractor, shape(reference))
    return [] if options.preset is None else metrics_of(options.preset, extractor)


def followed(protocol: Protocol, options: Options) -> Protocol:
    """``protocol`` with what the preset says of the reference."""
    mirror = options.preset is not None and bool(options.preset.fields.get("reference_mirror"))
    return replace(protocol, reference_mirror=mirror)


def against_preset(report: ScoreReport, protocol: Protocol, options: Options) -> ScoreReport:
    """``report``, with what was measured otherwise than the preset says."""
    if options.preset is not None:
        report.preset, report.departures = options.preset.name, options.preset.departures(protocol)
    return report


def shape(images: Images) -> tuple[int, ...]:
    """Of one sample."""
    return tuple(images[0:1].shape[1:])


class Watched:
    """``images``, which tell how far a pass over them is."""

    def __init__(self, images: Images, done: str) -> None:
        self.images = images
        self.name, self.split, self.sha256 = images.name, images.split, images.sha256
        self.progress = Progress(f"{images.name} {images.split}", len(images), done)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, part: slice) -> Tensor:
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


def tend_cache(word: str) -> int:
    """Show what is remembered of references, or delete it.

    Raises:
        UserError: for another word.
    """
    if word == "clear":
        say(f"{cache.clear()} statistics deleted from {cache.cache_folder()}")
        return 0
    if word != "show":
        raise UserError(f"--cache expects show or clear, got {word!r}")
    found = cache.entries()
    for entry in found:
        what = entry.what
        about = " ".join(str(what.get(name, "")) for name in ("data", "split", "count", "kind")) or "damaged"
        through = f" through {what['extractor']}" if "extractor" in what else ""
        say(f"{entry.size / 2**20:9.2f} MB  {about}{through}  {entry.path.name[:12]}")
    total = sum(entry.size for entry in found) / 2**20
    say(f"{len(found)} statistics, {total:.2f} MB in all, in {cache.cache_folder()}")
    return 0

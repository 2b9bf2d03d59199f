"""``atelier evaluate RUN_DIR``: the samples of a trained generator against its data, once for each seed."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from datamodules.inspection import Progress
from experiments.errors import UserError
from experiments.evaluate_drawing import drawing
from experiments.evaluate_options import Options
from experiments.evaluate_sets import against_preset, chosen, followed, load, watched
from experiments.house import HOUSE
from experiments.lightning_cli import switch_off
from experiments.look import Subject, find_subject
from experiments.runs import RunDirectory
from experiments.score_report import ScoreReport
from experiments.weights import load_weights
from lightning_modules.callbacks.generative_metrics import DataWithReference, GenerativeMetrics
from lightning_modules.generative import GenerativeModule
from lightning_modules.metrics.base import EvaluationMetric, Extractor, Images
from lightning_modules.metrics.evaluate import Measured, Sample, floor, measure, protocol_for
from lightning_modules.metrics.protocol import Protocol
from lightning_modules.metrics.standard import standard_metrics


@dataclass
class Trained:
    """A trained generator with its data and the evaluation that its run names."""

    subject: Subject
    module: GenerativeModule
    data: DataWithReference
    evaluation: GenerativeMetrics

    @property
    def about(self) -> dict[str, Any]:
        """What is scored."""
        config = self.subject.cli.config
        return {
            "experiment": config.experiment,
            "run_seed": config.seed_everything,
            "run_started": started(self.subject.run),
            "checkpoint": self.subject.which,
            **({"changed": list(self.subject.changed)} if self.subject.changed else {}),
            **self.module.counters(),
        }


def score_run(options: Options) -> ScoreReport:
    """Score a run's generator against its data.

    Raises:
        UserError, ValueError, FileNotFoundError: there is none, or it cannot be scored as asked.
    """
    trained = load_trained(options)
    evaluation, data = trained.evaluation, trained.data
    split = options.split or evaluation.split
    reference, real = data.reference(split), data.reference("test" if split == "train" else "train")
    extractor = load(options, evaluation.extractor_name, reference, evaluation.weights).to(trained.module.device)
    draws = drawing(trained.module, options.preset, reference)
    usual = evaluation.metrics or standard_metrics(extractor, evaluation.is_splits)
    with_floor = evaluation.with_floor if options.floor is None else options.floor
    fakes = options.fakes or evaluation.fakes
    count = min(fakes, len(real)) if with_floor else fakes
    metrics = chosen(options, extractor, reference, count, usual, draws.labels)
    protocol = protocol_for(
        reference,
        extractor,
        fakes=fakes,
        metrics=metrics,
        seed=evaluation.seed if options.seed is None else options.seed,
        labels=draws.labels,
        weights=trained.module.weights_name,
        truncation=trained.module.truncation,
        checkpoint=trained.subject.which,
        real=real if with_floor else None,
    )
    protocol = followed(replace(protocol, batch_norm=draws.batch_norm), options)
    seeds = [protocol.seed + i for i in range(options.seeds)]
    with watched(reference, "looked at") as reals:
        rows = [drawn(draws.sample, reals, replace(protocol, seed=seed), extractor, metrics) for seed in seeds]
        with watched(real, "looked at for the floor") as others:
            least = floor(others, reals, protocol, extractor, metrics) if with_floor else None
    report = ScoreReport(
        title=f"{trained.about['experiment']}, {trained.subject.which} checkpoint",
        of=trained.about,
        protocol=protocol.as_dict(),
        scores=[row.scores for row in rows],
        seeds=seeds,
        floor=least,
        pictures=rows[0].pictures,
        device=extractor.device,
    )
    return against_preset(report, protocol, options, () if draws.normalises else ("batch_norm",))


def started(run: RunDirectory | None) -> str | None:
    """When ``run`` began, which tells it from others of its seed; None where no record says."""
    try:
        return None if run is None else json.loads((run.path / "record.json").read_text(encoding="utf-8"))["started"][0]
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None


def load_trained(options: Options) -> Trained:
    """The generator with the weights that are to be scored, on the best device there is.

    Raises:
        UserError: there is none, or no data to compare with.
    """
    trained = with_data(find_subject(options.request, "evaluate", options.checkpoint))
    if options.preset is not None and options.preset.fields.get("weights") == "raw":
        trained.module.ema = None
    return trained


def with_data(subject: Subject) -> Trained:
    """The generator of ``subject`` and its data, as ``load_trained``."""
    cli = subject.cli
    switch_off(cli, *(name for name in HOUSE if name != "evaluation"))
    cli.config.trainer.logger = False
    cli.build()
    module, data = cli.model, cli.datamodule
    if not isinstance(module, GenerativeModule):
        raise UserError(f"{type(module).__name__} generates nothing to score: give the run of a generator")
    if not isinstance(data, DataWithReference):
        raise UserError(f"{type(data).__name__} has no images to compare with: give the run of an image data set")
    load_weights(module, subject.checkpoint)
    data.prepare_data()
    module.to("cuda" if torch.cuda.is_available() else "cpu")
    return Trained(subject, module, data, cli.config_init.evaluation or GenerativeMetrics())


def drawn(
    sample: Sample, reference: Images, protocol: Protocol, extractor: Extractor, metrics: Sequence[EvaluationMetric]
) -> Measured:
    """The scores of one seed, saying now and then how far the drawing is."""
    progress, done = Progress(f"fakes of seed {protocol.seed}", protocol.fakes, "drawn and scored"), 0

    def draw(n: int) -> Tensor | tuple[Tensor, Tensor | None]:
        nonlocal done
        progress.show(done)
        done += n
        return sample(n)

    measured = measure(draw, reference, protocol, extractor, metrics)
    progress.end()
    return measured

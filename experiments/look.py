"""``atelier validate``, ``test`` and ``predict``: look at a trained model. They make no run directory."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning as L
import torch

from datamodules.functional.files import replacing
from experiments.catalogue import experiments, find_file
from experiments.cell_key import cell_key
from experiments.errors import RunError, UserError, sentence_of
from experiments.house import HOUSE, SCORES
from experiments.layers import read_layer
from experiments.lightning_cli import AtelierCLI, Layer, hush_lightning, switch_off, users_mistakes
from experiments.request import Request, new_path, read_request
from experiments.runs import RunDirectory, open_run
from experiments.train import parse, say
from experiments.weights import check_weights, has_weights, read_checkpoint
from lightning_modules.callbacks.record import RunRecord
from lightning_modules.callbacks.scores import Scores

WRITERS = ("clock", "samples", "checkpoint", "record", "progress")  # callbacks that only training needs


@dataclass
class Subject:
    """A parsed configuration and the checkpoint that goes with it.

    Attributes:
        changed: what the command line has otherwise than the run, of the settings that scores hang on.
        which: what protocols call the checkpoint: its name, and of the best by which score, where that is known.
    """

    cli: AtelierCLI
    checkpoint: Path
    run: RunDirectory | None = None
    changed: Sequence[str] = ()
    which: str = field(init=False)

    def __post_init__(self) -> None:
        name, kept = self.checkpoint.stem, self.cli.config.checkpoint
        by = kept.monitor if name == "best" and kept is not None else None
        self.which = name if by is None else f"{name} by {by.removeprefix('val/')}"


def find_subject(request: Request, command: str, otherwise: str = "last") -> Subject:
    """What ``request`` is about: a run directory, a checkpoint in one, or an experiment with ``--ckpt FILE``.

    Args:
        request: the command line.
        command: its name.
        otherwise: the checkpoint of a run directory where the command line names none.

    Raises:
        UserError: none of them.
    """
    target, which = request.target, request.own.get("--ckpt", otherwise)
    if target is not None and target.endswith(".ckpt"):
        file = Path(target)
        if "--ckpt" in request.own:
            raise UserError(f"{target} is a checkpoint already: leave out --ckpt")
        if not file.is_file():
            raise UserError(f"there is no checkpoint at {target}")
        return in_run(open_run(str(file.resolve().parent.parent)), file, request)
    if target is not None and Path(target).is_dir():
        run = open_run(target)
        file = run.checkpoint(which) if which in ("last", "best") else Path(which)
        return in_run(run, file, request)
    if which in ("last", "best"):
        if target is not None and "--ckpt" not in request.own and target not in experiments():
            raise UserError(f"{target} is no run directory: runs lie in runs/<experiment>/<time>-s<seed>")
        raise lacks_weights(command)
    return Subject(parse(request, command), Path(which))


def lacks_weights(command: str) -> UserError:
    """What ``command`` says without a checkpoint."""
    return UserError(
        f"{command} needs trained weights: give a run directory, or `atelier {command} EXPERIMENT --ckpt FILE`"
    )


def in_run(run: RunDirectory, checkpoint: Path, request: Request) -> Subject:
    """The subject whose configuration is ``run``'s."""
    if not checkpoint.is_file():
        there = sorted(path.stem for path in run.checkpoint("last").parent.glob("*.ckpt"))
        raise UserError(f"there is no checkpoint at {checkpoint}: the run has {', '.join(there) or 'none'}")
    files = [run.config, *map(find_file, request.configs)]
    layers: list[Layer] = [(file.name, read_layer(file)) for file in files]
    cli = AtelierCLI(layers, request.overrides)
    if not request.overrides and not request.configs:
        return Subject(cli, checkpoint, run)
    same = cell_key(AtelierCLI(layers[:1], ()).resolved) == cell_key(cli.resolved)
    return Subject(cli, checkpoint, run, () if same else (*request.configs, *request.overrides))


def prepare(argv: Sequence[str], command: str, *own: str) -> tuple[Request, Subject]:
    """Parse, build, and compare the checkpoint with the model."""
    hush_lightning()
    request = read_request(argv, own=("--ckpt", *own))
    subject = find_subject(request, command)
    build(subject.cli, subject.which)
    check_weights(subject.cli.model, read_checkpoint(subject.checkpoint), subject.checkpoint)
    return request, subject


def build(cli: AtelierCLI, which: str | None) -> None:
    """Build what looking needs; protocols name the checkpoint ``which``."""
    switch_off(cli, *WRITERS)
    cli.config.trainer.logger = False
    cli.build()
    for callback in (cli.config_init[name] for name in SCORES):
        if callback is not None:
            callback.checkpoint = which


def bare_module(cli: AtelierCLI) -> L.LightningModule:
    """The family of ``cli`` alone, without data, callbacks and loggers."""
    switch_off(cli, "data", *HOUSE)
    cli.config.trainer.logger = False
    cli.build()
    return cli.model


def without_checkpoint(request: Request, command: str) -> AtelierCLI | None:
    """The experiment of ``request``, where it is named without a checkpoint and has no weights that one could hold.

    Raises:
        UserError: it has.
    """
    target = request.target
    named = bool(request.configs) if target is None else target in experiments() or target.endswith((".yaml", ".yml"))
    if not named or "--ckpt" in request.own:
        return None
    cli = parse(request, command)
    build(cli, None)
    if has_weights(cli.model):
        raise lacks_weights(command)
    return cli


def validate(argv: Sequence[str]) -> int:
    """Print the scores on the validation data."""
    return score(argv, "validate", L.Trainer.validate)


def test(argv: Sequence[str]) -> int:
    """Print the scores on the test data; with ``--out`` write them into a record, too."""
    return score(argv, "test", L.Trainer.test, "--out")


def score(argv: Sequence[str], command: str, look: Callable[..., object], *own: str) -> int:
    """Run one evaluation loop of the trainer and print each score by name, then how they were measured."""
    hush_lightning()
    request = read_request(argv, own=("--ckpt", *own))
    out = new_path(request.own["--out"]) if "--out" in request.own else None
    cli, checkpoint = without_checkpoint(request, command), None
    if cli is None:
        _, subject = prepare(argv, command, *own)
        cli, checkpoint = subject.cli, subject.checkpoint
    with tempfile.TemporaryDirectory() as folder:
        recorders = [] if out is None else [recorder(cli)]
        trainer = cli.make_trainer(Path(folder), first=recorders)
        try:
            with users_mistakes():
                look(trainer, cli.model, datamodule=cli.datamodule, ckpt_path=checkpoint, verbose=False)
        except FloatingPointError as error:
            raise RunError(sentence_of(error)) from error
        if out is not None:
            keep_record(Path(folder), out)
    show_scores(trainer)
    if out is not None:
        say(f"record: {out}")
    return 0


def recorder(cli: AtelierCLI) -> RunRecord:
    """What writes the record of a test."""
    record = RunRecord(cli.config.experiment)
    record.key = cell_key(cli.resolved)
    return record


def keep_record(folder: Path, out: Path) -> None:
    """Take the record of ``folder``, which rank 0 wrote, to ``out``."""
    if (folder / "record.json").is_file():
        with replacing(out) as file:
            file.write((folder / "record.json").read_bytes())


def show_scores(trainer: L.Trainer) -> None:
    """Print each score by name, then how they were measured."""
    scores = {name: float(value) for name, value in trainer.callback_metrics.items()}
    width = max(map(len, scores), default=0)
    for name, value in scores.items():
        say(f"{name:{width}}  {value:.6g}")
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, Scores):
            say(f"measured by: {in_words(callback.described)}")
    if not scores:
        say("this experiment has no scores: give it an evaluation")


def in_words(fields: Mapping[str, Any]) -> str:
    """The fields of a protocol in one line, without those that are None."""
    said = {name: value for name, value in fields.items() if value is not None}
    parts = {name: f"({in_words(value)})" if isinstance(value, Mapping) else value for name, value in said.items()}
    return ", ".join(f"{name} {value}" for name, value in parts.items())


def flattened(batches: Sequence[Any]) -> Iterator[Any]:
    """The batches of one data loader, or of one after the other."""
    for batch in batches:
        if isinstance(batch, list):
            yield from flattened(batch)
        else:
            yield batch


def predict(argv: Sequence[str]) -> int:
    """Write the predictions on the test data into a file that torch.load reads."""
    request, subject = prepare(argv, "predict", "--out")
    out = new_path(request.own.get("--out", "predictions.pt"))
    switch_off(subject.cli, *SCORES)
    with tempfile.TemporaryDirectory() as folder:
        trainer = subject.cli.make_trainer(Path(folder))
        with users_mistakes():
            batches = trainer.predict(
                subject.cli.model, datamodule=subject.cli.datamodule, ckpt_path=subject.checkpoint
            )
    found = [batch for batch in flattened(batches or []) if isinstance(batch, torch.Tensor)]
    if len({batch.shape[1:] for batch in found}) > 1:
        raise UserError("the test data give predictions of several sizes: `atelier restore` writes each as a picture")
    predictions = torch.cat(found)
    with replacing(out) as file:
        torch.save(predictions, file)
    say(f"{len(predictions)} predictions {list(predictions.shape[1:])} in {out}")
    return 0

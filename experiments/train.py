"""``atelier fit``: begin a run in a directory of its own, or go on with one."""

import os
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import lightning as L
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_only

from datamodules.workers import DataError, told
from experiments.catalogue import find_file
from experiments.cpu import cpu_at_speed
from experiments.errors import (
    TOO_LARGE_A_STEP,
    InterruptedRunError,
    RunError,
    UserError,
    disk_is_full,
    memory_is_full,
    sentence_of,
)
from experiments.half_precision import warning
from experiments.layers import read_layer
from experiments.lightning_cli import USERS, AtelierCLI, Layer, hush_lightning
from experiments.request import Request, find_layers, read_request
from experiments.resume import refuse_changes
from experiments.runs import (
    RUN_DIR_VARIABLE,
    RunDirectory,
    create_run,
    inherited_run,
    is_child_rank,
    open_run,
    refuse_tasks,
)
from experiments.table_file import UNITS
from experiments.weights import check_weights, has_weights, read_checkpoint
from lightning_modules.adversarial import TwoPlayerModule
from lightning_modules.base import AtelierModule
from lightning_modules.callbacks.loggers import Run, RunLogger
from lightning_modules.losses.terms import ContractError


@dataclass
class Opening(Callback):
    """Writes a run's first files when all set-up has succeeded, and knows whether training has begun.

    It stands first among the callbacks, so that the loggers are open when the others look at the untrained network.
    """

    run: RunDirectory
    cli: AtelierCLI
    argv: Sequence[str]
    opened: bool = False
    begun: bool = False

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Put down the configuration (where it is new) and the command, and open the loggers."""
        self.opened = True
        if not trainer.is_global_zero:
            return
        if not self.run.config.exists() or read_layer(self.run.config) != self.cli.resolved:
            self.run.write_config(self.cli.text)
        self.run.add_command(self.argv)
        whole = Run(self.run.path, self.cli.config.experiment, self.cli.resolved)
        for logger in trainer.loggers:
            if isinstance(logger, RunLogger):
                logger.open(whole)

    def on_train_batch_start(self, *args: object) -> None:
        """From here on the run is kept, whatever happens."""
        self.begun = True


@cpu_at_speed()
def fit(argv: Sequence[str]) -> int:
    """Train.

    Raises:
        UserError: the command cannot be run; no run directory is left behind.
        RunError: training failed or was interrupted; the run directory is kept.
    """
    hush_lightning()
    request = read_request(argv, own=("--resume",))
    if "--resume" in request.own:
        return go_on(request, ["fit", *argv])
    cli = sound(request)
    if is_child_rank():
        return train(cli, inherited_run(), ["fit", *argv], None)
    run = create_run(cli.config.runs_dir, cli.config.experiment, cli.config.seed_everything)
    os.environ[RUN_DIR_VARIABLE] = str(run.path)
    try:
        with run.going_on():
            return train(cli, run, ["fit", *argv], None)
    finally:
        del os.environ[RUN_DIR_VARIABLE]


def sound(request: Request) -> AtelierCLI:
    """The experiment that ``request`` asks to train, parsed and built.

    Raises:
        UserError: it cannot be, it is no family, it has nothing to train, or no length.
    """
    cli = parse(request, "fit")
    cli.build()
    check_family(cli.model)
    if not has_weights(cli.model):
        raise UserError(f"{cli.config.experiment} has no weights to train: `atelier test` measures it as it is")
    if cli.config.clock is None:
        raise UserError("this experiment has no length: give clock.g_steps, clock.kimg or clock.epochs")
    return cli


def check_family(model: L.LightningModule) -> None:
    """Raise UserError where ``model`` lacks what training asks of it."""
    name = type(model).__name__
    if not isinstance(model, AtelierModule):
        raise UserError(
            f"model.class_path: {name} is no AtelierModule, whose steps are counted here: derive it from"
            " AdversarialModule, JudgedModule or ReconstructionModule (CONTRIBUTING.md, Add a family)"
        )
    missing = [loss for loss in ("d_loss", "g_loss") if not hasattr(model, loss)]
    if isinstance(model, TwoPlayerModule) and missing:
        raise UserError(f"model.class_path: {name} has no {missing[0]}: give it one, (*batch) -> dict of scalars")


def parse(request: Request, command: str) -> AtelierCLI:
    """The configuration that ``request`` asks for."""
    name, files = find_layers(request, command)
    layers: list[Layer] = [(file.name, read_layer(file)) for file in files]
    if name is None and not any("experiment" in layer for _, layer in layers):
        name = files[1].stem
    if name is not None:
        layers.insert(1, ("the command line", {"experiment": name}))
    return AtelierCLI(layers, request.overrides)


def go_on(request: Request, argv: Sequence[str]) -> int:
    """Resume the run that ``request`` names from its last checkpoint."""
    if request.target is not None:
        raise UserError(f"--resume takes everything from the run directory: leave out {request.target}")
    run = open_run(request.own["--resume"])
    if not run.last_checkpoint.is_file():
        raise UserError(
            f"{run.path.name} holds no checkpoints/last.ckpt, it was stopped before the first was written: start anew"
            f" with `atelier fit --config {run.path / 'config.yaml'}`"
        )
    with nullcontext() if is_child_rank() else run.going_on():  # other ranks are of the process that says so
        return resume(request, run, argv)


def resume(request: Request, run: RunDirectory, argv: Sequence[str]) -> int:
    """Train on in ``run``, whose last checkpoint is there, with the changes that ``request`` asks for."""
    stored: list[Layer] = [(run.config.name, read_layer(run.config))]
    extra: list[Layer] = [(file.name, read_layer(file)) for file in map(find_file, request.configs)]
    cli = AtelierCLI([*stored, *extra], request.overrides)
    old = AtelierCLI(stored, [])
    refuse_changes(old.resolved | {"runs_dir": old.config.runs_dir}, cli.resolved | {"runs_dir": cli.config.runs_dir})
    cli.build()
    check_weights(cli.model, read_checkpoint(run.last_checkpoint), run.last_checkpoint)
    return train(cli, run, argv, run.last_checkpoint)


def train(cli: AtelierCLI, run: RunDirectory, argv: Sequence[str], checkpoint: Path | None) -> int:
    """Run the trainer in ``run``, from ``checkpoint`` if given."""
    opening = Opening(run, cli, argv)
    try:
        trainer = cli.make_trainer(run.path, first=[opening])
        refuse_tasks(trainer.num_devices * trainer.num_nodes)
        slow = warning(trainer)
        if slow is not None:
            say(slow)
        trainer.fit(cli.model, datamodule=cli.datamodule, ckpt_path=checkpoint)
    except BaseException as error:
        if isinstance(error, ContractError) and not run.last_checkpoint.is_file():  # as in the first step
            opening.begun = False
        if not opening.begun:
            run.discard()
        said = translated(error, opening, run)
        if said is error:
            raise
        raise said from error
    if checkpoint is not None and not opening.opened:
        if cli.config_init.record is not None:
            cli.config_init.record.close(trainer, cli.model)
        say(f"{show(run.path)} is finished already{asked_length(cli)}")
        return 0
    for line in [*summary(cli, run), *logged(trainer)]:
        say(line)
    saves = cli.config_init.checkpoint
    if saves is not None and saves.interrupted and trainer.global_step < trainer.max_steps:
        raise InterruptedRunError(f"interrupted: {way_on(run)}")
    return 0


def asked_length(cli: AtelierCLI) -> str:
    """The length that has been reached, and how to ask for more."""
    clock = cli.resolved["clock"] or {}
    return "".join(
        f", clock.{unit} {clock[unit]} is reached: go on with a larger --clock.{unit}"
        for unit in UNITS
        if clock.get(unit) is not None
    )


def translated(error: BaseException, opening: Opening, run: RunDirectory) -> BaseException:
    """``error`` as what the command line says of it; bugs stay as they are."""
    if disk_is_full(error):
        kept = f"the last whole checkpoint is kept in {show(run.path)}" if opening.begun else "nothing was begun"
        return RunError(f"the disk is full: {kept}; make room, then go on with --resume")
    if memory_is_full(error):
        return RunError(
            f"{TOO_LARGE_A_STEP} (the run is kept in {show(run.path)})" if opening.begun else TOO_LARGE_A_STEP
        )
    error = told(error)
    if isinstance(error, FloatingPointError) or (opening.begun and isinstance(error, DataError | ContractError)):
        return RunError(f"{sentence_of(error)} (the run is kept in {show(run.path)})")
    if isinstance(error, SystemExit | KeyboardInterrupt):  # Lightning leaves by SystemExit after Ctrl-C
        kept = way_on(run) if run.path.is_dir() else "training had not begun, nothing is kept"
        return InterruptedRunError(f"interrupted: {kept}")
    if isinstance(error, USERS) and not opening.begun:
        return UserError(sentence_of(error))
    return error


def way_on(run: RunDirectory) -> str:
    """What to do with a run that was stopped."""
    if run.last_checkpoint.is_file():
        return f"go on with `atelier fit --resume {show(run.path)}`"
    return f"no checkpoint was written yet in {show(run.path)}"


def summary(cli: AtelierCLI, run: RunDirectory) -> list[str]:
    """What came out, in a few lines."""
    record = cli.config_init.record
    lines = record.summary() if record is not None else []
    return [*lines, f"run directory: {show(run.path)}"]


def logged(trainer: L.Trainer) -> list[str]:
    """What the loggers have to say of where they wrote."""
    return [line for logger in trainer.loggers if isinstance(logger, RunLogger) for line in logger.summary()]


def show(path: Path) -> str:
    """``path``, relative to the working directory where it lies below."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


@rank_zero_only
def say(line: str) -> None:
    """Print ``line`` once, not once a rank."""
    print(line)

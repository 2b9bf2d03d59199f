"""``atelier fit --dry_run``: what a run would cost, from a few real steps of it. Nothing is written."""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import mean

import lightning as L
import torch

from datamodules.workers import DataError
from experiments.cpu import cpu_at_speed
from experiments.errors import TOO_LARGE_A_STEP, RunError, UserError, memory_is_full, sentence_of
from experiments.half_precision import warning
from experiments.house import HOUSE
from experiments.lightning_cli import AtelierCLI, hush_lightning, users_mistakes
from experiments.meter import Meter, networks
from experiments.request import Request, read_request
from experiments.train import say, sound
from lightning_modules.callbacks.clock import Clock, CountsItsImages
from lightning_modules.callbacks.progress import clock_time
from lightning_modules.callbacks.scores import Scores
from lightning_modules.contract import StatesItsClasses, StatesItsData


class Rehearsal(Meter):
    """A meter that also sets up what would score the run, so that what is missing is missed now.

    Args:
        clock: of the run.
        scores: what would score it.
    """

    def __init__(self, clock: Clock, scores: Sequence[Scores]) -> None:
        super().__init__()
        self.clock, self.scores = clock, scores
        self.total = 0  # steps of the whole run

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """As the meter; and set up the scores and measure the run's length."""
        for callback in self.scores:
            callback.setup(trainer, pl_module, stage)
        self.clock.setup(trainer, pl_module, stage)
        self.total = trainer.max_steps
        super().setup(trainer, pl_module, stage)


@cpu_at_speed()
def dry_run(argv: Sequence[str]) -> int:
    """Build the experiment that ``argv`` names, run a few of its steps and print what they cost.

    Raises:
        UserError: the command cannot be run.
        RunError: a step fails, as where it does not fit the memory.
    """
    hush_lightning()
    request = read_request(argv, own=("--resume",))
    if "--resume" in request.own:
        raise UserError("--dry_run is for a run that has not begun: leave out --resume, or give its experiment")
    known = sizes_without_memory(request)
    lines(known)
    cli = sound(request)
    lines([] if known else sizes(cli))
    house = [cli.config_init[name] for name in HOUSE]
    scores = [callback for callback in house if isinstance(callback, Scores)]
    rehearsal = Rehearsal(cli.config_init.clock, scores)
    for name in HOUSE:
        cli.config_init[name] = None
    for name, value in {"logger": False, "profiler": None, "limit_val_batches": 0}.items():
        cli.config_init.trainer[name] = value
    with tempfile.TemporaryDirectory() as folder:
        trainer = cli.make_trainer(Path(folder), first=[rehearsal])
        if trainer.world_size > 1:
            raise UserError("--dry_run measures one device: add --trainer.devices 1 --trainer.strategy auto")
        try:
            with users_mistakes():
                trainer.fit(cli.model, datamodule=cli.datamodule)
        except (FloatingPointError, DataError) as error:
            raise RunError(sentence_of(error)) from error
        except (MemoryError, RuntimeError) as error:
            if not memory_is_full(error):
                raise
            raise RunError(TOO_LARGE_A_STEP) from error
    lines(report(cli, trainer, rehearsal))
    return 0


def sizes_without_memory(request: Request) -> list[tuple[str, str]]:
    """``sizes`` before anything is read, known where the data are absent, too; none where that is not to be had."""
    try:
        with torch.device("meta"):
            return list(sizes(sound(request)))
    except (RuntimeError, TypeError):  # a constructor that reads numbers, which tensors on meta have none of
        return []


def lines(found: Iterable[tuple[str, str]]) -> None:
    """Print names and findings."""
    for name, text in found:
        say(f"{name:12}{text}")


def sizes(cli: AtelierCLI) -> Iterator[tuple[str, str]]:
    """Of each network, a line."""
    yield "experiment", f"{cli.config.experiment}: {type(cli.model).__name__}"
    for name, net in networks(cli.model).items():
        weights = list(net.parameters())
        if weights:
            yield name, f"{type(net).__name__}, {sum(w.numel() for w in weights):,} parameters"


def report(cli: AtelierCLI, trainer: L.Trainer, cost: Rehearsal) -> Iterator[tuple[str, str]]:
    """Names and findings, a line each."""
    device = trainer.strategy.root_device.type
    yield "measured", f"on {device}, precision {trainer.precision}"
    slow = warning(trainer)
    if slow is not None:
        yield "precision", slow
    yield "data", describe(cli.datamodule)
    yield "batch", ", ".join(cost.batch)
    yield "FLOPs", operations(cost)
    parts = ", ".join(f"{name} {memory(size)}" for name, size in cost.standing.items() if size)
    yield "memory", f"{memory(cost.peak)} at the peak of a step; of them {parts}"
    data = cli.datamodule
    rate = f", {data.batch_size / cost.seconds:,.0f} images/s" if isinstance(data, CountsItsImages) else ""
    yield "step", f"{1000 * cost.seconds:,.1f} ms, the mean of {cost.timed}{rate}"
    yield "run", f"{cost.total:,} steps: about {clock_time(cost.total * cost.seconds)}, evaluations apart"
    yield "", "nothing was written"


def describe(data: L.LightningDataModule) -> str:
    """What the data module says of its images."""
    text = type(data).__name__
    if isinstance(data, CountsItsImages):
        text += f", {data.images_per_epoch:,} training items"
    if isinstance(data, StatesItsData):
        text += f" of {'x'.join(map(str, data.out_shape))}"
        text += "" if data.value_range is None else f" in [{data.value_range[0]:g}, {data.value_range[1]:g}]"
    if isinstance(data, StatesItsClasses) and data.num_classes:
        text += f", {data.num_classes} classes"
    return text


def operations(cost: Meter) -> str:
    """FLOPs of a step on average, and of each player's update."""
    whole = sum(sum(counts) for counts in cost.flops.values()) / cost.cycle
    players = []
    for name, counts in cost.flops.items():
        often = "" if len(counts) == cost.cycle else f" in {len(counts)} of {cost.cycle} steps"
        most = f", {count(max(counts))} with every penalty" if max(counts) > min(counts) else ""
        players.append(f"{name} {count(mean(counts))}{often}{most}")
    return f"{count(whole)} a step: {'; '.join(players)}"


def count(number: float) -> str:
    """``number`` with three digits and a prefix: 1.53 G."""
    for power, prefix in ((12, "T"), (9, "G"), (6, "M"), (3, "k")):
        if number >= 10**power:
            return f"{number / 10**power:.3g} {prefix}"
    return f"{number:.3g}"


def memory(size: int) -> str:
    """``size`` in bytes with three digits and a prefix of 1024: 1.53 MB."""
    for power, prefix in ((3, "G"), (2, "M"), (1, "k")):
        if size >= 1024**power:
            return f"{size / 1024**power:.3g} {prefix}B"
    return f"{size} B"

"""A trainer beside a bare PyTorch loop, turn by turn: what the benchmarks of training steps share.

Both train the same networks on the same data with the same optimizers, in one process: a callback at the end of each of
the trainer's rounds runs one round of the bare loop. So both see the same machine at the same moment, and the ratio of
the medians holds even where the machine's speed drifts. The trainer's round is everything from one such callback to the
next: data, hooks, all updates, the average, logging to metrics.jsonl, progress.
"""

import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from datamodules.base import ImageDataModule, ImageSet
from datamodules.functional.quantise import from_uint8
from experiments.lightning_cli import hush_lightning
from lightning_modules.callbacks.clock import Clock
from lightning_modules.callbacks.loggers import JsonlLogger, Run
from lightning_modules.callbacks.progress import ProgressLine
from lightning_modules.networks.base import Discriminator, Generator

DECAY = 0.999  # of G's average


class Pictures(ImageDataModule):
    """Random bytes of CIFAR-10's shape and number of classes: what a step costs does not depend on what they show."""

    name = "pictures"
    image_shape = (3, 32, 32)
    num_classes = 10

    def read(self, split: str) -> ImageSet:
        """Two thousand of them."""
        images = torch.randint(256, (2000, *self.image_shape), dtype=torch.uint8)
        return ImageSet(self.name, split, images, torch.randint(self.num_classes, (len(images),)))


class ByHand:
    """A GAN's round as a person would write it by hand, the average included; its parts can be timed.

    Args:
        G: the generator.
        D: the discriminator.
        data: what it learns from.
        batch: images of a step.
    """

    def __init__(self, G: Generator, D: Discriminator, data: ImageSet, batch: int) -> None:
        self.G, self.D, self.data, self.batch = G, D, data, batch
        self.average = deepcopy(G).requires_grad_(False)
        self.seconds: defaultdict[str, float] = defaultdict(float)

    def reals(self) -> tuple[Tensor, Tensor]:
        """A batch: floats [N, C, H, W], and labels."""
        index = torch.randint(len(self.data), (self.batch,))
        return from_uint8(self.data.images[index]), self.data.labels[index]

    def noise(self) -> Tensor:
        """z of a batch."""
        return torch.randn(self.batch, self.G.z_dim)

    def follow(self) -> None:
        """Move the average."""
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.G.parameters()), 1 - DECAY)
            for old, new in zip(self.average.buffers(), self.G.buffers(), strict=True):
                old.copy_(new)

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Count what is done within as a ``part`` of the step."""
        start = time.perf_counter()
        yield
        self.seconds[part] += time.perf_counter() - start

    def shares(self) -> dict[str, float]:
        """Of the time, by part."""
        total = sum(self.seconds.values())
        return {part: round(seconds / total, 3) for part, seconds in self.seconds.items()}


def learn(opt: torch.optim.Optimizer, loss: Tensor) -> None:
    """One step of ``opt`` down the ``loss``."""
    opt.zero_grad()
    loss.backward()
    opt.step()


class TurnByTurn(Callback):
    """Runs one bare round after each of the trainer's, and times both.

    Args:
        bare: one round by hand.
        steps: of the trainer in a round.
        warm_up: rounds that do not count.
    """

    def __init__(self, bare: Callable[[], None], steps: int, warm_up: int) -> None:
        self.bare, self.steps, self.rounds_left = bare, steps, warm_up
        self.fit_seconds: list[float] = []
        self.bare_seconds: list[float] = []
        self._left = 0.0

    def on_train_start(self, *args: Any) -> None:
        """Start the watch."""
        self._left = time.perf_counter()

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        """After a round stop it, run and time the other, start it again."""
        if trainer.global_step % self.steps:
            return
        came = time.perf_counter()
        self.bare()
        left = time.perf_counter()
        if self.rounds_left:
            self.rounds_left -= 1
        else:
            self.fit_seconds.append(came - self._left)
            self.bare_seconds.append(left - came)
        self._left = left

    def figures(self, feeding: float) -> dict[str, Any]:
        """The medians, their ratio, and what share of a round ``feeding`` seconds of data are."""
        fit, hand = statistics.median(self.fit_seconds), statistics.median(self.bare_seconds)
        return {
            "rounds": len(self.fit_seconds),
            "threads": torch.get_num_threads(),
            "fit_ms": round(1000 * fit, 2),
            "bare_ms": round(1000 * hand, 2),
            "ratio": round(fit / hand, 4),
            "feeding_ms": round(1000 * feeding, 3),
            "feeding_share": round(feeding / fit, 4),
        }


def compare(
    bare: Callable[[], None],
    module: L.LightningModule,
    data: L.LightningDataModule,
    rounds: int,
    warm_up: int,
    steps: int = 1,
    g_steps: int = 1,
    bf16: bool = False,
    feed: Callable[[Tensor], Any] = from_uint8,
) -> dict[str, Any]:
    """Train ``module`` and the ``bare`` loop for ``warm_up + rounds`` rounds, and compare the medians.

    Args:
        bare: one round by hand.
        module: a family.
        data: its data.
        rounds: that count.
        warm_up: those before them.
        steps: of the trainer in a round; of D, where there is one.
        g_steps: of the generator, or of the one network, in a round.
        bf16: train in half precision.
        feed: what is done with what the loader gives first, before a step.
    """
    hush_lightning()
    turns = TurnByTurn(bare, steps, warm_up)
    with tempfile.TemporaryDirectory() as folder:
        trainer_of(Path(folder), turns, g_steps * (warm_up + rounds), bf16).fit(module, datamodule=data)
    return turns.figures(steps * feeding_seconds(data, feed))


def feeding_seconds(data: L.LightningDataModule, feed: Callable[[Tensor], Any], batches: int = 200) -> float:
    """Median seconds to fetch one batch and make it floats."""
    stream, seconds = iter(data.train_dataloader()), []
    for _ in range(batches):
        start = time.perf_counter()
        feed(next(stream)[0])
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def trainer_of(folder: Path, turns: TurnByTurn, g_steps: int, bf16: bool) -> L.Trainer:
    """A trainer as ``atelier fit`` makes it, without evaluations and checkpoints."""
    logger = JsonlLogger()
    logger.open(Run(folder, "bench/step_time", {}))
    return L.Trainer(
        accelerator="cpu",
        precision="bf16-mixed" if bf16 else "32-true",
        logger=logger,
        callbacks=[Clock(g_steps=g_steps, validations=0), turns, ProgressLine()],
        default_root_dir=folder,
        num_sanity_val_steps=0,
        check_val_every_n_epoch=None,
        use_distributed_sampler=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    )

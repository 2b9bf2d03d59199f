"""``python experiments/bench/step_time.py [CASE]``: what a training step costs over a bare PyTorch loop.

Both train the same networks on the same data with the same optimizers, in one process, turn by turn: a callback at
the end of each of the trainer's rounds (``n_critic`` steps of D and one of G) runs one round of the bare loop. So both
see the same machine at the same moment, and the ratio of the medians holds even where the machine's speed drifts. The
trainer's round is everything from one such callback to the next: data, hooks, all updates, the average, logging to
metrics.jsonl, progress.

Cases: ``dcgan`` (DCGAN-32 on the digits), ``sngan`` (SNGAN-32 at full width on pictures of CIFAR-10's size, five steps
of D), ``settings``: the rounds of ``sngan`` plain, channels_last, in bf16 and compiled, ``biggan`` (BigGAN-32 at batch
32, one step of D; ``--width 96`` is its own).
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn

from datamodules.base import ImageDataModule, ImageSet
from datamodules.digits import Digits
from datamodules.functional.quantise import from_uint8
from experiments.lightning_cli import hush_lightning
from lightning_modules.callbacks.clock import Clock
from lightning_modules.callbacks.loggers import JsonlLogger, Run
from lightning_modules.callbacks.progress import ProgressLine
from lightning_modules.ema import EMASettings
from lightning_modules.gan import GAN
from lightning_modules.losses.adversarial import AdversarialLoss, Hinge, NonSaturating
from lightning_modules.networks.base import Discriminator, Generator
from lightning_modules.networks.biggan import BigGANGenerator
from lightning_modules.networks.conditional import ProjectionDiscriminator
from lightning_modules.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from lightning_modules.networks.init import Orthogonal
from lightning_modules.networks.resnet import ResNetDiscriminator, ResNetGenerator

DECAY = 0.999


class Pictures(ImageDataModule):
    """Random bytes of CIFAR-10's shape and number of classes: what a step costs does not depend on what they show."""

    name = "pictures"
    image_shape = (3, 32, 32)
    num_classes = 10

    def read(self, split: str) -> ImageSet:
        """Two thousand of them."""
        images = torch.randint(256, (2000, *self.image_shape), dtype=torch.uint8)
        return ImageSet(self.name, split, images, torch.randint(self.num_classes, (len(images),)))


@dataclass(frozen=True)
class Case:
    """What is trained, and how."""

    name: str
    G: Callable[[], Generator]
    D: Callable[[], Discriminator]
    data: Callable[[int], ImageDataModule]
    loss: AdversarialLoss
    betas: tuple[float, float]
    n_critic: int = 1
    batch: int = 64
    channels_last: bool = True
    bf16: bool = False
    compile: bool = False

    @property
    def settings(self) -> str:
        """What differs from plain fp32 in PyTorch's default layout."""
        flags = {"channels_last": self.channels_last, "bf16": self.bf16, "compile": self.compile}
        return ", ".join(name for name, on in flags.items() if on) or "plain"

    def adam(self, parameters: Iterator[nn.Parameter]) -> torch.optim.Adam:
        """Both players' optimizer."""
        return torch.optim.Adam(parameters, lr=2e-4, betas=self.betas)


def dcgan(width: int) -> Case:
    """DCGAN-32 on the digits."""
    return Case(
        f"DCGAN-32, width {width}",
        lambda: DCGANGenerator(32, 1, 100, width),
        lambda: DCGANDiscriminator(32, 1, width),
        lambda batch: Digits(batch_size=batch),
        NonSaturating(),
        betas=(0.5, 0.999),
    )


def sngan() -> Case:
    """SNGAN-32 as in the paper: five steps of D, 256 and 128 maps."""
    return Case(
        "SNGAN-32",
        ResNetGenerator,
        ResNetDiscriminator,
        lambda batch: Pictures(batch_size=batch),
        Hinge(),
        betas=(0.0, 0.9),
        n_critic=5,
    )


def biggan(width: int) -> Case:
    """BigGAN-32 in StudioGAN's form; 96 is its width."""
    return Case(
        f"BigGAN-32, width {width}",
        lambda: BigGANGenerator(width=4 * width),
        lambda: ProjectionDiscriminator(
            ResNetDiscriminator(width=2 * width, attention=1, wide=True, init=Orthogonal()), spectral_norm=True
        ),
        lambda batch: Pictures(batch_size=batch),
        Hinge(),
        betas=(0.5, 0.999),
        batch=32,
    )


class BareLoop:
    """The same round as a person would write it by hand, the average included."""

    def __init__(self, case: Case, G: Generator, D: Discriminator, data: ImageSet) -> None:
        self.case, self.G, self.D, self.data = case, G, D, data
        self.average = deepcopy(G).requires_grad_(False)
        self.opt_g, self.opt_d = case.adam(G.parameters()), case.adam(D.parameters())
        if case.compile:
            G.compile()
            D.compile()

    def autocast(self) -> torch.autocast:
        """The precision of the case."""
        return torch.autocast("cpu", torch.bfloat16, enabled=self.case.bf16)

    def fakes(self, y: Tensor) -> Tensor:
        """G's images of one batch of labels."""
        return self.G(torch.randn(self.case.batch, self.G.z_dim), y)

    def round(self) -> None:
        """``n_critic`` steps of D and one of G."""
        for _ in range(self.case.n_critic):
            self.d_step()
        self.g_step()

    def d_step(self) -> None:
        """One step of D."""
        index = torch.randint(len(self.data), (self.case.batch,))
        x, y = from_uint8(self.data.images[index]), self.data.labels[index]
        x = x.contiguous(memory_format=torch.channels_last) if self.case.channels_last else x
        with self.autocast():
            with torch.no_grad():
                fake = self.fakes(y)
            loss = self.case.loss.d(self.D(x, y).float(), self.D(fake, y).float())
        self.opt_d.zero_grad()
        loss.backward()
        self.opt_d.step()

    def g_step(self) -> None:
        """One step of G, and of its average."""
        self.D.requires_grad_(False)
        with self.autocast():
            y = self.data.labels[torch.randint(len(self.data), (self.case.batch,))]
            loss = self.case.loss.g(None, self.D(self.fakes(y), y).float())
        self.opt_g.zero_grad()
        loss.backward()
        self.opt_g.step()
        self.D.requires_grad_(True)
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.G.parameters()), 1 - DECAY)
            for old, new in zip(self.average.buffers(), self.G.buffers(), strict=True):
                old.copy_(new)


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


def feeding_seconds(data: ImageDataModule, batches: int = 200) -> float:
    """Median seconds to fetch one batch and make it floats."""
    stream, seconds = iter(data.train_dataloader()), []
    for _ in range(batches):
        start = time.perf_counter()
        images = next(stream)[0]
        from_uint8(images)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def measure(case: Case, rounds: int, warm_up: int) -> dict[str, Any]:
    """Train both for ``warm_up + rounds`` rounds and compare the medians."""
    torch.manual_seed(0)
    G, D, data = case.G(), case.D(), case.data(case.batch)
    if case.channels_last:
        G, D = G.to(memory_format=torch.channels_last), D.to(memory_format=torch.channels_last)
    bare = BareLoop(case, deepcopy(G), deepcopy(D), data.reference("train"))
    module = GAN(
        G,
        D,
        loss=case.loss,
        d_optimizer=case.adam,
        g_optimizer=case.adam,
        n_critic=case.n_critic,
        channels_last=case.channels_last,
        compile=case.compile,
        ema=EMASettings(decay=DECAY),
    )
    turns = TurnByTurn(bare.round, case.n_critic, warm_up)
    with tempfile.TemporaryDirectory() as folder:
        trainer_of(Path(folder), turns, warm_up + rounds, case.bf16).fit(module, datamodule=data)
    return {
        "network": f"{case.name}, batch {case.batch}, {case.n_critic} D : 1 G",
        "settings": case.settings,
        **turns.figures(case.n_critic * feeding_seconds(data)),
    }


def trainer_of(folder: Path, turns: TurnByTurn, rounds: int, bf16: bool) -> L.Trainer:
    """A trainer as ``atelier fit`` makes it, without evaluations and checkpoints."""
    logger = JsonlLogger()
    logger.open(Run(folder, "bench/step_time", {}))
    return L.Trainer(
        accelerator="cpu",
        precision="bf16-mixed" if bf16 else "32-true",
        logger=logger,
        callbacks=[Clock(g_steps=rounds, validations=0), turns, ProgressLine()],
        default_root_dir=folder,
        num_sanity_val_steps=0,
        check_val_every_n_epoch=None,
        use_distributed_sampler=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    )


def cases(name: str, width: int) -> list[Case]:
    """The cases of one name."""
    if name == "dcgan":
        return [dcgan(width)]
    if name == "sngan":
        return [sngan()]
    if name == "biggan":
        return [biggan(width)]
    plain = replace(sngan(), channels_last=False)
    wide = [plain, sngan(), replace(sngan(), bf16=True)]
    return [*wide, *(replace(case, compile=True) for case in wide[1:])]


def main() -> None:
    """Measure and print one JSON object a case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", nargs="?", default="dcgan", choices=["dcgan", "sngan", "settings", "biggan"])
    parser.add_argument("--width", type=int, default=64, help="of DCGAN and of BigGAN")
    parser.add_argument("--rounds", type=int, default=150)
    parser.add_argument("--warm_up", type=int, default=10)
    options = parser.parse_args()
    hush_lightning()
    for case in cases(options.case, options.width):
        print(json.dumps(measure(case, options.rounds, options.warm_up), indent=2), flush=True)


if __name__ == "__main__":
    main()

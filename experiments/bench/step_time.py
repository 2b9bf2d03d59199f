"""``python experiments/bench/step_time.py``: what a training step costs over a bare PyTorch loop.

Both train the same networks on the same data with the same optimizers, in one process, turn by turn: a callback at
the end of each of the trainer's steps runs one step of the bare loop. So both see the same machine at the same
moment, and the ratio of the medians holds even where the machine's speed drifts. The trainer's step is everything
from one such callback to the next: data, hooks, both updates, the average, logging to metrics.jsonl, progress.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torch.nn.functional import softplus

from datamodules.digits import Digits
from datamodules.functional.quantise import from_uint8
from experiments.lightning_cli import hush_lightning
from lightning_modules.callbacks.clock import Clock
from lightning_modules.callbacks.loggers import JsonlLogger, Run
from lightning_modules.callbacks.progress import ProgressLine
from lightning_modules.ema import EMASettings
from lightning_modules.gan import GAN
from lightning_modules.networks.dcgan import DCGANDiscriminator, DCGANGenerator

DECAY = 0.999


def adam(parameters: Iterator[nn.Parameter]) -> torch.optim.Adam:
    """DCGAN's optimizer."""
    return torch.optim.Adam(parameters, lr=2e-4, betas=(0.5, 0.999))


class BareLoop:
    """The same step as a person would write it by hand, non-saturating loss and average included."""

    def __init__(self, G: DCGANGenerator, D: DCGANDiscriminator, images: Tensor, batch: int) -> None:
        self.G, self.D, self.images, self.batch = G, D, images, batch
        self.average = deepcopy(G).requires_grad_(False)
        self.opt_g, self.opt_d = adam(G.parameters()), adam(D.parameters())

    def step(self) -> None:
        """One step of D and one of G."""
        x = from_uint8(self.images[torch.randint(len(self.images), (self.batch,))])
        x = x.contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            fake = self.G(torch.randn(self.batch, self.G.z_dim))
        self.opt_d.zero_grad()
        (softplus(-self.D(x)).mean() + softplus(self.D(fake)).mean()).backward()
        self.opt_d.step()
        self.D.requires_grad_(False)
        self.opt_g.zero_grad()
        softplus(-self.D(self.G(torch.randn(self.batch, self.G.z_dim)))).mean().backward()
        self.opt_g.step()
        self.D.requires_grad_(True)
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.G.parameters()), 1 - DECAY)
            for old, new in zip(self.average.buffers(), self.G.buffers(), strict=True):
                old.copy_(new)


class TurnByTurn(Callback):
    """Runs one bare step after each of the trainer's, and times both."""

    def __init__(self, bare: BareLoop, warm_up: int) -> None:
        self.bare, self.warm_up = bare, warm_up
        self.fit_seconds: list[float] = []
        self.bare_seconds: list[float] = []
        self._left = 0.0

    def on_train_start(self, *args: Any) -> None:
        """Start the watch."""
        self._left = time.perf_counter()

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        """Stop it, run and time the other step, start it again."""
        came = time.perf_counter()
        self.bare.step()
        left = time.perf_counter()
        if trainer.global_step > self.warm_up:
            self.fit_seconds.append(came - self._left)
            self.bare_seconds.append(left - came)
        self._left = left


def feeding_seconds(data: Digits, batches: int = 200) -> float:
    """Median seconds to fetch one batch and make it floats."""
    stream, seconds = iter(data.train_dataloader()), []
    for _ in range(batches):
        start = time.perf_counter()
        images, _ = next(stream)
        from_uint8(images)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def measure(width: int, batch: int, steps: int, warm_up: int) -> dict[str, Any]:
    """Train both for ``warm_up + steps`` steps and compare the medians."""
    torch.manual_seed(0)
    G, D = DCGANGenerator(32, 1, 100, width), DCGANDiscriminator(32, 1, width)
    G, D = G.to(memory_format=torch.channels_last), D.to(memory_format=torch.channels_last)
    data = Digits(batch_size=batch)
    bare = BareLoop(deepcopy(G), deepcopy(D), data.reference("train").images, batch)
    module = GAN(G, D, d_optimizer=adam, g_optimizer=adam, channels_last=True, ema=EMASettings(decay=DECAY))
    turns, logger = TurnByTurn(bare, warm_up), JsonlLogger()
    with tempfile.TemporaryDirectory() as folder:
        logger.open(Run(Path(folder), "bench/step_time", {}))
        trainer = L.Trainer(
            accelerator="cpu",
            logger=logger,
            callbacks=[Clock(g_steps=warm_up + steps, validations=0), turns, ProgressLine()],
            default_root_dir=folder,
            num_sanity_val_steps=0,
            check_val_every_n_epoch=None,
            use_distributed_sampler=False,
            enable_progress_bar=False,
            enable_checkpointing=False,
            enable_model_summary=False,
        )
        trainer.fit(module, datamodule=data)
    fit, hand = statistics.median(turns.fit_seconds), statistics.median(turns.bare_seconds)
    feeding = feeding_seconds(data)
    return {
        "network": f"DCGAN-32, width {width}, batch {batch}, channels_last",
        "steps": steps,
        "threads": torch.get_num_threads(),
        "fit_ms": round(1000 * fit, 2),
        "bare_ms": round(1000 * hand, 2),
        "ratio": round(fit / hand, 4),
        "feeding_ms": round(1000 * feeding, 3),
        "feeding_share": round(feeding / fit, 4),
    }


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--warm_up", type=int, default=10)
    options = parser.parse_args()
    hush_lightning()
    print(json.dumps(measure(options.width, options.batch, options.steps, options.warm_up), indent=2))


if __name__ == "__main__":
    main()

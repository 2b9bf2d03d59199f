"""``python experiments/bench/stylegan2.py``: a step of StyleGAN2 beside a bare PyTorch loop, and its parts.

As ``step_time.py``: both train the same networks in one process, turn by turn. They are those of CIFAR-10's settings at
batch 32 unless ``--width`` says less; every 16th step both take R1's step too, so that rounds are as many steps.
"""

import argparse
import json
import tempfile
import time
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from datamodules.functional.quantise import from_uint8
from experiments.bench.step_time import DECAY, Pictures, TurnByTurn, feeding_seconds, trainer_of
from experiments.lightning_cli import hush_lightning
from lightning_modules.ema import EMASettings
from lightning_modules.losses.penalties import R1
from lightning_modules.networks.resolutions import Widths
from lightning_modules.networks.stylegan2 import StyleGAN2Generator
from lightning_modules.networks.stylegan_discriminator import StyleGAN2Discriminator
from lightning_modules.stylegan2 import RATE, StyleGAN2

SIDE, GAMMA = 32, 0.01


class Bare:
    """The same steps as a person would write them by hand, the average included.

    Args:
        G: the generator.
        D: the discriminator.
        images: uint8 [M, 3, 32, 32].
        batch: images of a step.
        every: step at which R1 is due.
    """

    def __init__(
        self, G: StyleGAN2Generator, D: StyleGAN2Discriminator, images: Tensor, batch: int, every: int
    ) -> None:
        self.G, self.D, self.images, self.batch, self.every = G, D, images, batch, every
        share = every / (every + 1)
        self.average = deepcopy(G).requires_grad_(False)
        self.opt_g = torch.optim.Adam(G.parameters(), RATE, (0.0, 0.99))
        self.opt_d = torch.optim.Adam(D.parameters(), RATE * share, (0.0, 0.99**share))
        self.seconds = dict.fromkeys(("fakes", "D", "R1", "G"), 0.0)

    def __call__(self) -> None:
        """A round of steps, R1 in the first of them."""
        for step in range(self.every):
            x = from_uint8(self.images[torch.randint(len(self.images), (self.batch,))])
            x = x.contiguous(memory_format=torch.channels_last)
            self.d_step(x)
            if step == 0:
                self.penalty(x)
            self.g_step()

    def d_step(self, x: Tensor) -> None:
        """One step of D."""
        start = time.perf_counter()
        with torch.no_grad():
            fake = self.G(torch.randn(self.batch, self.G.z_dim))
        made = time.perf_counter()
        loss = softplus(-self.D(x)).mean() + softplus(self.D(fake)).mean()
        self.learn(self.opt_d, loss)
        self.seconds["fakes"] += made - start
        self.seconds["D"] += time.perf_counter() - made

    def penalty(self, x: Tensor) -> None:
        """R1, a step of its own."""
        start = time.perf_counter()
        x = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(self.D(x).sum(), x, create_graph=True)
        self.learn(self.opt_d, self.every * GAMMA / 2 * gradient.square().sum((1, 2, 3)).mean())
        self.seconds["R1"] += time.perf_counter() - start

    def g_step(self) -> None:
        """One step of G, and of its average."""
        start = time.perf_counter()
        self.D.requires_grad_(False)
        self.learn(self.opt_g, softplus(-self.D(self.G(torch.randn(self.batch, self.G.z_dim)))).mean())
        self.D.requires_grad_(True)
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.G.parameters()), 1 - DECAY)
            for old, new in zip(self.average.buffers(), self.G.buffers(), strict=True):
                old.copy_(new)
        self.seconds["G"] += time.perf_counter() - start

    def learn(self, opt: torch.optim.Adam, loss: Tensor) -> None:
        """One step of ``opt`` down the ``loss``."""
        opt.zero_grad()
        loss.backward()
        opt.step()


def measure(rounds: int, warm_up: int, batch: int, width: int, every: int) -> dict[str, Any]:
    """Train both for ``warm_up + rounds`` rounds and compare the medians."""
    torch.manual_seed(0)
    data, widths = Pictures(batch_size=batch), Widths(SIDE * width, width)
    G = StyleGAN2Generator(SIDE, 3, width, width, 2, widths, clamp=None).to(memory_format=torch.channels_last)
    D = StyleGAN2Discriminator(SIDE, 3, widths, residual=False, group=batch, clamp=None)
    D = D.to(memory_format=torch.channels_last)
    bare = Bare(deepcopy(G), deepcopy(D), data.reference("train").images, batch, every)
    settings: dict[str, Any] = {"channels_last": True, "ema": EMASettings(decay=DECAY)}
    module = StyleGAN2(G, D, mixing=0.0, path_length=None, penalties=[R1(GAMMA, every=every)], **settings)
    turns = TurnByTurn(bare, every, warm_up)
    with tempfile.TemporaryDirectory() as folder:
        trainer_of(Path(folder), turns, every * (warm_up + rounds), bf16=False).fit(module, datamodule=data)
    total = sum(bare.seconds.values())
    return {
        "network": f"StyleGAN2, {SIDE} px, {width} maps, batch {batch}, R1 at each {every}th step",
        **turns.figures(every * feeding_seconds(data)),
        "shares": {name: round(seconds / total, 3) for name, seconds in bare.seconds.items()},
    }


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--warm_up", type=int, default=1)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--every", type=int, default=16, help="step at which R1 is due")
    options = parser.parse_args()
    hush_lightning()
    print(json.dumps(measure(**vars(options)), indent=2))


if __name__ == "__main__":
    main()

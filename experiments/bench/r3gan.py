"""``python experiments/bench/r3gan.py``: a step of R3GAN beside a bare PyTorch loop, and its parts.

As ``step_time.py``: both train the same networks in one process, turn by turn. They are those of CIFAR-10's settings,
without classes, at batch 32 unless ``--width`` says less, in float32; R1 and R2 at every step. The trainer anneals
its settings, the loop does not.
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
from lightning_modules.annealing import STILL, Annealing
from lightning_modules.ema import EMASettings
from lightning_modules.networks.r3gan import R3GANDiscriminator, R3GANGenerator
from lightning_modules.r3gan import GAMMA, R3GAN

RATE, BETAS = 2e-4, (0.0, 0.9)


class Bare:
    """The same step as a person would write it by hand, the average included.

    Args:
        G: the generator.
        D: the discriminator.
        images: uint8 [M, 3, 32, 32].
        batch: images of a step.
    """

    def __init__(self, G: R3GANGenerator, D: R3GANDiscriminator, images: Tensor, batch: int) -> None:
        self.G, self.D, self.images, self.batch = G, D, images, batch
        self.average = deepcopy(G).requires_grad_(False)
        self.opt_g, self.opt_d = (torch.optim.Adam(net.parameters(), RATE, BETAS) for net in (G, D))
        self.seconds = dict.fromkeys(("fakes", "D", "G"), 0.0)

    def __call__(self) -> None:
        """One step of D, then one of G on the same reals."""
        x = from_uint8(self.images[torch.randint(len(self.images), (self.batch,))])
        x = x.contiguous(memory_format=torch.channels_last)
        self.d_step(x)
        self.g_step(x)

    def d_step(self, x: Tensor) -> None:
        """One step of D on the reals ``x``, with R1 and R2."""
        start = time.perf_counter()
        with torch.no_grad():
            fake = self.G(torch.randn(self.batch, self.G.z_dim))
        made = time.perf_counter()
        x, fake = x.detach().requires_grad_(), fake.requires_grad_()
        real_logits, fake_logits = self.D(x), self.D(fake)
        loss = softplus(fake_logits - real_logits).mean()
        for logits, image in ((real_logits, x), (fake_logits, fake)):
            (gradient,) = torch.autograd.grad(logits.sum(), image, create_graph=True)
            loss = loss + GAMMA / 2 * gradient.square().sum((1, 2, 3)).mean()
        self.learn(self.opt_d, loss)
        self.seconds["fakes"] += made - start
        self.seconds["D"] += time.perf_counter() - made

    def g_step(self, x: Tensor) -> None:
        """One step of G beside the reals ``x``, and of its average."""
        start = time.perf_counter()
        self.D.requires_grad_(False)
        fake_logits = self.D(self.G(torch.randn(self.batch, self.G.z_dim)))
        self.learn(self.opt_g, softplus(self.D(x.detach()) - fake_logits).mean())
        self.D.requires_grad_(True)
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.G.parameters()), 1 - DECAY)
        self.seconds["G"] += time.perf_counter() - start

    def learn(self, opt: torch.optim.Adam, loss: Tensor) -> None:
        """One step of ``opt`` down the ``loss``."""
        opt.zero_grad()
        loss.backward()
        opt.step()


def measure(rounds: int, warm_up: int, batch: int, width: int, blocks: int) -> dict[str, Any]:
    """Train both for ``warm_up + rounds`` steps and compare the medians."""
    torch.manual_seed(0)
    data, widths = Pictures(batch_size=batch), [width] * 4
    G = R3GANGenerator(3, widths=widths, blocks=blocks).to(memory_format=torch.channels_last)
    D = R3GANDiscriminator(3, widths, blocks).to(memory_format=torch.channels_last)
    bare = Bare(deepcopy(G), deepcopy(D), data.reference("train").images, batch)
    settings: dict[str, Any] = {"channels_last": True, "ema": EMASettings(decay=DECAY)}
    module = R3GAN(G, D, annealing=Annealing(half_life=STILL), **settings)
    turns = TurnByTurn(bare, 1, warm_up)
    with tempfile.TemporaryDirectory() as folder:
        trainer_of(Path(folder), turns, warm_up + rounds, bf16=False).fit(module, datamodule=data)
    total = sum(bare.seconds.values())
    return {
        "network": f"R3GAN, 32 px, {width} maps, {blocks} blocks, batch {batch}",
        **turns.figures(feeding_seconds(data)),
        "shares": {name: round(seconds / total, 3) for name, seconds in bare.seconds.items()},
    }


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--warm_up", type=int, default=2)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--width", type=int, default=768, help="maps of all stages, a multiple of 8")
    parser.add_argument("--blocks", type=int, default=2, help="residual blocks of a stage")
    options = parser.parse_args()
    hush_lightning()
    print(json.dumps(measure(**vars(options)), indent=2))


if __name__ == "__main__":
    main()

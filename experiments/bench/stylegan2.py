"""``python experiments/bench/stylegan2.py``: a step of StyleGAN2 beside a bare PyTorch loop, and its parts.

See ``turns.py``. The networks are those of CIFAR-10's settings at batch 32 unless ``--width`` says less; every 16th
step both take R1's step too, so that rounds are as many steps.
"""

import argparse
import json
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from datamodules.base import ImageSet
from experiments.bench.turns import DECAY, ByHand, Pictures, compare, learn
from lightning_modules.ema import EMASettings
from lightning_modules.losses.penalties import R1
from lightning_modules.networks.resolutions import Widths
from lightning_modules.networks.stylegan2 import StyleGAN2Generator
from lightning_modules.networks.stylegan_discriminator import StyleGAN2Discriminator
from lightning_modules.stylegan2 import RATE, StyleGAN2

SIDE, GAMMA = 32, 0.01


class Bare(ByHand):
    """As many steps as R1 is due after, the first with it.

    Args:
        G: the generator.
        D: the discriminator.
        data: its images.
        batch: images of a step.
        every: step at which R1 is due.
    """

    def __init__(
        self, G: StyleGAN2Generator, D: StyleGAN2Discriminator, data: ImageSet, batch: int, every: int
    ) -> None:
        super().__init__(G, D, data, batch)
        self.every = every
        share = every / (every + 1)
        self.opt_g = torch.optim.Adam(G.parameters(), RATE, (0.0, 0.99))
        self.opt_d = torch.optim.Adam(D.parameters(), RATE * share, (0.0, 0.99**share))

    def __call__(self) -> None:
        """A round."""
        for step in range(self.every):
            x = self.reals()[0].contiguous(memory_format=torch.channels_last)
            self.d_step(x)
            if step == 0:
                self.penalty(x)
            self.g_step()

    def d_step(self, x: Tensor) -> None:
        """One step of D."""
        with self.timed("fakes"), torch.no_grad():
            fake = self.G(self.noise())
        with self.timed("D"):
            learn(self.opt_d, softplus(-self.D(x)).mean() + softplus(self.D(fake)).mean())

    def penalty(self, x: Tensor) -> None:
        """R1, a step of its own."""
        with self.timed("R1"):
            x = x.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(self.D(x).sum(), x, create_graph=True)
            learn(self.opt_d, self.every * GAMMA / 2 * gradient.square().sum((1, 2, 3)).mean())

    def g_step(self) -> None:
        """One step of G, and of its average."""
        with self.timed("G"):
            self.D.requires_grad_(False)
            learn(self.opt_g, softplus(-self.D(self.G(self.noise()))).mean())
            self.D.requires_grad_(True)
            self.follow()


def measure(rounds: int, warm_up: int, batch: int, width: int, every: int) -> dict[str, Any]:
    """Train both for ``warm_up + rounds`` rounds and compare the medians."""
    torch.manual_seed(0)
    data, widths = Pictures(batch_size=batch), Widths(SIDE * width, width)
    G = StyleGAN2Generator(SIDE, 3, width, width, 2, widths, clamp=None).to(memory_format=torch.channels_last)
    D = StyleGAN2Discriminator(SIDE, 3, widths, residual=False, group=batch, clamp=None)
    D = D.to(memory_format=torch.channels_last)
    bare = Bare(deepcopy(G), deepcopy(D), data.reference("train"), batch, every)
    settings: dict[str, Any] = {"channels_last": True, "ema": EMASettings(decay=DECAY)}
    module = StyleGAN2(G, D, mixing=0.0, path_length=None, penalties=[R1(GAMMA, every=every)], **settings)
    return {
        "network": f"StyleGAN2, {SIDE} px, {width} maps, batch {batch}, R1 at each {every}th step",
        **compare(bare, module, data, rounds, warm_up, steps=every, g_steps=every),
        "shares": bare.shares(),
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
    print(json.dumps(measure(**vars(options)), indent=2))


if __name__ == "__main__":
    main()

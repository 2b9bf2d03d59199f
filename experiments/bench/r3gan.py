"""``python experiments/bench/r3gan.py``: a step of R3GAN beside a bare PyTorch loop, and its parts.

See ``turns.py``. The networks are those of CIFAR-10's settings, without classes, at batch 32 unless ``--width`` says
less, in float32; R1 and R2 at every step. The trainer anneals its settings, the loop does not.
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
from lightning_modules.annealing import STILL, Annealing
from lightning_modules.ema import EMASettings
from lightning_modules.networks.r3gan import R3GANDiscriminator, R3GANGenerator
from lightning_modules.r3gan import GAMMA, R3GAN

RATE, BETAS = 2e-4, (0.0, 0.9)


class Bare(ByHand):
    """One step of D, then one of G on the same reals."""

    def __init__(self, G: R3GANGenerator, D: R3GANDiscriminator, data: ImageSet, batch: int) -> None:
        super().__init__(G, D, data, batch)
        self.opt_g, self.opt_d = (torch.optim.Adam(net.parameters(), RATE, BETAS) for net in (G, D))

    def __call__(self) -> None:
        """A round."""
        x = self.reals()[0].contiguous(memory_format=torch.channels_last)
        self.d_step(x)
        self.g_step(x)

    def d_step(self, x: Tensor) -> None:
        """One step of D on the reals ``x``, with R1 and R2."""
        with self.timed("fakes"), torch.no_grad():
            fake = self.G(self.noise())
        with self.timed("D"):
            x, fake = x.detach().requires_grad_(), fake.requires_grad_()
            real_logits, fake_logits = self.D(x), self.D(fake)
            loss = softplus(fake_logits - real_logits).mean()
            for logits, image in ((real_logits, x), (fake_logits, fake)):
                (gradient,) = torch.autograd.grad(logits.sum(), image, create_graph=True)
                loss = loss + GAMMA / 2 * gradient.square().sum((1, 2, 3)).mean()
            learn(self.opt_d, loss)

    def g_step(self, x: Tensor) -> None:
        """One step of G beside the reals ``x``, and of its average."""
        with self.timed("G"):
            self.D.requires_grad_(False)
            fake_logits = self.D(self.G(self.noise()))
            learn(self.opt_g, softplus(self.D(x.detach()) - fake_logits).mean())
            self.D.requires_grad_(True)
            self.follow()


def measure(rounds: int, warm_up: int, batch: int, width: int, blocks: int) -> dict[str, Any]:
    """Train both for ``warm_up + rounds`` steps and compare the medians."""
    torch.manual_seed(0)
    data, widths = Pictures(batch_size=batch), [width] * 4
    G = R3GANGenerator(3, widths=widths, blocks=blocks).to(memory_format=torch.channels_last)
    D = R3GANDiscriminator(3, widths, blocks).to(memory_format=torch.channels_last)
    bare = Bare(deepcopy(G), deepcopy(D), data.reference("train"), batch)
    settings: dict[str, Any] = {"channels_last": True, "ema": EMASettings(decay=DECAY)}
    module = R3GAN(G, D, annealing=Annealing(half_life=STILL), **settings)
    return {
        "network": f"R3GAN, 32 px, {width} maps, {blocks} blocks, batch {batch}",
        **compare(bare, module, data, rounds, warm_up),
        "shares": bare.shares(),
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
    print(json.dumps(measure(**vars(options)), indent=2))


if __name__ == "__main__":
    main()

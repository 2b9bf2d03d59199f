"""``python experiments/bench/pix2pix.py``: what a step of pix2pix at 256 px costs over a bare PyTorch loop.

See ``turns.py``; at batch 1 as in the paper. The bare loop takes its pairs from floats that lie ready; the trainer
cuts, mirrors and converts each of its own, of images made up here.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss, softplus

from datamodules.pairs import PairDataModule, PairSet
from datamodules.patches import Pair
from experiments.bench.turns import compare, learn
from lightning_modules.networks.patchgan import PatchGAN
from lightning_modules.networks.unet import UNet
from lightning_modules.pix2pix import Pix2Pix

LOAD = 1.1171875  # 286 px for a patch of 256


class Noise(PairDataModule):
    """Thirty-two pairs of random bytes."""

    value_range = (-1.0, 1.0)

    def training_pairs(self) -> Mapping[int, Sequence[Pair]]:
        """Of one scale."""
        side = int(self.patch * LOAD)
        x, y = torch.randint(256, (2, 32, 1, 3, side, side), dtype=torch.uint8)
        return {1: [Pair(str(i), *pair) for i, pair in enumerate(zip(x, y, strict=True))]}

    def pairs(self) -> list[PairSet]:
        """None to look at."""
        return []


class Bare:
    """The same step as a person would write it by hand.

    Args:
        G: the generator.
        D: the discriminator.
        x: images, floats [M, 3, 256, 256].
        y: what they are made of.
    """

    def __init__(self, G: nn.Module, D: nn.Module, x: Tensor, y: Tensor) -> None:
        self.G, self.D, self.x, self.y = G, D, x, y
        self.opt_g, self.opt_d = (torch.optim.Adam(net.parameters(), 2e-4, (0.5, 0.999)) for net in (G, D))

    def __call__(self) -> None:
        """One step of D, then one of G."""
        index = torch.randint(len(self.x), (1,))
        x, y = (images[index].contiguous(memory_format=torch.channels_last) for images in (self.x, self.y))
        with torch.no_grad():
            fake = self.G(y)
        loss = softplus(-self.D(x, y)).mean() + softplus(self.D(fake, y)).mean()
        learn(self.opt_d, loss)
        self.D.requires_grad_(False)
        fake = self.G(y)
        loss = softplus(-self.D(fake, y)).mean() + 100 * l1_loss(fake, x)
        learn(self.opt_g, loss)
        self.D.requires_grad_(True)


def measure(rounds: int, warm_up: int, depth: int, width: int) -> dict[str, Any]:
    """Train both for ``warm_up + rounds`` steps and compare the medians."""
    torch.manual_seed(0)
    data = Noise(patch=2**depth, turns="mirror", colour="rgb", batch_size=1)
    G = UNet(depth, width=width).to(memory_format=torch.channels_last)
    D = PatchGAN(width=width).to(memory_format=torch.channels_last)
    x, y = data.draw(torch.arange(32))[:2]
    bare, module = Bare(deepcopy(G), deepcopy(D), x, y), Pix2Pix(G, D, channels_last=True)
    network = f"pix2pix at {2**depth} px, width {width}, batch 1"
    return {"network": network, **compare(bare, module, data, rounds, warm_up, feed=data.draw)}


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--warm_up", type=int, default=3)
    parser.add_argument("--depth", type=int, default=8, help="images have sides of 2^depth px")
    parser.add_argument("--width", type=int, default=64)
    options = parser.parse_args()
    print(json.dumps(measure(options.rounds, options.warm_up, options.depth, options.width), indent=2))


if __name__ == "__main__":
    main()

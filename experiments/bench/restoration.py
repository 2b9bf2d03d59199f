"""``python experiments/bench/restoration.py``: what a step of FSRCNN costs over a bare PyTorch loop, and its patches.

See ``turns.py``. The bare loop takes its batches from patches that lie ready as floats; the trainer cuts, turns and
converts each of its own, of images made up here.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from datamodules.pairs import PairDataModule, PairSet
from datamodules.patches import Pair
from datamodules.super_resolution import small_pair
from experiments.bench.turns import compare, learn
from lightning_modules.losses.reconstruction import MSE
from lightning_modules.networks.fsrcnn import FSRCNN
from lightning_modules.super_resolution import SuperResolution

SCALE, PATCH = 3, 75


class Noise(PairDataModule):
    """Ninety-one images of random bytes, of the sizes of T91's."""

    def training_pairs(self) -> Mapping[int, Sequence[Pair]]:
        """Of one scale."""
        images = [torch.randint(256, (1, 1, 200 + i % 70, 180 + i), dtype=torch.uint8) for i in range(91)]
        return {SCALE: [small_pair(Pair(str(i), image, None), SCALE) for i, image in enumerate(images)]}

    def pairs(self) -> list[PairSet]:
        """None to look at."""
        return []


class Bare:
    """The same step as a person would write it by hand.

    Args:
        net: the network.
        x: patches, floats [M, 1, 75, 75].
        y: what they are made of, floats [M, 1, 25, 25].
        batch: patches a step.
    """

    def __init__(self, net: FSRCNN, x: Tensor, y: Tensor, batch: int) -> None:
        self.net, self.x, self.y, self.batch = net, x, y, batch
        self.optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)

    def __call__(self) -> None:
        """One step."""
        index = torch.randint(len(self.x), (self.batch,))
        x, y = (t[index].contiguous(memory_format=torch.channels_last) for t in (self.x, self.y))
        inner = slice(self.net.reach * SCALE, PATCH - self.net.reach * SCALE)
        loss = mse_loss(self.net(y, SCALE), x[..., inner, inner])
        learn(self.optimizer, loss)


def measure(rounds: int, warm_up: int, batch: int) -> dict[str, Any]:
    """Train both for ``warm_up + rounds`` steps and compare the medians."""
    torch.manual_seed(0)
    data = Noise(patch=PATCH, batch_size=batch)
    net = FSRCNN(SCALE).to(memory_format=torch.channels_last)
    x, y = data.draw(torch.arange(2048) % 91)
    bare, module = Bare(deepcopy(net), x, y, batch), SuperResolution(net, losses=[MSE()], channels_last=True)
    network = f"FSRCNN(56, 12, 4) x{SCALE}, batch {batch}, patches of {PATCH} px"
    return {"network": network, **compare(bare, module, data, rounds, warm_up, feed=data.draw)}


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--warm_up", type=int, default=20)
    parser.add_argument("--batch", type=int, default=16)
    options = parser.parse_args()
    print(json.dumps(measure(options.rounds, options.warm_up, options.batch), indent=2))


if __name__ == "__main__":
    main()

"""``python experiments/bench/step_time.py [CASE]``: what a training step costs over a bare PyTorch loop.

See ``turns.py``; a round is ``n_critic`` steps of D and one of G.

Cases: ``dcgan`` (DCGAN-32 on the digits), ``sngan`` (SNGAN-32 at full width on pictures of CIFAR-10's size, five steps
of D), ``settings``: the rounds of ``sngan`` plain, channels_last, in bf16 and compiled, ``biggan`` (BigGAN-32 at batch
32, one step of D; ``--width 96`` is its own).
"""

import argparse
import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from datamodules.base import ImageDataModule, ImageSet
from datamodules.digits import Digits
from experiments.bench.turns import DECAY, ByHand, Pictures, compare, learn
from lightning_modules.ema import EMASettings
from lightning_modules.gan import GAN
from lightning_modules.losses.adversarial import AdversarialLoss, Hinge, NonSaturating
from lightning_modules.networks.base import Discriminator, Generator
from lightning_modules.networks.biggan import BigGANGenerator
from lightning_modules.networks.conditional import ProjectionDiscriminator
from lightning_modules.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from lightning_modules.networks.init import Orthogonal
from lightning_modules.networks.resnet import ResNetDiscriminator, ResNetGenerator


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


class BareLoop(ByHand):
    """The round of a case: ``n_critic`` steps of D and one of G."""

    def __init__(self, case: Case, G: Generator, D: Discriminator, data: ImageSet) -> None:
        super().__init__(G, D, data, case.batch)
        self.case = case
        self.opt_g, self.opt_d = case.adam(G.parameters()), case.adam(D.parameters())
        if case.compile:
            G.compile()
            D.compile()

    def autocast(self) -> torch.autocast:
        """The precision of the case."""
        return torch.autocast("cpu", torch.bfloat16, enabled=self.case.bf16)

    def __call__(self) -> None:
        """One round."""
        for _ in range(self.case.n_critic):
            self.d_step()
        self.g_step()

    def d_step(self) -> None:
        """One step of D."""
        x, y = self.reals()
        x = x.contiguous(memory_format=torch.channels_last) if self.case.channels_last else x
        with self.autocast():
            with torch.no_grad():
                fake = self.G(self.noise(), y)
            loss = self.case.loss.d(self.D(x, y).float(), self.D(fake, y).float())
        learn(self.opt_d, loss)

    def g_step(self) -> None:
        """One step of G, and of its average."""
        self.D.requires_grad_(False)
        with self.autocast():
            y = self.data.labels[torch.randint(len(self.data), (self.batch,))]
            loss = self.case.loss.g(None, self.D(self.G(self.noise(), y), y).float())
        learn(self.opt_g, loss)
        self.D.requires_grad_(True)
        self.follow()


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
    return {
        "network": f"{case.name}, batch {case.batch}, {case.n_critic} D : 1 G",
        "settings": case.settings,
        **compare(bare, module, data, rounds, warm_up, steps=case.n_critic, bf16=case.bf16),
    }


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
    for case in cases(options.case, options.width):
        print(json.dumps(measure(case, options.rounds, options.warm_up), indent=2), flush=True)


if __name__ == "__main__":
    main()

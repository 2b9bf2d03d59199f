"""``python experiments/bench/seeds.py``: several seeds of PacGAN's toys as batched matrices beside one after the other.

Both train the same networks, from the same weights on the same points, by a step like that of ``gan/gan_ring``: D on
reals and fakes in one pass, then G on the fakes that D had. A round is one step of every seed; the two ways take turns
in one process.
"""

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from experiments.bench.turns import learn
from lightning_modules.networks.pacgan import Largest, MaxoutDiscriminator, PlaneGenerator

RATE, BETAS, BATCH, POINTS = 1e-4, (0.8, 0.999), 100, 2
CLOSE = 1e-3  # of the two ways' gradients


class Linears(nn.Module):
    """A linear map for each seed, on [seeds, N, width_in]."""

    def __init__(self, maps: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.stack([one.weight.detach().T for one in maps]).contiguous())
        biases = [one.bias.detach() for one in maps if one.bias is not None]
        self.bias = nn.Parameter(torch.stack(biases).unsqueeze(1)) if biases else None

    def forward(self, x: Tensor) -> Tensor:
        """To [seeds, N, width_out]."""
        return torch.bmm(x, self.weight) if self.bias is None else torch.baddbmm(self.bias, x, self.weight)


class BatchNorms(nn.Module):
    """Batch norm for each seed, on [seeds, N, width]: that of ``seeds * width`` channels."""

    def __init__(self, norms: Sequence[nn.BatchNorm1d]) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(sum(one.num_features for one in norms), momentum=norms[0].momentum)
        with torch.no_grad():
            for name, own in self.norm.named_parameters():
                own.copy_(torch.cat([one.get_parameter(name) for one in norms]))

    def forward(self, x: Tensor) -> Tensor:
        """Normalised."""
        seeds, n, width = x.shape
        return self.norm(x.transpose(0, 1).reshape(n, -1)).view(n, seeds, width).transpose(0, 1)


class Maxouts(nn.Module):
    """Maxout for each seed, on [seeds, N, width_in]."""

    def __init__(self, maps: Sequence[nn.Linear], pieces: int) -> None:
        super().__init__()
        self.linear, self.pieces = Linears(maps), pieces

    def forward(self, x: Tensor) -> Tensor:
        """To [seeds, N, width]."""
        largest: Tensor = Largest.apply(self.linear(x).flatten(0, 1).unflatten(1, (self.pieces, -1)))
        return largest.unflatten(0, x.shape[:2])


def generators(singles: Sequence[PlaneGenerator]) -> nn.Sequential:
    """One for all seeds, with the weights of ``singles``: z [seeds, N, z_dim] to [seeds, N, 2]."""
    kinds = {nn.Linear: Linears, nn.BatchNorm1d: BatchNorms}
    together = zip(*(one.layers for one in singles), strict=True)
    return nn.Sequential(*(kinds[type(same[0])](same) if type(same[0]) in kinds else nn.ReLU() for same in together))


def discriminators(singles: Sequence[MaxoutDiscriminator]) -> nn.Sequential:
    """One for all seeds, with the weights of ``singles``: [seeds, N, 2 m] to logits [seeds, N, 1]."""
    together = zip(*(one.blocks for one in singles), strict=True)
    hidden = [Maxouts([one.linear for one in same], same[0].pieces) for same in together]
    return nn.Sequential(*hidden, Linears([cast(nn.Linear, one.head) for one in singles]))


class Round:
    """One step of D and of G, of one seed or of all at once.

    Args:
        G: z to samples.
        D: packs of samples to logits.
        pack: samples that D sees at once.
    """

    def __init__(self, G: nn.Module, D: nn.Module, pack: int) -> None:
        self.G, self.D, self.pack = G, D, pack
        self.opt_g, self.opt_d = (torch.optim.Adam(net.parameters(), RATE, BETAS, fused=True) for net in (G, D))

    def judged(self, x: Tensor) -> Tensor:
        """Logits of the packs of samples ``x`` [..., N, 2]."""
        return self.D(x.unflatten(-2, (-1, self.pack)).flatten(-2))

    def __call__(self, reals: Tensor, z: Tensor) -> None:
        """On ``reals`` and ``z``, both [..., N, 2]; a seed's loss is a mean, that of all the sum of theirs."""
        fakes = self.G(z)
        real, fake = self.judged(torch.cat([reals, fakes.detach()], -2)).squeeze(-1).chunk(2, -1)
        learn(self.opt_d, (softplus(-real).mean(-1) + softplus(fake).mean(-1)).sum())
        self.D.requires_grad_(False)
        learn(self.opt_g, softplus(-self.judged(fakes).squeeze(-1)).mean(-1).sum())
        self.D.requires_grad_(True)


def compared(together: Round, apart: Sequence[Round]) -> None:
    """See that after the same step both ways have the same gradients of G's last layer, which D's all go into.

    Raises:
        AssertionError: they have not.
    """
    ours = [p.grad for p in list(together.G.parameters())[-2:]]
    theirs = [[p.grad for p in list(one.G.parameters())[-2:]] for one in apart]
    weights, biases = (torch.stack(list(same)) for same in zip(*theirs, strict=True))
    for own, wanted in zip(ours, (weights.transpose(1, 2), biases.unsqueeze(1)), strict=True):
        torch.testing.assert_close(own, wanted, rtol=CLOSE, atol=CLOSE * wanted.abs().max().item())


def measure(rounds: int, warm_up: int, seeds: int, pack: int) -> dict[str, Any]:
    """Train ``seeds`` both ways for ``warm_up + rounds`` steps and compare the medians."""
    torch.manual_seed(0)
    Gs = [PlaneGenerator() for _ in range(seeds)]
    Ds = [MaxoutDiscriminator((POINTS * pack,)) for _ in range(seeds)]
    for D in Ds:
        for name, weight in D.named_parameters():
            if name.endswith("bias"):  # 0 at first, where leaving them out would not show
                nn.init.normal_(weight)
    together = Round(generators(Gs), discriminators(Ds), pack)
    apart = [Round(G, nn.Sequential(D, nn.Unflatten(0, (-1, 1))), pack) for G, D in zip(Gs, Ds, strict=True)]
    seconds: list[tuple[float, float]] = []
    for i in range(warm_up + rounds):
        reals, z = torch.randn(2, seeds, BATCH * pack, POINTS).unbind()
        start = time.perf_counter()
        for one, x, own in zip(apart, reals, z, strict=True):
            one(x, own)
        between = time.perf_counter()
        together(reals, z)
        seconds.append((between - start, time.perf_counter() - between))
        if i == 0:
            compared(together, apart)
    one_by_one, at_once = (1000 * statistics.median(way) / seeds for way in zip(*seconds[warm_up:], strict=True))
    return {
        "network": f"PacGAN's toys, packs of {pack}, batch {BATCH}",
        "seeds": seeds,
        "rounds": rounds,
        "threads": torch.get_num_threads(),
        "one_by_one_ms": round(one_by_one, 2),
        "at_once_ms": round(at_once, 2),
        "ratio": round(at_once / one_by_one, 4),
    }


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--warm_up", type=int, default=20)
    parser.add_argument("--seeds", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--packs", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    found = [measure(options.rounds, options.warm_up, s, p) for p in options.packs for s in options.seeds]
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()

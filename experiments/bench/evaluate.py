"""``python experiments/bench/evaluate.py``: what an evaluation costs beside torch-fidelity's and torchmetrics'.

First the images/s through Inception: our extractor on blocks as an evaluation draws them, torch-fidelity's at its
default batch size and memory format, both on the same bytes of CIFAR-10's size, the resize to 299 included. Then the
Fréchet distance of moments at 2,048 dimensions: ours and torchmetrics'. Both pairs go turn by turn after a warm-up, so
that they see the same machine at the same moment, and the ratio of the medians holds even where its speed drifts. The
weights are random, in torch-fidelity's layout: what a pass costs does not depend on what it sees.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch_fidelity import feature_extractor_inceptionv3 as theirs
from torch_fidelity.defaults import DEFAULTS
from torchmetrics.image.fid import _compute_fid

from lightning_modules.metrics.extractors import load_extractor
from lightning_modules.metrics.frechet import Moments, frechet_distance, moments
from lightning_modules.metrics.reference import BLOCK

DIM = 2048


class Blank(theirs.FeatureExtractorInceptionV3):
    """Takes no weights but those it is born with."""

    def load_state_dict(self, *args: Any, **kwargs: Any) -> None:
        """Load nothing."""


def random_weights(path: Path, seed: int = 0) -> Path:
    """Write random Inception weights, batch norms included, in torch-fidelity's layout."""
    torch.save({}, path)
    with torch.random.fork_rng([]), torch.no_grad():
        torch.manual_seed(seed)
        state = Blank("blank", [str(DIM)], str(path)).state_dict()
        for name, value in state.items():
            if name.endswith("conv.weight"):
                nn.init.kaiming_normal_(value, nonlinearity="relu")
            elif name.endswith(("bn.weight", "running_var")):
                value.uniform_(0.5, 1.5)
            elif name.endswith(("bn.bias", "running_mean")):
                value.normal_(0, 0.1)
    torch.save(state, path)
    return path


def turn_by_turn(turns: int, ours: Callable[[], object], others: Callable[[], object]) -> tuple[float, float]:
    """Median seconds of both."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(turns):
        for spent, work in zip(seconds, (ours, others), strict=True):
            start = time.perf_counter()
            work()
            spent.append(time.perf_counter() - start)
    return statistics.median(seconds[0]), statistics.median(seconds[1])


@torch.no_grad()
def inception(images: int) -> dict[str, Any]:
    """Images/s of both extractors over at least so many images each."""
    batch = DEFAULTS["batch_size"]
    with tempfile.TemporaryDirectory() as folder:
        path = str(random_weights(Path(folder) / "weights.pth"))
        start = time.perf_counter()
        extractor = load_extractor("inception", path)
        load = time.perf_counter() - start
        other = theirs.FeatureExtractorInceptionV3("theirs", [str(DIM), "logits_unbiased"], path)
    block = torch.randint(256, (max(BLOCK, batch), 3, 32, 32), generator=_noise(0), dtype=torch.uint8)
    pairs = zip(extractor(block[:batch]), other(block[:batch]), strict=True)  # the warm-up
    differences = [_difference(ours, wanted) for ours, wanted in pairs]
    turns = max(1, -(-images // batch))
    seconds, other_seconds = turn_by_turn(turns, lambda: extractor(block[:BLOCK]), lambda: other(block[:batch]))
    return {
        "images": f"{turns} turns of {BLOCK} and {batch}",
        "threads": torch.get_num_threads(),
        "load_s": round(load, 2),
        "compile_s": 0.0,  # eager
        "images_per_s": round(BLOCK / seconds, 2),
        "torch_fidelity_images_per_s": round(batch / other_seconds, 2),
        "ratio": round(BLOCK / seconds / (batch / other_seconds), 3),
        "greatest_difference": dict(zip(("features", "logits"), differences, strict=True)),
    }


def _difference(ours: Tensor, wanted: Tensor) -> float:
    """Relative to the largest."""
    return float((ours - wanted).abs().max() / wanted.abs().max())


def frechet(turns: int, images: int = 5000, few: int = 500) -> dict[str, Any]:
    """Seconds of the Fréchet part of both; and of ours with fewer images than dimensions."""
    a, b, c = (_random_moments(count, seed) for seed, count in enumerate((images, images, few)))
    ours, wanted = frechet_distance(a, b), _compute_fid(*a, *b)
    seconds, other_seconds = turn_by_turn(turns, lambda: frechet_distance(a, b), lambda: _compute_fid(*a, *b))
    singular, few_seconds = [], []
    for real, fake in ((a, c), (c, a)):  # either side may lack images
        start = time.perf_counter()
        singular.append(float(frechet_distance(real, fake)))
        few_seconds.append(round(time.perf_counter() - start, 3))
    return {
        "dimensions": DIM,
        "seconds": round(seconds, 3),
        "torchmetrics_seconds": round(other_seconds, 3),
        "ratio": round(other_seconds / seconds, 3),
        "relative_difference": abs(float(ours / wanted) - 1),
        f"distance_of_{few}_fakes_and_reals": singular,
        f"seconds_of_{few}_fakes_and_reals": few_seconds,
    }


def _random_moments(count: int, seed: int) -> Moments:
    mix = torch.randn(DIM // 4, DIM, generator=_noise(99)) / DIM**0.5
    noise = _noise(seed)
    features = torch.randn(count, DIM // 4, generator=noise) @ mix + 0.1 * torch.randn(count, DIM, generator=noise)
    return moments(features + 0.1 * seed)


def _noise(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def main() -> None:
    """Measure, print one JSON object, and write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=512, help="through torch-fidelity's extractor at least")
    parser.add_argument("--turns", type=int, default=5, help="of the Fréchet part")
    parser.add_argument("--out", type=Path, help="a JSON file")
    options = parser.parse_args()
    found = json.dumps({"inception": inception(options.images), "frechet": frechet(options.turns)}, indent=2)
    print(found, flush=True)
    if options.out is not None:
        options.out.write_text(found + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""What one rank refuses all refuse, with one sentence: the others would wait for it in their next collective call."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from noise_sets import SHAPE, noise, pictures, protocol
from test_ranks import WORLD, both
from torch import Tensor

from datamodules.pairs import PairSet
from lightning_modules.callbacks.fidelity import FidelityScores
from lightning_modules.callbacks.matte_scores import MatteScores
from lightning_modules.losses.reconstruction import L1
from lightning_modules.metrics.evaluate import measure
from lightning_modules.metrics.extractors import Identity
from lightning_modules.networks.dncnn import DnCNN
from lightning_modules.reconstruction import ReconstructionModule


def validated(scores: Any, image: Tensor, batch: tuple[Tensor, ...]) -> None:
    """Score the ``image`` that was made of ``batch``."""
    module = ReconstructionModule(DnCNN(channels=3, depth=3, width=2), [L1()])
    scores.sets = [PairSet("made", 1, [])]
    scores.on_validation_epoch_start(None, module)
    scores.on_validation_batch_end(None, module, image, batch, 0)
    scores.score(module, "val")


def images(side: int) -> Tensor:
    return torch.full((1, 3, side, side), 0.5)


def infinite(rank: int) -> None:
    x = images(32)
    validated(FidelityScores("rgb", 0), x / 0 if rank == 1 else x, (x, x))


def infinite_alpha(rank: int) -> None:
    alpha, y = images(32)[:, :1], torch.full((1, 4, 32, 32), 0.5)
    validated(MatteScores(), alpha / 0 if rank == 1 else alpha, (alpha, y))


def of_two_sizes(rank: int) -> None:
    x = images(24 if rank == 1 else 32)
    validated(FidelityScores("rgb", 0, distances=True), x, (x, x))


def fakes_of_another_shape(rank: int) -> None:
    def generator(n: int) -> Tensor:
        return noise(n)[..., 1:] if rank == 1 else noise(n)

    measure(generator, pictures(101), protocol(), Identity(SHAPE, 6))


SENTENCES: dict[Callable[[int], None], str] = {
    infinite: "FloatingPointError: an image restored from made holds a NaN or infinity",
    infinite_alpha: "FloatingPointError: an image restored from made holds a NaN or infinity",
    of_two_sizes: "ValueError: fidelity.distances: images of .* px among others: sets of one size have a distance",
    fakes_of_another_shape: r"ValueError: The generator gives torch.uint8 samples of shape \(1, 2, 2\), the reference",
}


def refused(rank: int, folder: Path) -> dict[str, str]:
    """What a rank raises in each case."""
    os.environ["ATELIER_CACHE"] = str(folder / "cache")
    dist.init_process_group("gloo", rank=rank, world_size=WORLD)
    said: dict[str, str] = {}
    for case in SENTENCES:
        try:
            case(rank)
        except (ValueError, FloatingPointError) as error:
            said[case.__name__] = f"{type(error).__name__}: {error}"
    return said


def test_all_ranks_raise_what_one_refuses(tmp_path: Path) -> None:
    for said in both(refused, tmp_path):
        assert said.keys() == {case.__name__ for case in SENTENCES}
        for case, sentence in SENTENCES.items():
            assert re.match(sentence, said[case.__name__]), said


def test_so_does_a_single_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATELIER_CACHE", str(tmp_path))
    for case in (infinite, infinite_alpha, fakes_of_another_shape):
        with pytest.raises((ValueError, FloatingPointError)) as error:
            case(1)
        assert re.match(SENTENCES[case], f"{error.type.__name__}: {error.value}")

"""How well a family's encoder inverts its generator, at each validation and at a test."""

import typing
from typing import Any

import lightning as L
import torch
from torch import Tensor

from datamodules.functional.keys import key
from lightning_modules.base import AtelierModule
from lightning_modules.callbacks.scores import MeasuredScores, data_of
from lightning_modules.metrics.latent import LatentAgreement
from lightning_modules.metrics.ranks import rank_and_world

BLOCK = 100
LATENT_STREAM = int.from_bytes(b"latent")  # keys this noise apart from that of the fakes


@typing.runtime_checkable
class Encodes(typing.Protocol):
    """What the callback asks of a family beside what all families have."""

    def codes(self, n: int) -> tuple[Tensor, Tensor]:
        """Fresh noise z, and what the encoder makes of its images: [n, z_dim] each."""
        ...


class LatentScores(MeasuredScores):
    """Scores E(G(z)) beside z as ``latent_correlation`` and ``latent_l1``.

    Args:
        samples: how many z are drawn, in blocks of 100 keyed by (seed, block).
        seed: of the noise.

    Raises:
        ValueError: for fewer than two samples; in ``setup``, for a family without an encoder.
    """

    untrained = True

    def __init__(self, samples: int = 10_000, seed: int = 0) -> None:
        super().__init__()
        if samples < 2:
            raise ValueError(f"latent: a correlation needs 2 samples or more, got {samples}")
        self.samples, self.seed = samples, seed
        self.weights: str | None = None
        self.data: dict[str, Any] = {}

    @property
    def described(self) -> dict[str, Any]:
        """How many z of which seed, whose weights, trained on which data."""
        return {
            "samples": self.samples,
            "block": BLOCK,
            "seed": self.seed,
            "weights": self.weights,
            "checkpoint": self.checkpoint,
            **self.data,
        }

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """See that there is an encoder, before training starts."""
        if not isinstance(pl_module, Encodes):
            raise ValueError(
                f"latent: scores a family whose encoder inverts a generator, not a {type(pl_module).__name__}; set it "
                "to null"
            )
        assert isinstance(pl_module, AtelierModule)
        self.weights, self.data = pl_module.weights_name, data_of(trainer, "train")

    def measure(self, module: AtelierModule) -> dict[str, float]:
        """As the base; each rank draws its share of the blocks."""
        assert isinstance(module, Encodes)
        rank, world = rank_and_world()
        metric: LatentAgreement | None = None
        devices = [module.device] if module.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            for block in range(rank, max(-(-self.samples // BLOCK), world), world):
                torch.manual_seed(key(self.seed, LATENT_STREAM, block))
                z, code = module.codes(BLOCK)
                metric = metric or LatentAgreement(z.shape[1]).to(z.device)
                count = max(self.samples - block * BLOCK, 0)
                metric.update(z[:count], code[:count])
        assert metric is not None
        return {name: float(value) for name, value in metric.compute().items()}

"""Perceptual path length of a generator, at each validation and at a test."""

from typing import Any

import lightning as L
import torch
from torch import Tensor

from datamodules.functional.hashes import sha256_of
from datamodules.functional.keys import key
from lightning_modules.base import AtelierModule
from lightning_modules.callbacks.scores import MeasuredScores, data_of
from lightning_modules.evaluating import evaluating
from lightning_modules.generative import GenerativeModule
from lightning_modules.metrics.path_length import PathLengths
from lightning_modules.metrics.ranks import rank_and_world
from lightning_modules.networks.base import Generator, Network, StyledGenerator

BLOCK = 50
PATH_STREAM = int.from_bytes(b"path")  # keys these draws apart from those of the fakes


class PathLengthScores(MeasuredScores):
    """Scores ``ppl_w@<name>``, and ``ppl_z@<name>`` on request: squared slopes of features along the way of two z.

    In w the way is straight, in z it is the one that the noise's distribution asks for. Noise that G draws for itself
    is the same at both ends of a step.

    Args:
        network: images [N, C, H, W] in [0, 1] to features [N, ...]; it is frozen and runs in full precision.
        name: what it is called in the scores.
        samples: steps, in blocks of 50 keyed by (seed, block); 50,000 in published tables.
        epsilon: their length, as a share of the way.
        in_z: measure between two z, of any generator; False is between two w, of one with styles.
        seed: of the draws.

    Raises:
        ValueError: no steps; in ``setup``, a family without a generator of images, or without styles where w is asked.
    """

    def __init__(
        self,
        network: Network,
        name: str,
        samples: int = 10_000,
        epsilon: float = 1e-4,
        in_z: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if samples < 1 or not 0 < epsilon < 1:
            raise ValueError(
                f"PathLengthScores: give 1 step or more, of a length between 0 and 1, got {samples} and {epsilon:g}"
            )
        self.network, self.name = network.requires_grad_(False).eval(), name
        self.samples, self.epsilon, self.in_z, self.seed = samples, epsilon, in_z, seed
        self.weights: str | None = None
        self.network_sha256 = ""
        self.data: dict[str, Any] = {}

    @property
    def metric_name(self) -> str:
        """Of the score."""
        return f"ppl_{'z' if self.in_z else 'w'}@{self.name}"

    @property
    def described(self) -> dict[str, Any]:
        """How many steps of which length and seed, whose weights, trained on which data, which network."""
        return {
            "network": self.name,
            "network_sha256": self.network_sha256,
            "samples": self.samples,
            "epsilon": self.epsilon,
            "block": BLOCK,
            "seed": self.seed,
            "weights": self.weights,
            "checkpoint": self.checkpoint,
            **self.data,
        }

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """See that there is a way to walk, before training starts."""
        if not isinstance(pl_module, GenerativeModule) or len(pl_module.G.out_shape) != 3:
            raise ValueError(f"PathLengthScores: a {type(pl_module).__name__} makes no images of noise; leave it out")
        if not self.in_z and not isinstance(pl_module.G, StyledGenerator):
            raise ValueError(
                f"PathLengthScores: a {type(pl_module.G).__name__} has no w; set in_z to true, or leave it out"
            )
        self.network_sha256 = sha256_of(self.network.state_dict().values())
        self.weights, self.data = pl_module.weights_name, data_of(trainer, "train")

    def measure(self, module: AtelierModule) -> dict[str, float]:
        """As the base; each rank walks its share of the blocks."""
        assert isinstance(module, GenerativeModule)
        rank, world = rank_and_world()
        metric = PathLengths().to(module.device)
        network = self.network.to(module.device)
        blocks = max(-(-self.samples // BLOCK), world)
        with torch.random.fork_rng([module.device] if module.device.type == "cuda" else []):
            for block in range(rank, blocks, world):
                torch.manual_seed(key(self.seed, PATH_STREAM, block))
                count = max(self.samples - block * BLOCK, 0)  # 0 on a rank beyond the last block
                with evaluating(module.evaluated_generator):
                    images = self.step(module.evaluated_generator, min(BLOCK, max(count, 1)), block, module)
                    start, end = (self.features(network, image, module)[:count] for image in images)
                metric.update(start, end, self.epsilon)
        return {self.metric_name: float(metric.compute())}

    def step(self, G: Generator, count: int, block: int, module: GenerativeModule) -> list[Tensor]:
        """Images [count, C, H, W] at both ends of a step somewhere on each way."""
        z, other = module.sample_z(count), module.sample_z(count)
        y, t = module.sample_labels(count), torch.rand(count, 1, device=z.device)
        images = []
        for share in (t, t + self.epsilon):
            torch.manual_seed(key(self.seed, PATH_STREAM, block, 1))  # G's own noise
            if self.in_z:
                images.append(G(G.latent.between(z, other, share), y))
            else:
                assert isinstance(G, StyledGenerator)
                images.append(G.synthesis(torch.lerp(G.styles(z, y), G.styles(other, y), share[:, :, None])))
        return images

    def features(self, network: Network, image: Tensor, module: GenerativeModule) -> Tensor:
        """What the network sees in ``image`` [N, C, H, W]."""
        low, high = module.value_range
        seen: Tensor = network((image.float() - low) / (high - low))
        return seen

"""How likely a variational autoencoder finds the test images: ELBO and importance-weighted NLL, in nats an image.

It looks at each validation and at a test, and changes nothing by it: random streams and modes are as they were. Images
come in blocks whose draws are keyed by (seed, block), binary pixels too, so that the number hangs neither on the ranks
nor on what was looked at before.
"""

import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import lightning as L
import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from datamodules.functional.keys import key, seed_streams
from datamodules.functional.precision import full_precision
from datamodules.functional.quantise import from_uint8
from lightning_modules.callbacks.collapse import say
from lightning_modules.callbacks.progress import clock_time
from lightning_modules.callbacks.scores import Scores
from lightning_modules.contract import GivesReference
from lightning_modules.metrics.likelihood import ActiveUnits, Nats, log_mean_weights
from lightning_modules.metrics.ranks import rank_and_world
from lightning_modules.vae import VAE

BLOCK = 100  # images whose draws come from one stream
SAY_EVERY = 30.0  # seconds


class LogLikelihood(Scores):
    """Scores the test images as ``nll@<samples>``, ``elbo``, ``reconstruction``, ``kl`` and ``active_units``.

    Args:
        samples: draws for each image at the last validation of a run, and in ``atelier validate`` and ``test``.
        early_samples: draws at the validations before that, whose ``nll@<early_samples>`` is measured at the last too.
        images: the first so many of the split; None is all.
        split: ``test`` or ``train``.
        seed: of the draws, and of the pixels where they are drawn.
        chunk: draws of a block of 100 images at once.

    Attributes:
        checkpoint: what a validation or test evaluates, for the protocol; set it before ``trainer.test``.

    Raises:
        ValueError: for numbers below 1; in ``setup``, for a family that is no VAE or data without a reference.
    """

    def __init__(
        self,
        samples: int = 5000,
        early_samples: int = 50,
        images: int | None = None,
        split: str = "test",
        seed: int = 0,
        chunk: int = 50,
    ) -> None:
        super().__init__()
        numbers = {"samples": samples, "early_samples": early_samples, "images": images, "chunk": chunk}
        for name, value in numbers.items():
            if value is not None and value < 1:
                raise ValueError(f"likelihood: {name} must be 1 or more, got {value}")
        self.samples, self.early_samples, self.images = samples, min(early_samples, samples), images
        self.split, self.seed, self.chunk = split, seed, chunk
        self._protocol: dict[str, Any] = {}

    @property
    def described(self) -> dict[str, Any]:
        """Images with their hash, likelihood, draws, seed, and whose weights."""
        return {**self._protocol, "checkpoint": self.checkpoint} if self._protocol else {}

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Compare module and data with what is to be measured, before training starts."""
        if not isinstance(pl_module, VAE):
            raise ValueError(
                f"likelihood: scores a variational autoencoder, not a {type(pl_module).__name__}; set it to null"
            )
        data = reference(trainer, self.split)
        self._protocol = {
            "data": data.name,
            "data_sha256": data.sha256,
            "split": self.split,
            "images": self.count(data),
            "samples": self.samples,
            "early_samples": self.early_samples,
            "seed": self.seed,
            "block": BLOCK,
            "chunk": self.chunk,
            "value_range": list(pl_module.value_range),
            "weights": pl_module.weights_name,
            **pl_module.likelihood.described,
        }

    def count(self, data: Any) -> int:
        """How many images are scored."""
        return len(data) if self.images is None else min(self.images, len(data))

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Score and log as ``val/...``."""
        if not trainer.sanity_checking:
            done = trainer.state.fn != TrainerFn.FITTING or trainer.global_step >= trainer.max_steps
            self.score(trainer, pl_module, "val", done)

    def on_test_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Score and log as ``test/...``."""
        self.score(trainer, pl_module, "test", done=True)

    def score(self, trainer: L.Trainer, module: L.LightningModule, prefix: str, done: bool) -> None:
        """Keep and log the scores; the ranks' shares come together here."""
        assert isinstance(module, VAE)
        counts = sorted({self.early_samples, self.samples}) if done else [self.early_samples]
        scores = self.measure(module, reference(trainer, self.split), counts)
        self.keep(module, scores)
        module.log_scores({f"{prefix}/{name}": value for name, value in scores.items()})

    def measure(self, module: VAE, data: Any, counts: Sequence[int]) -> dict[str, float]:
        """The scores of the first images of ``data``, after each of the growing ``counts`` of draws."""
        means = Nats([*(f"nll@{count}" for count in counts), "elbo", "reconstruction", "kl"]).to(module.device)
        active = ActiveUnits(module.G.z_dim).to(module.device)
        devices = [module.device] if module.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), torch.no_grad(), full_precision(module.device):
            for x, y in self.blocks(module, data):
                first = module.infer(x, y, min(self.chunk, counts[0]))
                kl, reconstruction = first.kl.sum(1), -first.log_px.mean(0)
                active.update(first.mean)
                weights = log_mean_weights(partial(drawn, module, x, y), counts, self.chunk)
                means.update(*(-value for value in weights), -reconstruction - kl, reconstruction, kl)
        return {**means.as_floats(), "active_units": float(active.compute())}

    def blocks(self, module: VAE, data: Any) -> Iterator[tuple[Tensor, Tensor]]:
        """This rank's images and labels as they are modelled, each block's stream seeded; says how far it is."""
        rank, world = rank_and_world()
        starts = range(rank * BLOCK, self.count(data), world * BLOCK)
        begun = said = time.monotonic()
        for i, start in enumerate(starts):
            if time.monotonic() - said > SAY_EVERY:
                said = time.monotonic()
                left = clock_time((said - begun) / i * (len(starts) - i))
                say(f"likelihood: {start} of {self.count(data)} images, {left} left")
            part = slice(start, min(start + BLOCK, self.count(data)))
            seed_streams(key(self.seed, start // BLOCK), module.device)
            x = from_uint8(data[part], module.value_range).to(module.device)
            yield module.observe(x), data.labels[part].to(module.device)


def drawn(module: VAE, x: Tensor, y: Tensor, samples: int) -> Tensor:
    """Log weights [samples, N] of fresh draws."""
    return module.infer(x, y, samples).log_weights


def reference(trainer: L.Trainer, split: str) -> Any:
    """The images of ``split``."""
    data: object = trainer.datamodule  # type: ignore[attr-defined]
    if not isinstance(data, GivesReference):
        raise ValueError(f"likelihood: {type(data).__name__} gives no images in fixed order to score; set it to null")
    return data.reference(split)

"""When and where to look at a generator's scores: before training, at each validation, at a test.

The metrics live here and not in the module, whose parameters, checkpoints and precision they would enter. Looking
changes nothing: random streams and training modes are as they were, and the weights as without it.
"""

import typing
from collections.abc import Mapping, Sequence
from typing import Any

import lightning as L

from lightning_modules.base import AtelierModule
from lightning_modules.callbacks.pictures import grid, show
from lightning_modules.callbacks.scores import Scores
from lightning_modules.generative import GenerativeModule
from lightning_modules.metrics.base import EvaluationMetric, Extractor, Images
from lightning_modules.metrics.evaluate import evaluate, floor, measure, protocol_for
from lightning_modules.metrics.extractors import extractor_for
from lightning_modules.metrics.protocol import Protocol, matters
from lightning_modules.metrics.standard import standard_metrics


@typing.runtime_checkable
class DataWithReference(typing.Protocol):
    """What the callback asks of the datamodule."""

    def reference(self, split: str) -> Images:
        """The images of ``split``, un-augmented, in fixed order."""
        ...


class GenerativeMetrics(Scores):
    """Scores of the generator, with their protocol and their floor, and the pictures that come with them.

    Where a module has ``variants`` each is scored too, from the same noise, as ``fid_<variant>``.

    Args:
        extractor: ``inception``, a shipped one such as ``digits-cnn``, ``identity`` for the samples themselves, which
            suits points, or the class_path of an ``Extractor`` of your own.
        weights: path of its weights file; None searches where they usually are.
        metrics: what is measured; none are FID, and IS and class shares where the extractor knows classes.
        split: of the reference, ``train`` or ``test``.
        fakes: how many samples are generated.
        is_splits: over which that Inception score is averaged; one in ``metrics`` has its own.
        seed: of the fakes.
        floor: whether to score the other split as if it were fakes.

    Attributes:
        protocol: of this run's evaluations, from ``setup`` on.
        checkpoint: what a validation or test evaluates, for the protocol; set it before ``trainer.validate``.

    Raises:
        ValueError: in ``setup``, that is before training starts, if there is no such extractor, it does not fit the
            images or lacks what a metric needs, or there are too few; FileNotFoundError if its weights are absent.
    """

    def __init__(
        self,
        extractor: str = "inception",
        weights: str | None = None,
        metrics: Sequence[EvaluationMetric] = (),
        split: str = "train",
        fakes: int = 10_000,
        is_splits: int = 10,
        seed: int = 0,
        floor: bool = True,
    ) -> None:
        super().__init__()
        self.extractor_name, self.weights, self.split, self.metrics = extractor, weights, split, metrics
        self.fakes, self.is_splits, self.seed, self.with_floor = fakes, is_splits, seed, floor
        self.extractor: Extractor | None = None
        self.protocol: Protocol | None = None

    @property
    def floor_split(self) -> str:
        """The split that is not the reference."""
        return "test" if self.split == "train" else "train"

    @property
    def described(self) -> dict[str, Any]:
        """The protocol's fields."""
        return {} if self.protocol is None else self.protocol.as_dict()

    def alike(self, score: str, before: Mapping[str, Any]) -> bool:
        """As in the base; settings of other metrics are no matter."""
        return all(self.described[name] == before[name] for name in matters(score) if name in before)

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Load the extractor and fix the protocol, so that whatever is missing is missed before training."""
        if stage not in ("fit", "validate", "test"):
            return
        assert isinstance(pl_module, AtelierModule)
        module, data = _generating(pl_module), _data(trainer)
        if self.extractor is None:
            shape = data.reference(self.split)[0:1].shape[1:]
            self.extractor = extractor_for(shape, self.extractor_name, self.weights)
        self.metrics = self.metrics or standard_metrics(self.extractor, self.is_splits)
        self.protocol = protocol_for(
            data.reference(self.split),
            self.extractor,
            fakes=self.fakes,
            metrics=self.metrics,
            seed=self.seed,
            labels="none" if module.G.num_classes is None else "uniform",
            weights=pl_module.weights_name,
            truncation=module.truncation,
            checkpoint=self.checkpoint,
            real=data.reference(self.floor_split) if self.with_floor else None,
        )

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Score the untrained generator, once in the life of a run."""
        super().on_train_start(trainer, pl_module)
        if trainer.global_step > 0 or self.history:
            return
        assert isinstance(pl_module, AtelierModule)
        # Not `log`, which would wait for the end of an epoch, and an endless loader has none.
        pl_module.write_row(self._evaluate(trainer, pl_module, "val"))

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Score the generator and log it as ``val/...``."""
        if not trainer.sanity_checking:
            assert isinstance(pl_module, AtelierModule)
            pl_module.log_scores(self._evaluate(trainer, pl_module, "val"))

    def on_test_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Score the generator and log it as ``test/...``."""
        assert isinstance(pl_module, AtelierModule)
        pl_module.log_scores(self._evaluate(trainer, pl_module, "test"))

    def _evaluate(self, trainer: L.Trainer, module: AtelierModule, prefix: str) -> dict[str, float]:
        assert self.extractor is not None
        assert self.protocol is not None
        data, extractor = _data(trainer), self.extractor.to(module.device)
        reference = data.reference(self.split)
        if self.with_floor and self.floor_value is None:
            real = data.reference(self.floor_split)
            self.floor_value = floor(real, reference, self.protocol, extractor, self.metrics)
        measured = measure(_generating(module).sample_labelled, reference, self.protocol, extractor, self.metrics)
        scores = dict(measured.scores)
        for name, sample in _generating(module).variants.items():
            scores |= of_variant(evaluate(sample, reference, self.protocol, extractor, self.metrics), name)
            if self.floor_value is not None:
                self.floor_value |= of_variant({score: self.floor_value[score] for score in measured.scores}, name)
        self.keep(module, scores)
        if trainer.is_global_zero:
            for name, rows in measured.pictures.items():
                show(trainer, module, name, grid(rows.flatten(0, 1), columns=rows.shape[1]))
        return {f"{prefix}/{name}": value for name, value in scores.items()}


def of_variant(scores: dict[str, float], name: str) -> dict[str, float]:
    """``scores`` of another way to sample, named after it: ``fid_first@digits-cnn`` for ``fid@digits-cnn``."""
    parts = [(score.partition("@"), value) for score, value in scores.items()]
    return {f"{head}_{name}{at}{extractor}": value for (head, at, extractor), value in parts}


def _generating(module: L.LightningModule) -> GenerativeModule:
    if not isinstance(module, GenerativeModule):
        raise ValueError(
            f"{type(module).__name__} generates nothing that FID and IS could score: remove evaluation from the "
            "experiment."
        )
    return module


def _data(trainer: L.Trainer) -> DataWithReference:
    # Lightning sets `datamodule` when a run starts, but does not declare it.
    data: object = trainer.datamodule  # type: ignore[attr-defined]
    if not isinstance(data, DataWithReference):
        raise ValueError(
            "An evaluation compares with the images of data.reference(split), which this run's data does not have: "
            "choose an image data set, or remove evaluation from the experiment."
        )
    return data

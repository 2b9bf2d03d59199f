"""What every run has without asking: the callbacks that are top-level keys of a YAML, and plugins."""

from collections.abc import Sequence
from typing import Any

from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins.environments import (
    ClusterEnvironment,
    LightningEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)
from lightning.pytorch.plugins.io import CheckpointIO
from lightning.pytorch.plugins.layer_sync import LayerSync

from lightning_modules.callbacks.checkpoints import AtomicCheckpointIO, Checkpoints
from lightning_modules.callbacks.classification import ClassificationScores
from lightning_modules.callbacks.clock import Clock
from lightning_modules.callbacks.collapse import CollapseWatch
from lightning_modules.callbacks.fidelity import FidelityScores
from lightning_modules.callbacks.generative_metrics import GenerativeMetrics
from lightning_modules.callbacks.latent_scores import LatentScores
from lightning_modules.callbacks.layer_sync import RankBatchNormSync
from lightning_modules.callbacks.likelihood import LogLikelihood
from lightning_modules.callbacks.matte_scores import MatteScores
from lightning_modules.callbacks.path_length_scores import PathLengthScores
from lightning_modules.callbacks.photo_scores import PhotoScores
from lightning_modules.callbacks.progress import ProgressLine
from lightning_modules.callbacks.record import RunRecord
from lightning_modules.callbacks.samples import ImageGrid
from lightning_modules.callbacks.scores import Scores
from lightning_modules.callbacks.transfer_scores import TransferScores

HOUSE: dict[str, type[Callback]] = {
    "clock": Clock,
    "evaluation": GenerativeMetrics,
    "classification": ClassificationScores,
    "fidelity": FidelityScores,
    "mattes": MatteScores,
    "likelihood": LogLikelihood,
    "latent": LatentScores,
    "path_length": PathLengthScores,
    "styling": TransferScores,
    "photo": PhotoScores,
    "samples": ImageGrid,
    "collapse": CollapseWatch,
    "checkpoint": Checkpoints,
    "record": RunRecord,
    "progress": ProgressLine,
}
SCORES = tuple(name for name, kind in HOUSE.items() if issubclass(kind, Scores))  # the keys of what measures


def plugins(given: Sequence[Any], sync_batchnorm: bool | None) -> list[Any]:
    """``given``, and ours where none of its kind is among them."""
    result = [*given]
    if not any(isinstance(plugin, CheckpointIO) for plugin in given):
        result.append(AtomicCheckpointIO())
    if not any(isinstance(plugin, ClusterEnvironment) for plugin in given):
        result += own_ranks()
    if sync_batchnorm and not any(isinstance(plugin, LayerSync) for plugin in given):
        result.append(RankBatchNormSync())
    return result


def own_ranks() -> list[ClusterEnvironment]:
    """In a job of Slurm's, whose tasks Lightning would take for the ranks: what lets trainer.devices start them."""
    taken_for_ranks = SLURMEnvironment.detect() and not TorchElasticEnvironment.detect()
    return [LightningEnvironment()] if taken_for_ranks else []

"""What every run has without asking: the callbacks that are top-level keys of a YAML, and two plugins."""

from collections.abc import Sequence
from typing import Any

from lightning.pytorch.callbacks import Callback
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
from lightning_modules.callbacks.progress import ProgressLine
from lightning_modules.callbacks.record import RunRecord
from lightning_modules.callbacks.samples import ImageGrid

HOUSE: dict[str, type[Callback]] = {
    "clock": Clock,
    "evaluation": GenerativeMetrics,
    "classification": ClassificationScores,
    "fidelity": FidelityScores,
    "likelihood": LogLikelihood,
    "latent": LatentScores,
    "samples": ImageGrid,
    "collapse": CollapseWatch,
    "checkpoint": Checkpoints,
    "record": RunRecord,
    "progress": ProgressLine,
}


def plugins(given: Sequence[Any], sync_batchnorm: bool | None) -> list[Any]:
    """``given``, and ours where none of its kind is among them."""
    result = [*given]
    if not any(isinstance(plugin, CheckpointIO) for plugin in given):
        result.append(AtomicCheckpointIO())
    if sync_batchnorm and not any(isinstance(plugin, LayerSync) for plugin in given):
        result.append(RankBatchNormSync())
    return result

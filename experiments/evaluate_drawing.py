"""How a preset has a generator's samples drawn: of which classes, and by which statistics of its batch norm."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_modules.generative import GenerativeModule
from lightning_modules.metrics.base import Images, labels_of
from lightning_modules.metrics.batch_norm import STATISTICS, batch_norms
from lightning_modules.metrics.evaluate import Sample
from lightning_modules.metrics.presets import Preset


@dataclass(frozen=True)
class Drawing:
    """Samples as they are to be drawn.

    Args:
        sample: draws them.
        labels: how their classes are drawn, as in ``Protocol``.
        batch_norm: the statistics that the generator normalises by, as in ``Protocol``.
        normalises: whether it has batch norm at all; else it is no matter by which.
    """

    sample: Sample
    labels: str
    batch_norm: str
    normalises: bool


def drawing(module: GenerativeModule, preset: Preset | None, reference: Images) -> Drawing:
    """As ``preset`` says; uniform classes and running statistics where it is silent.

    The statistics of ``module``'s evaluated generator are replaced where others are asked for.
    """
    fixed = {} if preset is None else preset.fields
    sample: Sample = module.sample_labelled
    labels = "none" if module.G.num_classes is None else "uniform"
    if labels == "uniform" and fixed.get("labels") == "dataset" and len(labels_of(reference)):
        labels, sample = "dataset", by_shares(module, labels_of(reference).cpu())
    G, mode, normalises = module.evaluated_generator, "running", bool(batch_norms(module.evaluated_generator))
    if normalises:
        mode = str(fixed.get("batch_norm", mode))
        STATISTICS[mode](G, sample)
    return Drawing(sample, labels, mode, normalises)


def by_shares(module: GenerativeModule, labels: Tensor) -> Sample:
    """Samples of classes as frequent as they are among ``labels`` [N]."""

    def sample(n: int) -> tuple[Tensor, Tensor]:
        y = labels[torch.randint(len(labels), (n,))].to(module.device)
        return module.sample(n, y), y

    return sample

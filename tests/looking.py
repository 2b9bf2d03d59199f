"""Runs a metric by hand, without extractor, generator or protocol: reference statistics, batches, scores."""

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor

from lightning_modules.metrics.base import Accumulator, EvaluationMetric, Look, Setting, Tensors


def setting(features: Tensor, reference: dict[str, Tensors] | None = None, logits: Tensor | None = None) -> Setting:
    classes = 0 if logits is None else logits.shape[1]
    return Setting(tuple(features.shape[1:]), features.shape[1], classes, len(features), reference or {})


def fed(
    accumulator: Accumulator,
    features: Tensor,
    reference: dict[str, Tensors] | None = None,
    logits: Tensor | None = None,
    batches: Sequence[Tensor] | None = None,
) -> Tensors:
    """What ``accumulator`` computes of ``features`` [N, d], shown in ``batches`` of their numbers."""
    running = deepcopy(accumulator)
    running.begin(setting(features, reference, logits))
    logits = torch.empty(len(features), 0) if logits is None else logits
    for index in batches or [torch.arange(len(features))]:
        running.update(Look(features[index], index, features[index], logits[index]))
    return running.compute()


def scored(metric: EvaluationMetric, fake: Tensor, real: Tensor, batches: Sequence[Tensor] | None = None) -> Tensors:
    """The scores of the features ``fake`` [M, d] against ``real`` [N, d]."""
    return fed(metric, fake, {known.kind: fed(known, real) for known in metric.statistics()}, batches=batches)


def shuffled(count: int, batch: int, seed: int = 0) -> list[Tensor]:
    """The numbers below ``count`` in random order, in batches."""
    return list(torch.randperm(count, generator=torch.Generator().manual_seed(seed)).split(batch))


def gaussian(n: int, dim: int, seed: int, shift: float = 0.0) -> Tensor:
    """Correlated Gaussian features [n, dim], float32."""
    noise = torch.Generator().manual_seed(seed)
    mix = torch.randn(dim, dim, generator=noise, dtype=torch.float64)
    return (torch.randn(n, dim, generator=noise, dtype=torch.float64) @ mix + shift).float()

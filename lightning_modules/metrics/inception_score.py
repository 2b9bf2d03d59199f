"""Inception score (Salimans et al. 2016, "Improved techniques for training GANs", sec. 4) in constant memory.

    IS = exp( E_x KL(p(y|x) || p(y)) ),  E KL = mean of sum_y p log p - sum_y p(y) log p(y)

for each split of the samples in order; then mean and (population) standard deviation over the splits. The mean KL
needs three sums a split, so no prediction is kept, as it is elsewhere.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from lightning_modules.metrics.base import EvaluationMetric, Look, Needs, Setting, Tensors
from lightning_modules.metrics.protocol import Plain


class InceptionScore(EvaluationMetric):
    """``is`` and ``is_std``: mean and standard deviation of the Inception score over splits of the samples.

    Args:
        splits: of ``count`` samples, those at the places [i * count // splits, (i + 1) * count // splits) make split i.
        shuffle: seed of numpy's ``RandomState``, by whose permutation the samples get their places, as torch-fidelity's
            do by seed 2020; None leaves them in order.

    Raises:
        ValueError: for no split; in ``begin`` for fewer samples than splits.
    """

    names = ("is", "is_std")
    needs = Needs.LOGITS
    higher_is_better = True
    place: Tensor  # int64 [count]
    p_sum: Tensor
    p_log_p: Tensor
    seen: Tensor

    def __init__(self, splits: int = 10, shuffle: int | None = None) -> None:
        super().__init__()
        if splits < 1:
            raise ValueError(f"InceptionScore: splits must be 1 or more, got {splits}")
        self.splits, self.shuffle = splits, shuffle
        self.fewest = max(2, splits)
        self.bounds: list[int] = []

    @property
    def fields(self) -> dict[str, Plain]:
        """Splits and order."""
        return {"is_splits": self.splits, "is_shuffle": self.shuffle}

    def begin(self, setting: Setting) -> None:
        """Start at zero."""
        count, splits = setting.count, self.splits
        if splits > count:
            raise ValueError(
                f"An Inception score needs at least one image a split, here are {count} in {splits} splits."
            )
        self.bounds = [i * count // splits for i in range(1, splits)]
        self.register_buffer("place", self._places(count), persistent=False)
        self.add_state("p_sum", torch.zeros(splits, setting.num_classes, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("p_log_p", torch.zeros(splits, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("seen", torch.zeros(splits, dtype=torch.float64), dist_reduce_fx="sum")

    def _places(self, count: int) -> Tensor:
        if self.shuffle is None:
            return torch.arange(count)
        return torch.from_numpy(np.random.RandomState(self.shuffle).permutation(count)).argsort()

    def update(self, look: Look) -> None:
        """Add ``look.logits`` [N, K]."""
        p = look.logits.double().softmax(1)
        bounds = torch.tensor(self.bounds, dtype=torch.int64, device=p.device)
        place = self.place[look.index]
        member = one_hot(torch.bucketize(place, bounds, right=True), self.splits).double()  # [N, splits]
        self.p_sum += member.T @ p
        self.p_log_p += member.T @ torch.xlogy(p, p).sum(1)
        self.seen += member.sum(0)

    def compute(self) -> Tensors:
        """``is`` and ``is_std`` over all ranks: scalars, float64."""
        marginal = self.p_sum / self.seen[:, None]
        divergence = self.p_log_p / self.seen - torch.xlogy(marginal, marginal).sum(1)
        score = divergence.exp()
        return {"is": score.mean(), "is_std": score.std(correction=0)}

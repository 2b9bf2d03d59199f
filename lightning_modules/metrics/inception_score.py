"""Inception score (Salimans et al. 2016, "Improved techniques for training GANs", sec. 4) in constant memory.

    IS = exp( E_x KL(p(y|x) || p(y)) ),  E KL = mean of sum_y p log p - sum_y p(y) log p(y)

for each split of the samples in order; then mean and (population) standard deviation over the splits. The mean KL
needs three sums a split, so no prediction is kept, as it is elsewhere.
"""

import torch
from torch import Tensor
from torch.nn.functional import one_hot
from torchmetrics import Metric


class InceptionScore(Metric):
    """Inception score of a stream of logits whose samples are numbered.

    Args:
        num_classes: K of the logits.
        count: how many samples there will be.
        splits: the samples [i * count // splits, (i + 1) * count // splits) make split i.

    Raises:
        ValueError: for fewer samples than splits.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    p_sum: Tensor
    p_log_p: Tensor
    seen: Tensor

    def __init__(self, num_classes: int, count: int, splits: int = 10) -> None:
        super().__init__()
        if not 1 <= splits <= count:
            raise ValueError(
                f"An Inception score needs at least one image a split, here are {count} in {splits} splits."
            )
        self.splits = splits
        self.bounds = [i * count // splits for i in range(1, splits)]
        self.add_state("p_sum", torch.zeros(splits, num_classes, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("p_log_p", torch.zeros(splits, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("seen", torch.zeros(splits, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, logits: Tensor, index: Tensor) -> None:
        """Add ``logits`` [N, K] of the samples numbered ``index`` [N], int64."""
        p = logits.double().softmax(1)
        bounds = torch.tensor(self.bounds, dtype=torch.int64, device=index.device)
        member = one_hot(torch.bucketize(index, bounds, right=True), self.splits).double()  # [N, splits]
        self.p_sum += member.T @ p
        self.p_log_p += member.T @ torch.xlogy(p, p).sum(1)
        self.seen += member.sum(0)

    def compute(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation over the splits, over all ranks: scalars, float64."""
        marginal = self.p_sum / self.seen[:, None]
        divergence = self.p_log_p / self.seen - torch.xlogy(marginal, marginal).sum(1)
        score = divergence.exp()
        return score.mean(), score.std(correction=0)

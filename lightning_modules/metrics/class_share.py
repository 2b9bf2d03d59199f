"""How the samples spread over the classes of a classifier that knows the data, and how sure it is of them."""

import torch
from torch import Tensor
from torchmetrics import Metric

SURE = 0.9  # the probability over which a sample counts as clearly one class


class ClassShare(Metric):
    """Share of samples with a class of p > 0.9, and of each class (by largest logit).

    Args:
        num_classes: K of the logits.
    """

    is_differentiable = False
    full_state_update = False
    histogram: Tensor
    sure: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.add_state("histogram", torch.zeros(num_classes, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("sure", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, logits: Tensor) -> None:
        """Add ``logits`` [N, K]."""
        p, label = logits.double().softmax(1).max(1)
        # Not `bincount`, which has no deterministic form on a GPU.
        self.histogram += torch.nn.functional.one_hot(label, len(self.histogram)).sum(0)
        self.sure += (p > SURE).sum()

    def compute(self) -> tuple[Tensor, Tensor]:
        """The confident share, a scalar, and the share of each class [K], over all ranks; float64."""
        count = self.histogram.sum().double()
        return self.sure / count, self.histogram / count


def class_share(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Confident share and class shares [K] of ``logits`` [N, K] on this rank."""
    metric = ClassShare(logits.shape[1]).to(logits.device)
    metric.update(logits)
    return metric.compute()

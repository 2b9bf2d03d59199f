"""How the samples spread over the classes of a classifier that knows the data, and how sure it is of them."""

import torch
from torch import Tensor

from lightning_modules.metrics.base import EvaluationMetric, Look, Needs, Setting, Tensors

SURE = 0.9  # the probability over which a sample counts as clearly one class


class ClassShare(EvaluationMetric):
    """``confident``, the share of samples with a class of p > 0.9, ``class_min`` and ``class_max``, the smallest and
    the largest share of a class (by largest logit).
    """

    names = ("confident", "class_min", "class_max")
    needs = Needs.LOGITS | Needs.CLASSES
    histogram: Tensor
    sure: Tensor

    def begin(self, setting: Setting) -> None:
        """Start at zero."""
        self.add_state("histogram", torch.zeros(setting.num_classes, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("sure", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, look: Look) -> None:
        """Add ``look.logits`` [N, K]."""
        p, label = look.logits.double().softmax(1).max(1)
        # Not `bincount`, which has no deterministic form on a GPU.
        self.histogram += torch.nn.functional.one_hot(label, len(self.histogram)).sum(0)
        self.sure += (p > SURE).sum()

    def shares(self) -> Tensor:
        """The share of each class [K], float64: of this rank's samples, or inside ``compute`` of all."""
        return self.histogram / self.histogram.sum().double()

    def compute(self) -> Tensors:
        """The three shares over all ranks: scalars, float64."""
        shares = self.shares()
        confident = self.sure / self.histogram.sum().double()
        return {"confident": confident, "class_min": shares.min(), "class_max": shares.max()}

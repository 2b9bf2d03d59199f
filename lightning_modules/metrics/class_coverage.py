"""Mode coverage by classes, as an evaluation takes it: how many classes the samples reach, and how evenly.

With the extractor ``stacked-mnist-cnn`` the classes are the 1000 modes of Stacked-MNIST. Its protocols differ in the
number of samples, ``evaluation.fakes``: 26,000 in VEEGAN (Srivastava et al. 2017) and PacGAN (Lin et al. 2018, table
2), 25,600 in unrolled GANs (Metz et al. 2017; PacGAN, table 3).
"""

from lightning_modules.metrics.base import EvaluationMetric, Look, Needs, Setting, Tensors
from lightning_modules.metrics.mode_coverage import StackedModes


class ClassCoverage(EvaluationMetric):
    """``modes`` of the extractor's classes that the samples reach (by largest logit), and of their histogram
    ``reverse_kl`` to equal shares, ``entropy`` and ``jsd``, in nats.
    """

    names = ("modes", "reverse_kl", "entropy", "jsd")
    needs = Needs.LOGITS | Needs.CLASSES
    inner: StackedModes

    def begin(self, setting: Setting) -> None:
        """Start at zero."""
        self.inner = StackedModes(setting.num_classes, channels=1)

    def update(self, look: Look) -> None:
        """Add ``look.logits`` [N, K]."""
        self.inner.update(look.logits.argmax(1, keepdim=True))

    def compute(self) -> Tensors:
        """The four scores over all ranks: scalars, float64."""
        return self.inner.compute()

"""An image classifier: cross-entropy with label smoothing (Szegedy et al. 2016, section 7).

It is also where the repository's own feature extractors come from: scores named ``@digits-cnn`` or ``@mnist-cnn`` are
measured on the ``features`` of networks trained here.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from datamodules.functional.precision import full_precision
from lightning_modules.contract import StatesItsData
from lightning_modules.networks.base import Classifier as ClassifierNetwork
from lightning_modules.one_player import OnePlayerModule


class Classifier(OnePlayerModule):
    """x -> class logits, trained on labels y.

    Args:
        network: x [N, C, H, W] -> logits [N, K].
        label_smoothing: share of a label's mass that is spread over all classes.
        **shared: the arguments of ``OnePlayerModule``.
    """

    value_range = (-1.0, 1.0)

    def __init__(self, network: ClassifierNetwork, label_smoothing: float = 0.0, **shared: Any) -> None:
        super().__init__(**shared)
        self.network = network
        self.num_classes = network.num_classes
        self.label_smoothing = label_smoothing
        self.average(network)

    @property
    def net(self) -> nn.Module:
        """The network."""
        return self.network

    def check_data(self, data: StatesItsData) -> None:
        """Compare value range and number of classes."""
        super().check_data(data)
        self.check_classes(self.num_classes, data)

    def terms(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Cross-entropy of the labels ``y`` [N]; watches the batch's accuracy."""
        logits = self.network(x)
        self.note({"train/accuracy": (logits.argmax(1) == y).float().mean()})
        return {"ce": cross_entropy(logits, y, label_smoothing=self.label_smoothing)}

    def validation_step(self, batch: Sequence[Tensor], batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """The evaluated network's logits in full precision, for the callbacks."""
        with full_precision(self.device):
            return self(batch[0])

    def predict_step(self, batch: Sequence[Tensor], batch_idx: int) -> Tensor:
        """Class probabilities [N, K]."""
        return self(batch[0]).softmax(1)

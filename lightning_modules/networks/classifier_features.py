"""What one of the repository's own classifiers sees in an image, with a gradient: where VGG's weights cannot be had.

The extractors that scores are measured with round images to bytes, through which nothing can be learnt; this is their
network alone. Features hang on the data that it was trained on: digits' know nothing of photographs.
"""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lightning_modules.networks.base import Classifier, Network


class ClassifierFeatures(Network):
    """Images in [0, 1] to the last hidden layer of a trained classifier.

    Args:
        classifier: its network, with the arguments that its card states.
        weights: path of its safetensors file, such as lightning_modules/metrics/weights/digits-cnn.safetensors.
        value_range: what 0 and 1 become for the classifier; its card states it.

    Raises:
        FileNotFoundError: there is no such file; ValueError: it holds the weights of another network.
    """

    def __init__(self, classifier: Classifier, weights: str, value_range: tuple[float, float] = (-1.0, 1.0)) -> None:
        super().__init__()
        if not Path(weights).is_file():
            raise FileNotFoundError(f"The classifier's weights {weights} are no file: give its .safetensors file.")
        try:
            classifier.load_state_dict({name: value.float() for name, value in load_file(weights).items()})
        except (SafetensorError, RuntimeError) as error:
            raise ValueError(
                f"{weights} does not hold the weights of this {type(classifier).__name__}: give it the init_args of "
                "the card beside the file"
            ) from error
        self.classifier, self.value_range = classifier.requires_grad_(False).eval(), value_range

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [N, C, H, W] in [0, 1] to [N, d]."""
        low, high = self.value_range
        return self.classifier.features(low + (high - low) * x)

"""What one of the repository's own classifiers sees in an image, with a gradient: where VGG's weights cannot be had.

The extractors that scores are measured with round images to bytes, through which nothing can be learnt; this is their
network alone. Features hang on the data that it was trained on: digits' know nothing of photographs.
"""

from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from lightning_modules.networks.base import Classifier, FeatureMaps, Network
from lightning_modules.networks.resnet_classifier import Residual

N = TypeVar("N", bound=Classifier)
SHIPPED = Path(__file__).parents[1] / "metrics" / "weights"
POOLING = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)  # what ends the layers that take images of any size
SIDE = 32  # px: of an image that shows how large the layers' maps are


class ClassifierFeatures(Network):
    """Images in [0, 1] to the last hidden layer of a trained classifier.

    Args:
        classifier: its network, with the arguments that its card states.
        weights: path of its safetensors file, or the name of a shipped one, such as digits-cnn.
        value_range: what 0 and 1 become for the classifier; its card states it.

    Raises:
        FileNotFoundError: there is no such file; ValueError: it holds the weights of another network.
    """

    def __init__(self, classifier: Classifier, weights: str, value_range: tuple[float, float] = (-1.0, 1.0)) -> None:
        super().__init__()
        self.classifier, self.value_range = with_weights(classifier, weights), value_range

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [N, C, H, W] in [0, 1] to [N, d]."""
        low, high = self.value_range
        return self.classifier.features(low + (high - low) * x)


class ClassifierMaps(FeatureMaps):
    """Images of any size to the layers of a trained classifier, after their ReLUs: block1, block2 and so on.

    Of ``cifar10-cnn`` they are convolution, convolution, residual block (at half the size), convolution, convolution
    (at a quarter), residual block (at an eighth). A residual block counts as one.

    Args:
        classifier: its network, with the arguments that its card states.
        weights: path of its safetensors file, or the name of a shipped one, such as cifar10-cnn.
        value_range: what 0 and 1 become for the classifier; its card states it.

    Raises:
        FileNotFoundError: there is no such file; ValueError: it holds the weights of another network.
    """

    def __init__(self, classifier: Classifier, weights: str, value_range: tuple[float, float] = (-1.0, 1.0)) -> None:
        super().__init__()
        layers = list(with_weights(classifier, weights).trunk)
        pooling = next(i for i, layer in enumerate(layers) if isinstance(layer, POOLING))
        self.layers, self.value_range = nn.Sequential(*layers[:pooling]), value_range
        self.title = Path(weights).stem
        with torch.no_grad():
            first = next(self.parameters())
            maps = self(torch.zeros(1, first.shape[1], SIDE, SIDE, device=first.device))
        self.widths = {name: one.shape[1] for name, one in maps.items()}
        self.minimum = SIDE // min(one.shape[2] for one in maps.values())

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """``x`` [N, C, H, W] in [0, 1] to each layer's maps."""
        low, high = self.value_range
        x = low + (high - low) * x
        maps: dict[str, Tensor] = {}
        for layer in self.layers:
            x = layer(x)
            if isinstance(layer, nn.ReLU | Residual):
                maps[f"block{len(maps) + 1}"] = x
        return maps


def with_weights(classifier: N, weights: str) -> N:
    """``classifier`` with the weights of the safetensors file ``weights``, not to be trained any more.

    Raises:
        FileNotFoundError: there is no such file; ValueError: it holds the weights of another network.
    """
    file = Path(weights) if Path(weights).suffix else SHIPPED / f"{weights}.safetensors"
    if not file.is_file():
        raise FileNotFoundError(f"The classifier's weights {weights} are no file: give its .safetensors file.")
    try:
        classifier.load_state_dict({name: value.float() for name, value in load_file(file).items()}, assign=True)
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(
            f"{weights} does not hold the weights of this {type(classifier).__name__}: give it the init_args of "
            "the card beside the file"
        ) from error
    return classifier.requires_grad_(False).eval()

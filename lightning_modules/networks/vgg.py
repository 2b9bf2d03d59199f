"""VGG19 (Simonyan and Zisserman 2015, configuration E) up to one of its convolutions, for its features, or for several.

Its weights are a file in torchvision's layout, which is named explicitly. Nothing is downloaded, and nothing else is
ever taken in its place.
"""

import pickle
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from lightning_modules.networks.base import FeatureMaps, Network

STAGES = {1: (2, 64), 2: (2, 128), 3: (4, 256), 4: (4, 512), 5: (4, 512)}  # convolutions, and their channels
LAYERS = [f"conv{stage}_{i}" for stage, (count, _) in STAGES.items() for i in range(1, count + 1)]
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
ORIGIN = "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"


class VGG19Features(Network):
    """Images in [0, 1] to the answer of one layer.

    Args:
        weights: path of torchvision's weights of VGG19.
        layer: the last convolution: conv1_1 to conv5_4, SRGAN's and ESRGAN's.
        before_relu: whether its answer is taken as it is (ESRGAN), or after its ReLU (SRGAN).

    Raises:
        FileNotFoundError: there is no such file; ValueError: no such layer, or the file holds other weights.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, weights: str, layer: str = "conv5_4", before_relu: bool = False) -> None:
        super().__init__()
        require(layer)
        layers = layers_up_to(layer)
        self.features = nn.Sequential(*(layers[:-1] if before_relu else layers))
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(IMAGENET_DEVIATION)[:, None, None], persistent=False)
        self.load_state_dict(read(Path(weights), list(self.state_dict())))
        self.requires_grad_(False).eval()

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [N, 1 or 3, H, W] in [0, 1], grey given three times, to [N, C', H / 2^k, W / 2^k] after k poolings."""
        return self.features(self.normalised(x))

    def normalised(self, x: Tensor) -> Tensor:
        """``x`` [N, 1 or 3, H, W] in [0, 1] as the network was trained on it: [N, 3, H, W]."""
        return (x.expand(-1, 3, -1, -1) - self.mean) / self.deviation


class VGG19Maps(FeatureMaps):
    """Images to several layers of VGG19, after their ReLUs: those of Gatys et al. (2016) unless told otherwise.

    Args:
        weights: path of torchvision's weights of VGG19.
        layers: convolutions.
        average: pool by averages, as Gatys et al. found to look better, and not by maxima as trained.

    Raises:
        FileNotFoundError: there is no such file; ValueError: no such layer, or the file holds other weights.
    """

    title = "vgg19"

    def __init__(
        self,
        weights: str,
        layers: Sequence[str] = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv4_2", "conv5_1"),
        average: bool = False,
    ) -> None:
        super().__init__()
        for layer in layers:
            require(layer)
        asked = sorted(set(layers), key=LAYERS.index)
        self.vgg = VGG19Features(weights, asked[-1])
        for i, part in enumerate(self.vgg.features):
            if average and isinstance(part, nn.MaxPool2d):
                self.vgg.features[i] = nn.AvgPool2d(2)
        self.widths = {layer: STAGES[int(layer[4])][1] for layer in asked}
        self.minimum = 2 ** (int(asked[-1][4]) - 1)
        self.places = {len(layers_up_to(layer)) - 1: layer for layer in asked}

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """``x`` [N, 1 or 3, H, W] in [0, 1] to each layer's maps."""
        x, maps = self.vgg.normalised(x), {}
        for i, part in enumerate(self.vgg.features):
            x = part(x)
            if i in self.places:
                maps[self.places[i]] = x
        return maps


def require(layer: str) -> None:
    """Raise ValueError where VGG19 has no ``layer``."""
    if layer not in LAYERS:
        raise ValueError(f"VGG19 has no layer {layer!r}: choose one of {', '.join(LAYERS)}")


def layers_up_to(layer: str) -> list[nn.Module]:
    """Convolution, ReLU, ... with torchvision's numbers, the last of them the ReLU behind ``layer``."""
    layers: list[nn.Module] = []
    before = 3
    for stage, (count, width) in STAGES.items():
        for i in range(1, count + 1):
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
            if layer == f"conv{stage}_{i}":
                return layers
            before = width
        layers.append(nn.MaxPool2d(2))
    return layers


def read(path: Path, names: list[str]) -> dict[str, Tensor]:
    """The weights called ``names`` of the file ``path``."""
    if not path.is_file():
        raise FileNotFoundError(
            f"The VGG19 weights {path} are no file: fetch {ORIGIN} and give its path, or leave the perceptual term out."
        )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        found = {name: state[name] for name in names}
        if any(found[name].shape != shape for name, shape in shapes(names)):
            raise ValueError
    except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path} does not hold the weights of torchvision's VGG19: fetch {ORIGIN}") from error
    return found


def shapes(names: list[str]) -> list[tuple[str, torch.Size]]:
    """``names`` of the whole network with the shape of each."""
    with torch.device("meta"):
        whole = nn.ModuleDict({"features": nn.Sequential(*layers_up_to(LAYERS[-1]))}).state_dict()
    return [(name, whole[name].shape) for name in names]

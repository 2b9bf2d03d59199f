"""A small residual classifier of colour images, laid out as the ResNet-9 of DAWNBench's fast CIFAR-10 entries.

A 3x3 convolution at full resolution and three stages of [conv, norm, ReLU, 2x2 maximum], twice the maps each; behind
the first and the third stage a residual block of two convolutions. Each stage then costs the same. At its defaults
1.7 million weights (3.4 MB as fp16) and 95 million multiplications for a 32 px image.
Deviations: half of the layout's width, and a hidden layer before the logits, the tap that scores are measured on.
"""

from torch import Tensor, nn

from lightning_modules.networks.base import Classifier


def convolution(inputs: int, outputs: int) -> list[nn.Module]:
    """3x3, with batch norm and ReLU."""
    return [
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    ]


class Residual(nn.Module):
    """x + two convolutions of x, each with batch norm and ReLU.

    Args:
        maps: feature maps of input and output.
    """

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*convolution(maps, maps), *convolution(maps, maps))

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [N, maps, H, W] to the same shape."""
        return x + self.layers(x)


class ResNetClassifier(Classifier):
    """Gray or RGB images [N, C, H, W] of 8 px at least to class logits [N, num_classes].

    Args:
        channels: C of the images.
        num_classes: K of the logits.
        width: feature maps at full resolution; the three stages have 2, 4 and 8 times as many.
        dim: width of the hidden layer, after its ReLU the tap of ``features``.
        dropout: share of the hidden layer that training drops.
    """

    def __init__(
        self, channels: int = 3, num_classes: int = 10, width: int = 32, dim: int = 128, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.dim, self.num_classes = dim, num_classes
        self.init_args = {
            "channels": channels,
            "num_classes": num_classes,
            "width": width,
            "dim": dim,
            "dropout": dropout,
        }
        self.trunk = nn.Sequential(
            *convolution(channels, width),
            *convolution(width, 2 * width),
            nn.MaxPool2d(2),
            Residual(2 * width),
            *convolution(2 * width, 4 * width),
            nn.MaxPool2d(2),
            *convolution(4 * width, 8 * width),
            nn.MaxPool2d(2),
            Residual(8 * width),
            nn.AdaptiveMaxPool2d(1),
            nn.Flatten(),
            nn.Linear(8 * width, dim, bias=False),
            nn.BatchNorm1d(dim),
            nn.ReLU(inplace=True),
        )
        self.classify = nn.Sequential(nn.Dropout(dropout), nn.Linear(dim, num_classes))

    def features(self, x: Tensor) -> Tensor:
        """The hidden layer after its ReLU: [N, dim], not negative."""
        return self.trunk(x)

    def head(self, features: Tensor) -> Tensor:
        """Class logits [N, num_classes] of ``features`` [N, dim]."""
        return self.classify(features)

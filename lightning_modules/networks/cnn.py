"""A small convolutional classifier: the house's own eyes where Inception makes no sense or cannot be had.

Five 3x3 convolutions with batch normalisation, two of them strided, pooled to 4x4, one hidden layer. At its
defaults 0.28 million weights (0.55 MB as fp16) and 15 million multiplications for a 32 px image.
"""

from torch import Tensor, nn

from lightning_modules.networks.base import Classifier


def _convolution(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    ]


class CNN(Classifier):
    """Gray or RGB images [N, C, H, W] of 28 to 64 px (16 at least) to class logits [N, num_classes].

    Args:
        channels: C of the images.
        num_classes: K of the logits.
        width: feature maps of the first stage; the second has twice, the third four times as many.
        dim: width of the hidden layer, after its ReLU the tap of ``features``.
        dropout: share of the pooled maps and of the hidden layer that training drops.
    """

    def __init__(
        self, channels: int = 1, num_classes: int = 10, width: int = 32, dim: int = 64, dropout: float = 0.2
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
            *_convolution(channels, width),
            *_convolution(width, width, stride=2),
            *_convolution(width, 2 * width),
            *_convolution(2 * width, 2 * width, stride=2),
            *_convolution(2 * width, 4 * width),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(4 * width * 16, dim, bias=False),
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

"""LPIPS (Zhang et al. 2018, "The unreasonable effectiveness of deep features as a perceptual metric"), version 0.1.

The distance of unit-normalised features of an ImageNet network, weighted channel by channel and averaged over places.
Network and linear heads are torchmetrics', whose package brings the heads; the backbone's weights are torchvision's,
searched as in ``found_weights``. Without them there is no score: another network is never taken instead.
"""

import pickle
import re
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torchmetrics.functional.image.lpips import _NoTrainLpips

from datamodules.functional.precision import full_precision
from lightning_modules.metrics.fidelity.means import ImageMeans
from lightning_modules.metrics.fidelity.protocol import PEAK, pair
from lightning_modules.metrics.found_weights import PublishedWeights, sha256_of
from lightning_modules.metrics.protocol import Plain, metric_name

Net = Literal["alex", "vgg", "squeeze"]
SLICE = re.compile(r"^(slice\d+|slices\.\d+)\.")  # what torchmetrics puts before torchvision's names


class Backbone(NamedTuple):
    """A network of ImageNet that LPIPS has heads for."""

    weights: PublishedWeights
    least: int  # px: the shortest side of an image of which all taps have a place left


def _torchvision(title: str, name: str, sha256: str) -> PublishedWeights:
    file = f"{name}-{sha256}.pth"
    return PublishedWeights(title, file, f"https://download.pytorch.org/models/{file}", sha256, "--weights")


BACKBONES: dict[Net, Backbone] = {
    "alex": Backbone(_torchvision("AlexNet", "alexnet-owt", "7be5be79"), 31),
    "vgg": Backbone(_torchvision("VGG16", "vgg16", "397923af"), 16),
    "squeeze": Backbone(_torchvision("SqueezeNet", "squeezenet1_1", "b8a52dc0"), 17),
}


class LPIPS(ImageMeans):
    """Mean of LPIPS over images, ``lpips@alex``: 0 for equal images, larger for what looks less alike.

    Images are compared as 8-bit RGB in [-1, 1], whole, in float32 without TF32; gray ones are repeated to RGB.

    Args:
        net: the backbone: "alex" is the authors' own choice for scores, "vgg" their one for training.
        weights: path of its weights in torchvision's layout; None searches. A file of another hash than the published
            one is taken only when named here; its sha256 is in ``fields`` either way.

    Raises:
        FileNotFoundError: if the weights cannot be had.
        ValueError: if there is no such backbone, or the file does not hold its weights.
    """

    higher_is_better = False

    def __init__(self, net: Net = "alex", weights: str | None = None) -> None:
        if net not in BACKBONES:
            raise ValueError(f"LPIPS has no backbone {net!r}: choose one of {', '.join(BACKBONES)}.")
        super().__init__([metric_name("lpips", net)])
        path = BACKBONES[net].weights.find(weights)
        self.net = net
        self.sha256 = sha256_of(path)
        self.network = _build(net, path)

    @property
    def fields(self) -> dict[str, Plain]:
        """What its scores hang on."""
        return {"lpips_net": self.net, "lpips_sha256": self.sha256}

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add images [N, C, H, W], uint8 or floats in [0, 1]; see ``pair``. Batches may differ in size."""
        images = pair(prediction, target)
        least = BACKBONES[self.net].least
        if min(images.target.shape[2:]) < least:
            raise ValueError(
                f"LPIPS with {self.net} compares images with sides of {least} pixels or more, these are "
                f"{images.target.shape[2]}x{images.target.shape[3]}: leave it out, or compare larger ones."
            )
        a, b = (x.float().div(PEAK).expand(-1, 3, -1, -1) for x in (images.prediction, images.target))
        with full_precision(a.device):
            self.add(self.network(a, b, normalize=True).flatten())


def _build(net: Net, path: Path) -> nn.Module:
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
        # Its constructor draws initial weights: not from the training's random stream.
        with torch.random.fork_rng(devices=[]):
            network = _NoTrainLpips(net=net, pnet_rand=True)
        names = {name: "features." + SLICE.sub("", name) for name in network.net.state_dict()}
        network.net.load_state_dict({name: state[theirs] for name, theirs in names.items()})
    except (RuntimeError, pickle.UnpicklingError, EOFError, AttributeError, TypeError, KeyError) as error:
        published = BACKBONES[net].weights
        raise ValueError(
            f"{path} does not hold the weights of torchvision's {published.title}: fetch {published.url}."
        ) from error
    return network

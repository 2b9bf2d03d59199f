"""The Inception network that published IS and FID are measured with.

torch-fidelity's port of the TensorFlow graph of 2015-12-05 (tap 2048 after the last pooling, and the logits without
bias), with its resize or one of Pillow's; ``inception_network.py`` computes it. Scores of the lower taps are named
after them (``fid@inception-768``). torchvision's Inception has other weights and gives other numbers. Where the weights
come from: ``found_weights.py``.
"""

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from lightning_modules.metrics.base import Extractor, Features, spell
from lightning_modules.metrics.found_weights import PublishedWeights, sha256_of
from lightning_modules.metrics.inception_network import (
    InceptionNetwork,
    Resize,
    pillow_bicubic,
    pillow_bilinear,
    tensorflow_bilinear,
)
from lightning_modules.metrics.presets import PIL_BICUBIC, PIL_BILINEAR, TF1_BILINEAR
from lightning_modules.metrics.protocol import INCEPTION

FILE = "weights-inception-2015-12-05-6726825d.pth"
URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{FILE}"
PUBLISHED = PublishedWeights("Inception", FILE, URL, "6726825d", "evaluation.weights or --weights")
TAPS = {INCEPTION: 2048, "inception-768": 768, "inception-192": 192, "inception-64": 64}
RESIZES: Mapping[str, Resize] = {
    TF1_BILINEAR: tensorflow_bilinear,
    PIL_BILINEAR: pillow_bilinear,
    PIL_BICUBIC: pillow_bicubic,
}


class InceptionExtractor(Extractor):
    """InceptionV3 of FID: RGB or gray (repeated to RGB) images of any size; features 2048, logits 1008.

    Args:
        weights: path of the weights file; None searches, see the module. A file of another hash than the published
            one is taken only when named here; its sha256 is in the protocol either way.
        name: one of ``TAPS``; those below 2048 have no logits.
        resize: one of ``RESIZES``, in the words of a protocol.

    Raises:
        FileNotFoundError: if the weights cannot be had: at construction, that is before training starts.
        ValueError: if the file does not hold weights of this network, or there is no such tap or resize.
    """

    def __init__(self, weights: str | None = None, name: str = INCEPTION, resize: str = TF1_BILINEAR) -> None:
        super().__init__()
        if name not in TAPS:
            raise ValueError(f"Inception has no tap {name!r}: name one of {', '.join(TAPS)}.")
        if resize not in RESIZES:
            raise ValueError(f"Inception knows no resize {resize!r}: choose one of {'; '.join(RESIZES)}.")
        self.name, self.dim, self.resize = name, TAPS[name], resize
        self.num_classes = 1008 if name == INCEPTION else None
        path = PUBLISHED.find(weights)
        self.sha256 = sha256_of(path)
        self.network = _build(path, self.dim, RESIZES[resize])

    def fit(self, shape: Sequence[int]) -> str:
        """Images with one or three channels, of any size."""
        if len(shape) != 3 or shape[0] not in (1, 3):
            raise ValueError(f"Inception reads RGB or gray images, these are {spell(shape)}.")
        return self.resize + (", gray repeated to RGB" if shape[0] == 1 else "")

    def extract(self, image: Tensor) -> Features:
        """Resize and run the network."""
        features, logits = self.network(image.expand(-1, 3, -1, -1))
        return Features(features, logits)


def _build(path: Path, tap: int, resize: Resize) -> InceptionNetwork:
    # Only this extractor needs torch-fidelity, and it takes a second to import.
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    try:
        # torch-fidelity unpickles whatever the file holds: see first that it is tensors alone.
        torch.load(path, weights_only=True, map_location="cpu")
        # Its constructor draws initial weights: not from the training's random stream.
        with torch.random.fork_rng(devices=[]):
            theirs = FeatureExtractorInceptionV3("inception", ["2048"], feature_extractor_weights_path=str(path))
    except (RuntimeError, pickle.UnpicklingError, EOFError, AttributeError, TypeError) as error:
        raise ValueError(f"{path} does not hold the weights of torch-fidelity's InceptionV3: fetch {URL}.") from error
    return InceptionNetwork(theirs, tap, resize)

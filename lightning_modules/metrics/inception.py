"""The Inception network that published IS and FID are measured with.

torch-fidelity's port of the TensorFlow graph of 2015-12-05 (tap 2048 after the last pooling, and the logits without
bias), with its resize; ``inception_network.py`` computes it. Scores of the lower taps are named after them
(``fid@inception-768``). torchvision's Inception has other weights and gives other numbers.

The weights come from, in this order: an explicit path; ``ATELIER_WEIGHTS`` (the file, or its folder); torch's hub
cache; a download. All but the explicit path must have the published hash.
"""

import hashlib
import os
import pickle
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from lightning_modules.metrics.base import Extractor, Features, spell
from lightning_modules.metrics.inception_network import InceptionNetwork
from lightning_modules.metrics.protocol import INCEPTION

FILE = "weights-inception-2015-12-05-6726825d.pth"
SHA256_PREFIX = "6726825d"
TAPS = {INCEPTION: 2048, "inception-768": 768, "inception-192": 192, "inception-64": 64}
URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{FILE}"


def find_weights(explicit: str | None) -> Path:
    """Find the weights file, or fetch it to torch's hub cache.

    Raises:
        FileNotFoundError: if it is nowhere and cannot be downloaded.
        ValueError: if a file that was not named explicitly has another hash.
    """
    if explicit is not None:
        if not Path(explicit).is_file():
            raise FileNotFoundError(f"The Inception weights {explicit} (evaluation.weights) are no file.")
        return Path(explicit)
    cached = Path(torch.hub.get_dir()) / "checkpoints" / FILE
    for path in (*_from_environment(), cached):
        if path.is_file():
            return _checked(path)
    return _download(cached)


def _from_environment() -> list[Path]:
    place = os.environ.get("ATELIER_WEIGHTS")
    return [] if not place else [Path(place), Path(place) / FILE]


def _checked(path: Path) -> Path:
    if not _sha256(path).startswith(SHA256_PREFIX):
        raise ValueError(
            f"{path} does not have the sha256 {SHA256_PREFIX}...: delete it, or name it in evaluation.weights "
            "if you mean it."
        )
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(path: Path) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(URL, str(path), hash_prefix=SHA256_PREFIX)
    except (OSError, RuntimeError) as error:  # no network; a wrong hash
        raise FileNotFoundError(
            f"The Inception weights {FILE} are absent and the download failed ({error}): fetch {URL} and put it "
            f"into {path.parent} or the folder ATELIER_WEIGHTS, or name it in evaluation.weights."
        ) from error
    return path


class InceptionExtractor(Extractor):
    """InceptionV3 of FID: RGB or gray (repeated to RGB) images of any size; features 2048, logits 1008.

    Args:
        weights: path of the weights file; None searches, see the module. A file of another hash than the published
            one is taken only when named here; its sha256 is in the protocol either way.
        name: one of ``TAPS``; those below 2048 have no logits.

    Raises:
        FileNotFoundError: if the weights cannot be had: at construction, that is before training starts.
        ValueError: if the file does not hold weights of this network, or there is no such tap.
    """

    def __init__(self, weights: str | None = None, name: str = INCEPTION) -> None:
        super().__init__()
        if name not in TAPS:
            raise ValueError(f"Inception has no tap {name!r}: name one of {', '.join(TAPS)}.")
        self.name, self.dim = name, TAPS[name]
        self.num_classes = 1008 if name == INCEPTION else None
        path = find_weights(weights)
        self.sha256 = _sha256(path)
        self.network = _build(path, self.dim)

    def fit(self, shape: Sequence[int]) -> str:
        """Images with one or three channels, of any size."""
        if len(shape) != 3 or shape[0] not in (1, 3):
            raise ValueError(f"Inception reads RGB or gray images, these are {spell(shape)}.")
        return "TensorFlow-1 bilinear to 299" + (", gray repeated to RGB" if shape[0] == 1 else "")

    def extract(self, image: Tensor) -> Features:
        """Resize and run the network."""
        features, logits = self.network(image.expand(-1, 3, -1, -1))
        return Features(features, logits)


def _build(path: Path, tap: int) -> InceptionNetwork:
    # Only this extractor needs torch-fidelity, and it takes a second to import.
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    try:
        # torch-fidelity unpickles whatever the file holds: see first that it is tensors alone.
        torch.load(path, weights_only=True, map_location="cpu")
        # Its constructor draws initial weights: not from the training's random stream.
        with torch.random.fork_rng(devices=[]):
            theirs = FeatureExtractorInceptionV3("inception", [], feature_extractor_weights_path=str(path))
    except (RuntimeError, pickle.UnpicklingError, EOFError, AttributeError, TypeError) as error:
        raise ValueError(f"{path} does not hold the weights of torch-fidelity's InceptionV3: fetch {URL}.") from error
    return InceptionNetwork(theirs, tap)

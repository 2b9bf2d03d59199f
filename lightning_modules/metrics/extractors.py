"""Our own feature extractors, and the way to any by name.

A shipped extractor is two files in ``metrics/weights``: ``NAME.safetensors`` (fp16) and ``NAME.json`` (its card).
It never changes, since every score measured with it would: a better one is ``NAME-v2``. One that reads gray images is
also there as ``stacked-NAME``, for images whose channels are each one of its images.
"""

import hashlib
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from importlib import import_module
from math import prod
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor
from torch.nn.functional import pad

from datamodules.functional.quantise import from_uint8
from lightning_modules.metrics.base import Extractor, Features, spell
from lightning_modules.metrics.card import Card
from lightning_modules.metrics.inception import TAPS, InceptionExtractor
from lightning_modules.metrics.presets import TF1_BILINEAR
from lightning_modules.metrics.stacked import PREFIX, Stacked
from lightning_modules.networks.base import Classifier
from lightning_modules.networks.cnn import CNN
from lightning_modules.networks.resnet_classifier import ResNetClassifier

SHIPPED = Path(__file__).parent / "weights"
ARCHITECTURES: dict[str, type[Classifier]] = {net.__name__: net for net in (CNN, ResNetClassifier)}


class Identity(Extractor):
    """The samples themselves, flattened, as float64: for tests, and for points, whose features they are.

    Args:
        shape: of one sample, (C, H, W) or (d,).
        num_classes: take the first so many values for logits.
    """

    name = "identity"
    precision = "float64"

    def __init__(self, shape: Sequence[int], num_classes: int | None = None) -> None:
        super().__init__()
        self.shape, self.dim, self.num_classes = tuple(shape), prod(shape), num_classes
        self.own_classes = num_classes is not None

    @property
    def is_told_apart(self) -> bool:
        """It has no weights to be told by."""
        return True

    def fit(self, shape: Sequence[int]) -> str:
        """Samples of the one shape it was made for."""
        if tuple(shape) != self.shape:
            raise ValueError(f"This identity extractor reads {spell(self.shape)}, these are {spell(shape)}.")
        return "none"

    def extract(self, image: Tensor) -> Features:
        """Flatten."""
        features = image.flatten(1).double()
        return Features(features, None if self.num_classes is None else features[:, : self.num_classes])


class ClassifierExtractor(Extractor):
    """One of our classifiers, tapped at its last hidden layer.

    Args:
        card: what it is.
        weights: bytes of the safetensors file.

    Raises:
        ValueError: if the weights are not those of the card.
    """

    own_classes = True

    def __init__(self, card: Card, weights: bytes) -> None:
        super().__init__()
        self.card = card
        self.name, self.dim, self.num_classes = card.name, card.dim, card.num_classes
        self.sha256 = hashlib.sha256(weights).hexdigest()
        if self.sha256 != card.sha256:
            raise ValueError(
                f"The weights of extractor {card.name} have sha256 {self.sha256[:8]}..., its card says "
                f"{card.sha256[:8]}...: restore both files, a shipped extractor never changes."
            )
        # On the meta device, so that loading an extractor draws nothing from the training's random streams.
        with torch.device("meta"):
            self.network = ARCHITECTURES[card.architecture](**card.init_args)
        self.network.load_state_dict(_full_precision(weights), assign=True)
        self.requires_grad_(False).eval().to(memory_format=torch.channels_last)

    @classmethod
    def read(cls, path: Path) -> "ClassifierExtractor":
        """Load the safetensors file ``path`` and the card beside it.

        Raises:
            FileNotFoundError: if one of the two is absent.
        """
        card = path.with_suffix(".json")
        for file in (path, card):
            if not file.is_file():
                raise FileNotFoundError(
                    f"{file} is absent: an extractor is a .safetensors file with its .json card beside it."
                )
        extractor = cls(Card.read(card), path.read_bytes())
        if path.parent != SHIPPED:  # a shipped card never changes
            extractor.facts = {"card_sha256": hashlib.sha256(extractor.card.dump()).hexdigest()}
        return extractor

    def fit(self, shape: Sequence[int]) -> str:
        """Images of the card's size, or of a smaller one that the card says may be zero-padded."""
        card = self.card
        accepted = [(card.channels, side, side) for side in (card.size, *card.padded)]
        if tuple(shape) not in accepted:
            raise ValueError(
                f"The extractor {self.name} reads {' or '.join(map(spell, accepted))} images, these are "
                f"{spell(shape)}: choose another with evaluation.extractor."
            )
        return "none" if shape[-1] == card.size else f"zero-padded from {shape[-1]} to {card.size}"

    def extract(self, image: Tensor) -> Features:
        """Pad with byte 0, map to the card's value range, run the classifier."""
        margin = self.card.size - image.shape[-1]
        before, after = margin // 2, margin - margin // 2
        low, high = self.card.value_range
        x = from_uint8(pad(image, (before, after, before, after)), (low, high))
        features = self.network.features(x)
        return Features(features, self.network.head(features))


def _full_precision(weights: bytes) -> dict[str, Tensor]:
    try:
        state = load(weights)
    except SafetensorError as error:
        raise ValueError(f"The extractor's weights are no safetensors file ({error}).") from error
    return {name: value.float() if value.is_floating_point() else value for name, value in state.items()}


def extractor_names() -> list[str]:
    """All that ``load_extractor`` knows by name: the shipped ones and the taps of ``inception``."""
    return [*sorted(path.stem for path in SHIPPED.glob("*.safetensors")), *TAPS]


def load_extractor(name: str, weights: str | None = None, resize: str = TF1_BILINEAR) -> Extractor:
    """Load the extractor ``name``, in eval mode, on the CPU.

    Args:
        name: ``inception``, one of its lower taps (``inception-768``), a shipped extractor, or with ``weights`` one of
            your own (``metrics/export.py``); one with ``stacked-`` before its name runs on each of three channels. A
            name with dots is the class_path of an ``Extractor``, made without arguments or with its weights' path.
        weights: path of its weights file; None searches (inception) or takes the shipped file.
        resize: how inception brings images to its size; the others have no choice.

    Raises:
        ValueError: if there is no such extractor, or its files are not what they should be.
        FileNotFoundError: if its weights cannot be had.
    """
    if name.startswith(PREFIX):
        return Stacked(load_extractor(name.removeprefix(PREFIX), weights))
    if name in TAPS:
        return InceptionExtractor(weights, name, resize)
    if "." in name:
        return _class_at(name, weights)
    if weights is not None:
        return _own_extractor(name, Path(weights))
    names = extractor_names()
    if name not in names:
        nearest = get_close_matches(name, names, n=1, cutoff=0.0)[0]
        raise ValueError(
            f"There is no extractor {name!r}, the nearest is {nearest!r}: set evaluation.extractor to one of "
            f"{', '.join(names)}, or to {PREFIX}NAME where each channel is an image of its own."
        )
    return ClassifierExtractor.read(SHIPPED / f"{name}.safetensors")


def extractor_for(shape: Sequence[int], name: str, weights: str | None = None, resize: str = TF1_BILINEAR) -> Extractor:
    """``load_extractor``, or ``Identity`` of samples of ``shape``."""
    return Identity(shape) if name == Identity.name else load_extractor(name, weights, resize)


def _class_at(class_path: str, weights: str | None) -> Extractor:
    module, _, name = class_path.rpartition(".")
    try:
        found = vars(import_module(module)).get(name)
    except ImportError as error:
        raise ValueError(
            f"There is no module for the extractor {class_path} ({error}): mend its class_path."
        ) from error
    except SyntaxError as error:
        raise ValueError(f"{error.filename}, line {error.lineno}: {error.msg}") from error
    if not (isinstance(found, type) and issubclass(found, Extractor)):
        raise ValueError(f"{class_path} is no class of an Extractor (lightning_modules.metrics.base): name one.")
    make: Callable[..., Extractor] = found
    try:
        return make() if weights is None else make(weights)
    except TypeError as error:
        raise ValueError(
            f"{class_path} is made without arguments, or with the path of its weights alone, and refuses: {error}"
        ) from error


def _own_extractor(name: str, path: Path) -> ClassifierExtractor:
    extractor = ClassifierExtractor.read(path)
    if extractor.name != name:
        raise ValueError(
            f"{path} is the extractor {extractor.name!r}, not {name!r}: set evaluation.extractor to its name, which "
            "its scores bear."
        )
    return extractor

"""From a trained classifier to an extractor that can be shipped: fp16 weights and a card."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from datamodules.functional.files import replacing
from datamodules.functional.quantise import ValueRange
from lightning_modules.metrics.base import spell
from lightning_modules.metrics.card import Card
from lightning_modules.metrics.extractors import SHIPPED, ClassifierExtractor
from lightning_modules.networks.base import Classifier

LIMIT = 4 * 1024 * 1024  # bytes: what a package can carry


def export_extractor(
    network: Classifier,
    name: str,
    images: Tensor,
    labels: Tensor,
    value_range: ValueRange,
    data: str,
    command: str,
    padded: Sequence[int] = (),
    folder: Path = SHIPPED,
) -> ClassifierExtractor:
    """Write ``folder/name.safetensors`` and ``folder/name.json`` and return the extractor as it will be loaded.

    Args:
        network: the trained classifier.
        name: what scores will be named after.
        images: the test split, uint8 [N, C, S, S], on which the accuracy of the rounded weights is measured.
        labels: its classes, int64 [N].
        value_range: in which the network was trained.
        data: what it was trained on, for the card.
        command: what trained it, for the card.
        padded: smaller sides that it takes too, zero-padded to S.
        folder: where to; the package's own by default.

    Raises:
        ValueError: if the extractor exists, is over 4 MB, is not finite in fp16, or the images are not square.
    """
    if images.shape[-1] != images.shape[-2]:
        raise ValueError(f"An extractor is exported with square images, these are {spell(images.shape[1:])}.")
    for file in (folder / f"{name}.safetensors", folder / f"{name}.json"):
        if file.exists():
            raise ValueError(f"{file} exists, and an extractor never changes: name a better one {name}-v2.")
    weights = _half(network, name)
    card = Card(
        name=name,
        architecture=type(network).__name__,
        init_args=network.init_args,
        tap="features: the hidden layer after its ReLU",
        dim=network.dim,
        num_classes=network.num_classes,
        channels=images.shape[1],
        size=images.shape[-1],
        padded=list(padded),
        value_range=list(value_range),
        sha256=hashlib.sha256(weights).hexdigest(),
        test_accuracy=0.0,
        data=data,
        command=command,
    )
    card = replace(card, test_accuracy=_accuracy(ClassifierExtractor(card, weights), images, labels))
    for suffix, content in ((".safetensors", weights), (".json", card.dump())):
        with replacing(folder / f"{name}{suffix}") as whole:
            whole.write(content)
    return ClassifierExtractor(card, weights)


def _half(network: Classifier, name: str) -> bytes:
    state = {
        key: (value.half() if value.is_floating_point() else value).cpu().contiguous()
        for key, value in network.state_dict().items()
    }
    if not all(value.isfinite().all() for value in state.values()):
        raise ValueError(f"The weights of {name} are not finite in fp16: train it again with a smaller rate.")
    weights = save(state)
    if len(weights) > LIMIT:
        raise ValueError(
            f"The weights of {name} take {len(weights) / 2**20:.1f} MB, 4 MB at most are shipped: lower its width."
        )
    return weights


def _accuracy(extractor: ClassifierExtractor, images: Tensor, labels: Tensor) -> float:
    right = 0
    for image, label in zip(images.split(500), labels.split(500), strict=True):
        logits = extractor(image.cpu()).logits
        assert logits is not None
        right += int(torch.eq(logits.argmax(1), label.cpu()).sum())
    return round(right / len(labels), 6)

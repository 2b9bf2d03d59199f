"""What D and a family hand to each other, and whether a second head has somebody who reads it."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from lightning_modules.adversarial import Terms
from lightning_modules.losses.classification import ClassificationTerm
from lightning_modules.losses.regularisers import Regulariser
from lightning_modules.networks.base import Discriminator, Generator, Network, TwoHeadedDiscriminator, Verdict


class Shown(NamedTuple):
    """D's inputs before and after augmentation; both require a gradient where a penalty asks for it."""

    plain: Tensor
    changed: Tensor


class Judged(NamedTuple):
    """What D said, and of which inputs."""

    real: Verdict
    fake: Verdict
    x: Shown
    fake_x: Shown


class Made(NamedTuple):
    """Fakes, and what they were made of."""

    images: Tensor  # before any augmentation, [M, *out_shape]
    z: Tensor | None = None  # [M, z_dim], where they are of noise alone
    G: Callable[[Tensor], Tensor] | None = None  # other noise [M, z_dim] to images of the same labels


def present(terms: Mapping[str, Tensor | None]) -> Terms:
    """``terms`` without those that are None."""
    return {name: term for name, term in terms.items() if term is not None}


def check_second_head(
    D: Discriminator, classification: ClassificationTerm | None, regularisers: Sequence[Regulariser]
) -> None:
    """Raise ValueError where what reads D's second head and what D has there do not fit."""
    reading = [term for term in regularisers if term.outputs is not None]
    readers = [*([] if classification is None else [classification]), *reading]
    if len(readers) > 1:
        raise ValueError(f"{' and '.join(type(r).__name__ for r in readers)} read D's one second head: leave one out")
    if bool(readers) != isinstance(D, TwoHeadedDiscriminator):
        raise ValueError(
            "a term on the answer of a second head (classification, or a regulariser) and a discriminator of two heads "
            "need each other, and here is one alone: give both, or neither"
        )
    if not isinstance(D, TwoHeadedDiscriminator):
        return
    wanted = reading[0].outputs if classification is None else classification.outputs(D.num_classes or 0)
    embeds = classification is not None and classification.embeds
    if embeds != D.embeds or (wanted is not None and wanted != D.outputs):
        reader, head = type(readers[0]).__name__, type(D).__name__
        kind = "embeddings" if embeds else f"{wanted} numbers"
        has = "embeddings" if D.embeds else f"{D.outputs} numbers"
        raise ValueError(f"{reader} reads {kind} of D's second head, {head} gives {has}: choose a head that fits")


def check_code(regulariser: Regulariser, generator: Network) -> None:
    """Raise ValueError where ``regulariser`` reads a code that z does not begin with."""
    if regulariser.code is None:
        return
    if not isinstance(generator, Generator) or generator.latent.code != regulariser.code:
        categories, numbers = regulariser.code
        raise ValueError(
            f"{type(regulariser).__name__} reads a code of {categories} categories and {numbers} numbers: give the "
            "generator a latent, networks.latents.Coded, of as many"
        )

"""What families share that see through the eyes of a network which is not trained: its layers, terms, and pictures."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from datamodules.functional.quantise import to_uint8
from lightning_modules.contract import StatesItsData
from lightning_modules.losses.reconstruction import ReconstructionLoss
from lightning_modules.losses.style import FeatureTerm, Maps, StyleTerm
from lightning_modules.losses.terms import require_once
from lightning_modules.networks.base import FeatureMaps
from lightning_modules.one_player import OnePlayerModule
from lightning_modules.restoring import centre

SHOWN, SIDE = 8, 192  # rows of a picture at most, and px of each square in it


@runtime_checkable
class HoldsOut(Protocol):
    """What a data module of contents and styles says of them."""

    def held_out(self) -> Iterator[Sequence[Tensor]]:
        """Contents x [1, 3, H, W], styles y [1, K, 3, h, w] and guides [1, 1, H, W] to be looked at, in [0, 1]."""
        ...


class Styling(OnePlayerModule):
    """A family that makes pictures of contents and styles, compared by what a network sees in them.

    Args:
        features: that network. It is no part of checkpoints.
        terms: on what it sees, each of another name.
        image_terms: terms on the picture alone, such as total variation.
        **shared: the arguments of ``OnePlayerModule``.

    Raises:
        ValueError: no terms, two of one name, or layers that the network has not.
    """

    value_range = (0.0, 1.0)

    def __init__(
        self,
        features: FeatureMaps,
        terms: Sequence[FeatureTerm],
        image_terms: Sequence[ReconstructionLoss] = (),
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        if not terms:
            raise ValueError(f"{type(self).__name__} has no terms: give a style term, and one for the content")
        require_once("terms and image_terms", [*terms, *image_terms])
        for term in terms:
            features.require(term.layers)
        self._eyes = (features.requires_grad_(False).eval(),)  # a tuple is no part of the module
        self.feature_terms, self.image_terms = list(terms), list(image_terms)

    @property
    def features(self) -> FeatureMaps:
        """The network that is not trained, on this device."""
        return self._eyes[0].to(self.device)

    @abstractmethod
    def restore(self, batch: Sequence[Tensor]) -> Tensor:
        """The picture [1, 3, H, W] of a content, its styles and a guide, by the evaluated weights."""

    def targets(self, batch: Sequence[Tensor]) -> Maps:
        """Maps that the picture of a content, its styles and a guide is to have, where they are not the content's."""
        return {}

    def check_data(self, data: StatesItsData) -> None:
        """The base's; then there must be styles."""
        super().check_data(data)
        if not isinstance(data, HoldsOut):
            raise ValueError(f"{type(data).__name__} has no styles: take a data module of datamodules.style")

    def check_size(self, shape: Sequence[int], setting: str) -> None:
        """Raise ValueError where images of ``shape`` (C, H, W), set by ``setting``, are too small for the network."""
        if min(shape[1:]) < self.features.minimum:
            raise ValueError(
                f"{self.features.title} needs images of {self.features.minimum} px or more, these are "
                f"{shape[2]} x {shape[1]}: make {setting} larger"
            )

    def wanted(self, content: Maps, styles: Maps) -> list[list[Tensor]]:
        """What each term wants of each of its layers: as it is in the maps of the content, or of the styles."""
        found = self.wanted_of(content, style=False) | self.wanted_of(styles, style=True)
        return [found[i] for i in range(len(found))]

    @torch.no_grad()
    def wanted_of(self, maps: Maps, style: bool) -> dict[int, list[Tensor]]:
        """What the ``style`` terms want, or the others, by their places among all: as it is in ``maps``."""
        terms = enumerate(self.feature_terms)
        return {i: term.targets(maps) for i, term in terms if isinstance(term, StyleTerm) == style}

    def judge(
        self, image: Tensor, wanted: Sequence[Sequence[Tensor]], guide: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Each term on ``image`` [N, 3, H, W], by its name."""
        maps = self.features(image)
        pairs = zip(self.feature_terms, wanted, strict=True)
        found = {term.name: term(maps, targets, guide) for term, targets in pairs}
        return found | {term.name: term(image, image) for term in self.image_terms}

    # --- pictures ---------------------------------------------------------------------------------------------

    def predict_step(self, batch: Sequence[Tensor], batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """The picture."""
        return self.restore(batch)

    def held_out(self, most: int) -> Iterator[tuple[Tensor, ...]]:
        """The first of the data's held-out contents, styles and guides, on this device."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        for _, batch in zip(range(most), data.held_out(), strict=False):
            yield tuple(part.to(self.device) for part in batch)

    def panels(self) -> dict[str, Tensor]:
        """``styled``: a row for each of the first held-out pictures: content, styles and the picture, squares of their
        middles, uint8 [rows, 2 + K, 3, side, side]."""
        rows = []
        for batch in self.held_out(SHOWN):
            x, y, _ = batch
            rows.append(torch.cat([square(image, SIDE) for image in (x, *y[0, :, None], self.restore(batch))]))
        return {"styled": to_uint8(torch.stack(rows), self.value_range)} if rows else {}


def square(image: Tensor, side: int) -> Tensor:
    """The middle square of ``image`` [1, C, H, W], resized to ``side`` px for a look at it."""
    S = min(image.shape[2:])
    return interpolate(centre(image, S, S), (side, side), mode="bilinear", antialias=True).clamp(0, 1)

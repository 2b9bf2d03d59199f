"""Super-resolution of one view with the help of others: stereo pairs, and a frame between its neighbours.

Beside the losses between images, terms on how the network matches the views can be named (PASSRnet, Wang et al. 2019,
section 3.3). What it found is pictured at each validation.
"""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from datamodules.functional.precision import full_precision
from datamodules.functional.quantise import to_uint8
from lightning_modules.evaluating import evaluating
from lightning_modules.losses.matching import MatchingLoss
from lightning_modules.losses.terms import require_once
from lightning_modules.networks.base import Alignment, MultiViewUpscaler, StereoUpscaler
from lightning_modules.restoring import centre
from lightning_modules.super_resolution import SuperResolution, scale_between

CROP = 192  # px of the large image, at most: side of a picture
ROW = 0.5  # of the height: where the row lies whose attention is pictured


class MultiViewSuperResolution(SuperResolution):
    """network(y, scale) is to be x, the first of the views y, as it should be.

    Args:
        network: views y [N, V, C, h, w] and the scale to x [N, C, h scale, w scale].
        matching: terms on the network's attention, each of another name; none unless given.
        **shared: the arguments of ``SuperResolution``.

    Raises:
        ValueError: a term twice, or one for row attention and a network without.
    """

    def __init__(self, network: MultiViewUpscaler, matching: Sequence[MatchingLoss] = (), **shared: Any) -> None:
        super().__init__(cast(Any, network), **shared)
        require_once("losses and matching", [*self.losses, *matching])
        rows = [loss.name for loss in matching if loss.rows]
        if rows and not isinstance(network, StereoUpscaler):
            raise ValueError(
                f"matching: {rows[0]} is of row attention, {type(network).__name__} has none; leave it out"
            )
        self.matching = list(matching)
        self.seen: dict[int, tuple[Tensor, Tensor]] = {}  # first pair of each validation set

    def inputs(self, x: Tensor, y: Tensor, *parts: Tensor) -> tuple[Tensor, int]:
        """The views ``y``, and how many times as large ``x`` is."""
        return y, scale_between(x, y[:, 0])

    def examples(self, n: int) -> dict[str, Tensor | int]:
        """As the base, as many views as the network takes."""
        inputs = super().examples(n)
        views = cast(MultiViewUpscaler, self.network).views
        return inputs | {"y": torch.stack([cast(Tensor, inputs["y"])] * views, dim=1)}

    def terms(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """As the base; then the terms on the attention of the same pass."""
        if not self.matching:
            return super().terms(x, y)
        image, alignments = cast(MultiViewUpscaler, self.network).explain(*self.inputs(x, y))
        return {**self.compare(image, x), **{loss.name: loss(alignments) for loss in self.matching}}

    # --- pictures ---------------------------------------------------------------------------------------------

    def validation_step(self, batch: Sequence[Tensor], batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """The restored image in full precision; the first pair of each set is kept for the pictures."""
        if batch_idx == 0:
            self.seen[dataloader_idx] = (batch[0][:1], batch[1][:1])
        with full_precision(self.device):
            return self.restore(batch)

    def panels(self) -> dict[str, Tensor]:
        """``views``: of each set's first pair a row of squares cut from the middle, as ``explained`` says."""
        if not self.seen:
            return {}
        side = min(CROP, *(length for x, _ in self.seen.values() for length in x.shape[2:]))
        return {"views": torch.stack([self.explained(x, y, side) for x, y in self.seen.values()])}

    def explained(self, x: Tensor, y: Tensor, side: int) -> Tensor:
        """Squares from the middle of a pair ``x`` [1, C, H, W], ``y`` [1, V, C, h, w]: uint8 [columns, 3, side, side].

        The reference, small; of each side view itself, what was found of it, where it is valid, and how far off it
        lies (columns, from mid-grey); for row attention also that of a row in the middle; then the image and x.
        """
        scale = scale_between(x, y[:, 0])
        with evaluating(self.evaluated) as net:
            image, alignments = cast(MultiViewUpscaler, net).explain(y, scale)
        shown = [enlarged(y[:, 0], scale)]
        for i, found in enumerate(alignments[: y.shape[1] - 1], start=1):
            shown += [enlarged(part, scale) for part in (y[:, i], found.warped, found.valid, distance(found))]
        if isinstance(net, StereoUpscaler):
            attention = alignments[0].attention
            shown.append(enlarged(attention[:, None, int(ROW * attention.shape[1])].sqrt(), scale))
        squares = (centre(part, side, side).expand(-1, 3, -1, -1) for part in (*shown, image, x))
        return to_uint8(torch.cat(list(squares)), self.value_range).cpu()


def enlarged(image: Tensor, scale: int) -> Tensor:
    """``image`` [1, C, h, w], each pixel a square of ``scale``."""
    return interpolate(image, scale_factor=scale, mode="nearest")


def distance(found: Alignment) -> Tensor:
    """How many columns off a view lies, from black (farthest left) to white (farthest right): [1, 1, h, w]."""
    shift = found.shift[:, 1:] * found.valid
    return 0.5 + 0.5 * shift / shift.abs().max().clamp_min(1)

"""PSNR and SSIM of restored images against those they should be, at each validation and at a test.

Each set has its own shave where that is the scale. A set's score is the mean of its images' own.
"""

import typing
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import lightning as L
import torch
from torch import Tensor, nn

from datamodules.functional.quantise import ValueRange, to_uint8
from lightning_modules.callbacks.pair_scores import NamedPairs, PairScores
from lightning_modules.metrics.fidelity.detail import detail
from lightning_modules.metrics.fidelity.distances import SetDistances
from lightning_modules.metrics.fidelity.labels import LabelScores, Palette, find_palette
from lightning_modules.metrics.fidelity.metrics import Fidelity, Measure
from lightning_modules.metrics.fidelity.pixelwise import mae, psnr
from lightning_modules.metrics.fidelity.protocol import Colour, FidelityProtocol
from lightning_modules.metrics.fidelity.spread import AnswerSpread
from lightning_modules.metrics.fidelity.ssim import ssim
from lightning_modules.metrics.fidelity.unclipped import UnclippedPSNR
from lightning_modules.metrics.protocol import QUANTISATION
from lightning_modules.metrics.ranks import gathered

MEASURES = {"psnr": psnr, "ssim": ssim}
DETAIL = {"detail": detail}
MAE = {"mae": mae}
BACK = "/back"  # of the other way's scores, after the set's name


@typing.runtime_checkable
class Restores(typing.Protocol):
    """What the callback asks of a family beside what all families have.

    Its ``validation_step`` returns the image; or two, of which the second is to be compared with ``batch[1]``.
    """

    value_range: ValueRange

    def restore(self, batch: Sequence[Tensor]) -> Tensor:
        """Images [N, C, H, W] in ``value_range``, to be compared with ``batch[0]``."""
        ...


@typing.runtime_checkable
class DrawsAnswers(typing.Protocol):
    """What the callback asks of a family of which one image has many answers."""

    def draws(self, batch: Sequence[Tensor], n: int) -> Tensor:
        """``n`` answers to each image of a batch, [n, N, C, H, W]."""
        ...


@typing.runtime_checkable
class AnswersBothWays(typing.Protocol):
    """What the callback asks of a family that makes images of either kind of the other."""

    @property
    def directions(self) -> Mapping[str, nn.Module]:
        """The evaluated networks, by what each makes."""
        ...


@typing.runtime_checkable
class WithHole(typing.Protocol):
    """A batch that says which pixels were missing."""

    hole: Tensor


class Found(NamedTuple):
    """What of a set's scores only its images tell."""

    hole: bool = False  # whether pixels were missing
    spread_of_holes: bool | None = None  # whether the spread of answers is of holes; None without several answers
    shape: tuple[int, ...] | None = None  # of the images, where the sets' distances are asked for


class SetScores:
    """All scores of one set of pairs, in one direction.

    Args:
        protocol: what of the images is compared.
        measures: of single images, by name.
        unclipped: the floats' PSNR too.
        distances: those of the sets too.
        aligned: PSNR and SSIM of images brought to the right mean too.
        labels: the palette of images that are label maps.
        device: where it is computed.
    """

    def __init__(
        self,
        protocol: FidelityProtocol,
        measures: Mapping[str, Measure],
        unclipped: bool,
        distances: bool,
        aligned: bool,
        labels: Palette | None,
        device: torch.device,
    ) -> None:
        self.images = Fidelity(protocol, measures).to(device)
        self.floats = UnclippedPSNR(protocol).to(device) if unclipped else None
        self.distances = SetDistances().to(device) if distances else None
        self.aligned = Fidelity(replace(protocol, aligned=True), MEASURES).to(device) if aligned else None
        self.labels = LabelScores(labels).to(device) if labels is not None else None
        self.hole: Fidelity | None = None
        self.spread: AnswerSpread | None = None

    @property
    def found(self) -> Found:
        """What only images tell, of those that were added."""
        of_holes = None if self.spread is None else self.spread.holes
        return Found(self.hole is not None, of_holes, None if self.distances is None else self.distances.shape)

    def begin(self, found: Found) -> None:
        """Have what another rank has ``found``: all of them must enter the same collective calls."""
        device = self.images.device
        if found.hole and self.hole is None:
            self.hole = Fidelity(replace(self.images.protocol, hole=True), {"psnr": psnr}).to(device)
        if found.spread_of_holes is not None and self.spread is None:
            self.spread = AnswerSpread(found.spread_of_holes).to(device)
        if found.shape is not None and self.distances is not None:
            self.distances.begin(found.shape)

    def update_spread(self, answers: Tensor, value_range: ValueRange, hole: Tensor | None) -> None:
        """Add several answers to each image, [n, N, C, H, W]."""
        self.begin(Found(spread_of_holes=hole is not None))
        assert self.spread is not None
        self.spread.update(answers, value_range, hole)

    def update(self, made: Tensor, right: Tensor, value_range: ValueRange, hole: Tensor | None) -> None:
        """Add images [N, C, H, W] in ``value_range``, and which of their pixels were missing, if any."""
        made_bytes, right_bytes = (to_uint8(image, value_range) for image in (made, right))
        self.images.update(made_bytes, right_bytes)
        if self.floats is not None:
            self.floats.update(made, right, value_range)
        if self.aligned is not None:
            self.aligned.update(made_bytes, right_bytes)
        if self.distances is not None:
            self.distances.update(made_bytes, right_bytes)
        if self.labels is not None:
            self.labels.update(made_bytes, right_bytes)
        if hole is not None:
            self.begin(Found(hole=True))
            assert self.hole is not None
            self.hole.update(made_bytes, right_bytes, hole)

    def as_floats(self) -> dict[str, float]:
        """The scores, over all ranks."""
        found = (self.images, self.floats, self.aligned, self.hole, self.distances, self.labels, self.spread)
        return {name: value for metric in found if metric is not None for name, value in metric.as_floats().items()}


class FidelityScores(PairScores[SetScores]):
    """Scores each set of pairs as ``<set>/psnr@<protocol>`` and ``<set>/ssim@<protocol>``.

    Of a family that answers both ways the other one's are ``<set>/back/psnr@<protocol>`` and so on.
    Where a batch has a part ``hole`` (bool [N, 1, H, W]), its pixels alone are scored too:
    ``<set>/psnr@<protocol>-hole``.

    Args:
        colour: what of the images is compared: see ``FidelityProtocol``.
        shave: pixels left out at each side, or "scale" for as many as the set's scale.
        unclipped: score the floats before they become bytes too, as ``<set>/psnr@<protocol>-unclipped``.
        detail: score the energy of fine detail beside that of the right image too, as ``<set>/detail@<protocol>``.
        distances: score the mean absolute error too, and how far the sets are from each other by texture and spectrum:
            ``<set>/mae@<protocol>``, ``<set>/swd`` and ``<set>/spectrum``; for images of one size.
        aligned: score images brought to the right one's mean too, as ``<set>/psnr@<protocol>-aligned`` and so on; the
            names never mix, since alignment alone is worth 2 dB and more.
        labels: where the images are label maps, their palette: "facades", or the classes' colours as #rrggbb; scores
            how many pixels are of the right class as ``<set>/pixel_accuracy@facades`` and so on: see ``LabelScores``.
        back_labels: likewise of the other way's images.
        answers: drawn of each image where a family has many, for how far they are from each other: ``<set>/spread``, or
            ``<set>/spread-hole`` and ``<set>/spread-known`` where pixels were missing. 0 draws none.

    Raises:
        ValueError: for a shave below 0, luma of what is not clamped or is aligned, an unknown palette, or one answer;
            in ``setup``, for a family that restores nothing, has one answer where several are asked or answers one way
            alone, or data without pairs.
    """

    key = "fidelity"

    def __init__(
        self,
        colour: Colour = "y8",
        shave: int | Literal["scale"] = "scale",
        unclipped: bool = False,
        detail: bool = False,
        distances: bool = False,
        aligned: bool = False,
        answers: int = 0,
        labels: str | list[str] | None = None,
        back_labels: str | list[str] | None = None,
    ) -> None:
        super().__init__()
        if answers < 0 or answers == 1:
            raise ValueError(f"fidelity.answers is {answers}: give 2 or more, which can differ, or 0")
        self.answers = answers
        self.measures = MEASURES | (DETAIL if detail else {}) | (MAE if distances else {})
        self.distances, self.aligned = distances, aligned
        self.colour, self.shave, self.unclipped = colour, shave, unclipped
        palettes = {"labels": labels, "back_labels": back_labels}
        self.palettes = {key: None if given is None else find_palette(given) for key, given in palettes.items()}
        refused_now = self._protocol(scale=1)  # and not in the first validation
        if unclipped:
            UnclippedPSNR(refused_now)
        if aligned:
            replace(refused_now, aligned=True)

    def _protocol(self, scale: int) -> FidelityProtocol:
        return FidelityProtocol(self.colour, scale if self.shave == "scale" else self.shave)

    @property
    def described(self) -> dict[str, Any]:
        """Colour, shave and quantisation, whose weights, and of each set the count and hash of its images."""
        return {
            "colour": self.colour,
            "shave": self.shave,
            "quantisation": f"{QUANTISATION}; none where unclipped" if self.unclipped else QUANTISATION,
            **{key: list(of.colours) for key, of in self.palettes.items() if of is not None},
            **self.data_described,
        }

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Compare module and data with what is to be measured, before training starts."""
        if not isinstance(pl_module, Restores):
            raise ValueError(
                f"fidelity: scores images that are restored, not a {type(pl_module).__name__}; set it to null"
            )
        if self.answers and not isinstance(pl_module, DrawsAnswers):
            raise ValueError(f"fidelity.answers: a {type(pl_module).__name__} has one answer to an image; set it to 0")
        both_ways = isinstance(pl_module, AnswersBothWays) and len(pl_module.directions) > 1
        if self.palettes["back_labels"] is not None and not both_ways:
            raise ValueError(f"fidelity.back_labels: a {type(pl_module).__name__} answers one way alone; set labels")
        super().setup(trainer, pl_module, stage)

    def fresh(self, data: NamedPairs, device: torch.device, back: str = "") -> SetScores:
        """No scores yet of a set; with ``BACK``, of the other way's images."""
        protocol, labels = self._protocol(data.scale), self.palettes["back_labels" if back else "labels"]
        return SetScores(protocol, self.measures, self.unclipped, self.distances, self.aligned, labels, device)

    def agree(self, module: L.LightningModule) -> None:
        """Have all sets and ways that any rank has: one may have seen no image of a set."""
        of_ranks = gathered({name: scores.found for name, scores in self.scored.items()})
        names = dict.fromkeys(name for rank in of_ranks for name in rank)
        parts = {f"{of.name}{back}": (of, module.device, back) for of in self.sets for back in ("", BACK)}
        self.scored = {name: self.scored.get(name) or self.fresh(*parts[name]) for name in names}
        for rank in of_ranks:
            for name, found in rank.items():
                self.scored[name].begin(found)

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Sequence[Tensor],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Quantise the images that one batch of a set was restored to, and compare."""
        with self.refusal.noted():
            self.add(pl_module, outputs, batch, self.sets[dataloader_idx])

    def add(self, pl_module: L.LightningModule, outputs: Any, batch: Sequence[Tensor], data: NamedPairs) -> None:
        """Compare the images, ``outputs``, that a ``batch`` of ``data`` was restored to."""
        assert isinstance(pl_module, Restores)
        hole = batch.hole if isinstance(batch, WithHole) else None
        answers: Sequence[Tensor] = outputs if isinstance(outputs, tuple) else (outputs,)
        for back, made, right in zip(("", BACK), answers, batch, strict=False):
            name = f"{data.name}{back}"
            if name not in self.scored:
                self.scored[name] = self.fresh(data, made.device, back)
            self.scored[name].update(self.finite(made, data), right, pl_module.value_range, hole)
        if self.answers:
            assert isinstance(pl_module, DrawsAnswers)
            drawn = pl_module.draws(batch, self.answers)
            self.scored[data.name].update_spread(drawn, pl_module.value_range, hole)

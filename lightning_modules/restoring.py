"""What families share that make an image x of a condition y, be they trained by one player or by two.

A named sum of losses between their image and x, the answer that scores and predictions look at, and pictures of it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from datamodules.functional.keys import key, seed_streams
from datamodules.functional.precision import full_precision
from datamodules.functional.quantise import to_uint8
from lightning_modules.base import AtelierModule
from lightning_modules.losses.reconstruction import ReconstructionLoss
from lightning_modules.losses.terms import require_once
from lightning_modules.networks.base import Network

Reads = Literal["rgb", "luma", "grey"]

PICTURES, CROP = 4, 128  # images of a panel, and their side in px, at most
EXAMPLE = 48  # px
ANSWER_STREAM = int.from_bytes(b"answer")  # keys the noise of evaluation apart from all other


class Restoring(AtelierModule):
    """A family whose evaluated network is given y, or what ``inputs`` makes of the batch, and answers with x.

    Attributes:
        colour: what y is of a picture: three channels, BT.601 luma in 16/255 to 235/255, or full-range grey.
        losses: terms between the answer and x.
        margin: pixels at each side that they leave out.
    """

    value_range = (0.0, 1.0)
    colour: Reads = "rgb"
    losses: Sequence[ReconstructionLoss] = ()
    margin: int = 0
    _shown: tuple[tuple[Tensor, ...], ...] = ()  # the rows of pictures: of the first images of a validation's first set

    def compare_by(self, losses: Sequence[ReconstructionLoss], margin: int = 0) -> None:
        """Take ``losses`` and ``margin``.

        Raises:
            ValueError: two losses bear one name.
        """
        require_once("losses", losses)
        self.losses, self.margin = list(losses), margin

    def compare(self, prediction: Tensor, x: Tensor) -> dict[str, Tensor]:
        """Each loss between ``prediction`` and ``x`` [N, C, H, W], by its name.

        A network that pads nothing puts out less than x: what is compared is the middle of x, less the margin.
        """
        H, W = (side - 2 * self.margin for side in x.shape[2:])
        H, W = min(H, prediction.shape[2]), min(W, prediction.shape[3])
        prediction, x = centre(prediction, H, W), centre(x, H, W)
        return {loss.name: loss(prediction, x) for loss in self.losses}

    def inputs(self, x: Tensor, y: Tensor, *parts: Tensor) -> tuple[Any, ...]:
        """What of a batch the network is given: the condition."""
        return (y,)

    def restore(self, batch: Sequence[Tensor]) -> Tensor:
        """The evaluated network's image of a batch (x, y), to be compared with x.

        Where a network of colours is given a grey image three times, x is grey: its three answers are averaged.
        """
        answer: Tensor = self(*self.inputs(*batch))
        grey = batch[0].shape[1] == 1 < answer.shape[1]
        return answer.mean(1, keepdim=True) if grey else answer

    def examples(self, n: int) -> dict[str, Tensor | int]:
        """What the network takes, by name: ``n`` small pictures of noise, [n, C, h, w]."""
        return {"y": torch.rand(n, 3 if self.colour == "rgb" else 1, self.example_side, self.example_side)}

    @property
    def example_side(self) -> int:
        """The least side in px of an example that the network takes, but no smaller than 48."""
        multiple = self.net.multiple if isinstance(self.net, Network) else 1
        return -(-EXAMPLE // multiple) * multiple

    @property
    def directions(self) -> Mapping[str, nn.Module]:
        """The evaluated networks from one picture to another, by what they make; the first is ``restore``'s."""
        return {"x": self.evaluated}

    def predict_step(self, batch: Sequence[Tensor], batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """The evaluated network's image of the condition."""
        return self.restore(batch)

    def seed_answer(self, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Key what a network draws in evaluation by the pair: the same at every validation and on any ranks."""
        rank, ranks = (self.global_rank, self.trainer.world_size) if self._trainer is not None else (0, 1)
        seed_streams(key(self.seed, ANSWER_STREAM, dataloader_idx, batch_idx * ranks + rank), self.device)

    # --- pictures ---------------------------------------------------------------------------------------------

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """The restored image in full precision, for the callbacks; of the first set, the first ones are kept for the
        pictures."""
        self.seed_answer(batch_idx, dataloader_idx)
        with full_precision(self.device):
            answer = self.restore(batch)
        if dataloader_idx == 0 and batch_idx < PICTURES:
            row = (*y_beside(*batch[:2]), answer.float(), batch[0])
            self._shown = (*(self._shown if batch_idx else ()), tuple(image[:1] for image in row))
        return answer

    def panels(self) -> dict[str, Tensor]:
        """``restored``: once a validation set was seen, a row for each of its first images: y at the size of x,
        the answer, and x; squares from the middle, uint8 [rows, 3, C, side, side]."""
        if not self._shown:
            return {}
        side = min(CROP, *(length for row in self._shown for image in row for length in image.shape[2:]))
        C = max(image.shape[1] for row in self._shown for image in row)
        squares = [torch.cat([centre(image, side, side).expand(-1, C, -1, -1) for image in row]) for row in self._shown]
        return {"restored": to_uint8(torch.stack(squares), self.value_range)}


def y_beside(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    """``y`` [N, D, h, w] with each pixel repeated up to the size of ``x``, if it is an image; of a picture beside its
    trimap the one and the other."""
    if y.ndim == 4 and y.shape[1] == 4:
        return y[:, :3], y[:, 3:]
    if y.ndim != 4 or y.shape[1] not in (1, 3):
        return ()
    return (interpolate(y, size=x.shape[2:], mode="nearest-exact"),)


def centre(x: Tensor, H: int, W: int) -> Tensor:
    """The middle H x W pixels of ``x`` [N, C, ...]; of an odd rest, one more is left out below and on the right."""
    top, left = (x.shape[2] - H) // 2, (x.shape[3] - W) // 2
    return x[:, :, top : top + H, left : left + W]

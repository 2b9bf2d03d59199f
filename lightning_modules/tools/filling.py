"""An inpainting run applied to pictures as they are: grey or colour, 8 or 16 bit, of any size that its network takes.

A grey picture is given three times, and the mean of the three answers taken. Sides that are no multiples of what the
network needs are mirrored beyond the edge, hole and all, and cut off again. What is known stays as it is, bit by bit.
"""

import torch
from torch import Tensor

from datamodules.functional.borders import mirrored
from lightning_modules.inpainting import Filling, composed
from lightning_modules.networks.base import Filler
from lightning_modules.tools.ensemble import SelfEnsemble
from lightning_modules.tools.restoration import quantised, unit
from lightning_modules.tools.tiles import Restoration

Colour = tuple[float, float, float]  # in [0, 1]
BLACK: Colour = (0.0, 0.0, 0.0)


class HoleFiller:
    """Fills the holes of pictures, each in one piece.

    Args:
        module: whose evaluated network fills them. It is put into evaluation mode.
        colour: what the network is given in the hole, as in training.
        ensemble: whether the answer is the mean over eight turns of picture and hole.
    """

    scale = 1

    def __init__(self, module: Filling, colour: Colour = BLACK, ensemble: bool = False) -> None:
        self.module, self.device = module.eval().requires_grad_(False), module.device
        net = module.net
        self.multiple, self.size = (net.multiple, net.size) if isinstance(net, Filler) else (1, None)
        self.colour = torch.tensor(colour).view(1, 3, 1, 1)
        answer: Restoration = self._ask
        self.answer = SelfEnsemble(answer) if ensemble else answer

    def picture(self, pixels: Tensor, hole: Tensor) -> Tensor:
        """The whole picture, of the type of ``pixels`` [1, C, H, W], C 1 or 3, which are missing where ``hole`` (bool
        [1, 1, H, W]) is True. What a network draws is the same for every picture.

        Raises:
            ValueError: the network fills no picture of this size, or no such hole.
        """
        H, W = pixels.shape[2:]
        if self.size not in (None, H) or self.size not in (None, W):
            name = type(self.module.net).__name__
            raise ValueError(f"it is {W} x {H} px, and this {name} fills {self.size} x {self.size} px alone")
        self.module.seed_answer(0)
        y = torch.where(hole, self.colour, unit(pixels))
        made = self.answer(torch.cat([y, hole.float()], 1).to(self.device)).float().cpu()
        made = made if pixels.shape[1] == 3 else made.mean(1, keepdim=True)
        return composed(quantised(made, pixels.dtype), pixels, hole)

    def _ask(self, given: Tensor) -> Tensor:
        """The answer to y and the hole side by side, [1, 4, H, W], so that both are turned alike."""
        H, W = given.shape[2:]
        given = mirrored(given, self.multiple)
        y, hole = given[:, :3], given[:, 3:] > 0
        return self.module.restore((y, y, hole))[:, :, :H, :W]

"""Perceptual loss: images are compared by what a trained network sees in them (Johnson et al. 2016; Bruna et al. 2016).

The network is handed over and stays as it is. SRGAN (Ledig et al. 2017, section 3.2) takes the squared distance of
VGG19's conv5_4 after its ReLU, of features times 1 / 12.75, which makes 0.006 of the distance. ESRGAN (Wang et al.
2018, section 3.2) takes them before the ReLU, with L1 in the authors' code, and no factor.
"""

from typing import cast

import torch
from torch import Tensor, nn

from lightning_modules.losses.reconstruction import MSE, ReconstructionLoss


class Perceptual(ReconstructionLoss):
    """A distance of features.

    Args:
        network: images [N, C, H, W] in [0, 1] to features [N, ...]; it is frozen and runs in full precision.
        weight: of the term.
        distance: of the features; their mean squared one unless given.
        factor: of the features before they are compared.
    """

    name = "perceptual"

    def __init__(
        self,
        network: nn.Module,
        weight: float = 1.0,
        distance: ReconstructionLoss | None = None,
        factor: float = 1 / 12.75,
    ) -> None:
        super().__init__(weight)
        self.network = network.requires_grad_(False).eval()
        self.distance, self.factor = distance or MSE(), factor

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """weight * distance(factor * f(prediction), factor * f(target)); no gradient reaches the target."""
        network = self.network.to(prediction.device)
        with torch.autocast(prediction.device.type, enabled=False):
            with torch.no_grad():
                wanted = cast(Tensor, network(target.float()))
            seen = cast(Tensor, network(prediction.float()))
            return self.weight * self.distance(self.factor * seen, self.factor * wanted)

"""The losses of EnlightenGAN (Jiang et al. 2021, section 3.2) that others do not have.

- ``RelativisticAverageLeastSquares`` (eq. 3 and 4), for its global D: which kind looks more real than the other's mean.
- ``SelfFeaturePreserving`` (eq. 7): the answer is to show what the dark image shows.
"""

from torch import Tensor, nn
from torch.nn.functional import instance_norm

from lightning_modules.losses.adversarial import Relativistic
from lightning_modules.losses.perceptual import Perceptual
from lightning_modules.losses.reconstruction import ReconstructionLoss


class RelativisticAverageLeastSquares(Relativistic):
    """Squared distances of each logit from 1, or 0, more than the mean of the other kind (RaLSGAN).

    Deviations: the released code halves both objectives; means are those of the samples judged together.
    """

    def d(self, real: Tensor, fake: Tensor) -> Tensor:
        """(D(x) - E D(G(y)) - 1)^2 + (D(G(y)) - E D(x))^2."""
        return (real - fake.mean() - 1).square().mean() + (fake - real.mean()).square().mean()


class InstanceNormalised(nn.Module):
    """What a network sees, each map of each image with mean 0 and variance 1: its level and contrast are gone.

    Args:
        network: images to features [N, C, h, w].
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """The normalised features [N, C, h, w] of ``x`` [N, 3, H, W] in [0, 1]."""
        found: Tensor = self.network(x)
        if found.ndim != 4 or found[0, 0].numel() < 2:
            raise ValueError(
                f"{type(self.network).__name__} gives features of shape {tuple(found.shape)}: instance norm needs maps "
                "[N, C, h, w] of more than one value, such as VGG19's"
            )
        return instance_norm(found)


class SelfFeaturePreserving(Perceptual):
    """The distance between answer and dark image in what a network sees of either, normalised (section 3.2).

    ``networks.identity.Identity`` is the network where no weights are to be had: instance-normalised pixels then, which
    forgive any gain and offset of a channel and nothing else.

    Args:
        network: images [N, 3, H, W] in [0, 1] to features [N, C, h, w]; VGG16's relu5_1 in the paper.
        weight: of the term.
        distance: of the normalised features; their mean squared one unless given.
    """

    name = "self_features"

    def __init__(self, network: nn.Module, weight: float = 1.0, distance: ReconstructionLoss | None = None) -> None:
        super().__init__(InstanceNormalised(network), weight, distance, factor=1.0)

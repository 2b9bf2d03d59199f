"""Named initialisers: how a network's first weights are drawn.

An experiment names one as ``init: {class_path: lightning_modules.networks.init.Orthogonal}``; without it a network is
initialised as the source of its architecture says. All act on one layer, so that ``net.apply(init)`` does a whole
network, and none on a layer that already has spectral norm: its ``weight`` is computed, not drawn.
"""

from abc import ABC, abstractmethod

from torch import Tensor, nn

LAYERS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.Embedding)


class Initialiser(ABC):
    """Weights of convolutions, linear layers and embeddings by ``draw``; their biases 0. Norms stay at scale 1."""

    def __call__(self, module: nn.Module) -> None:
        """Draw the weights of one layer; any other module stays as it is."""
        if isinstance(module, LAYERS):
            self.draw(module.weight)
            if not isinstance(module, nn.Embedding) and module.bias is not None:
                nn.init.zeros_(module.bias)

    @abstractmethod
    def draw(self, weight: Tensor) -> None:
        """Fill ``weight`` in place from the global random stream."""


class Normal(Initialiser):
    """N(0, std^2), as GANs have it since DCGAN.

    Args:
        std: standard deviation.
    """

    def __init__(self, std: float = 0.02) -> None:
        self.std = std

    def draw(self, weight: Tensor) -> None:
        """As in the class."""
        nn.init.normal_(weight, 0.0, self.std)


class DCGAN(Normal):
    """Radford et al. 2016, section 4: weights N(0, 0.02), and what their code adds, batch norm's scale N(1, 0.02).

    Biases stay as torch draws them: the paper names none.

    Args:
        std: standard deviation of weights and scales.
    """

    def __call__(self, module: nn.Module) -> None:
        """Draw the weights of one layer, or the scale of one batch norm."""
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, self.std)
            nn.init.zeros_(module.bias)
        elif isinstance(module, LAYERS):
            self.draw(module.weight)


class Xavier(Initialiser):
    """Glorot and Bengio 2010, uniform: variance gain^2 * 2 / (fan in + fan out).

    Args:
        gain: 1, or the square root of 2 before a ReLU (SNGAN's residual convolutions).
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def draw(self, weight: Tensor) -> None:
        """As in the class."""
        nn.init.xavier_uniform_(weight, self.gain)


class He(Initialiser):
    """He et al. 2015, normal: variance 2 / ((1 + slope^2) * fan in); torch takes a transposed convolution's fan out.

    Args:
        slope: of the leaky ReLU that follows; 0 for a ReLU.
    """

    def __init__(self, slope: float = 0.0) -> None:
        self.slope = slope

    def draw(self, weight: Tensor) -> None:
        """As in the class."""
        nn.init.kaiming_normal_(weight, a=self.slope)


class Orthogonal(Initialiser):
    """Saxe et al. 2014: the weight as a matrix has orthonormal rows or columns, times ``gain`` (BigGAN, StudioGAN).

    Args:
        gain: every singular value.
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def draw(self, weight: Tensor) -> None:
        """As in the class."""
        nn.init.orthogonal_(weight, self.gain)

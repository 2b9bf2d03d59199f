"""Spectral norm (Miyato et al. 2018) on every layer of a network, of either player.

One power iteration in each forward that is trained through, as in the paper's algorithm 1; none in evaluation mode or
without gradients. Not torch's own parametrisation: that updates its vectors in place, which a compiled network that is
called twice before the backward does not survive, and follows autocast into half precision.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp.autocast_mode import is_autocast_available
from torch.nn import functional as F
from torch.nn.utils import parametrize

from lightning_modules.networks.init import LAYERS, Initialiser

FIRST_ITERATIONS = 15  # before the first forward, as torch has it
EPSILON = 1e-12  # least length that a vector is divided by


def full_precision(device: torch.device) -> AbstractContextManager[Any]:
    """Without autocast; ``meta`` knows none."""
    return torch.autocast(device.type, enabled=False) if is_autocast_available(device.type) else nullcontext()


class SpectralNorm(nn.Module):
    """W -> W / sigma, sigma the largest singular value of W as a matrix of its outputs by all else.

    Its state has the names of torch's parametrisation, so that either reads the other's checkpoints.

    Args:
        weight: what the power iteration starts from.
        output_dim: the dimension of ``weight`` that counts outputs.
    """

    _u: Tensor  # [outputs], left singular vector
    _v: Tensor  # [inputs], right singular vector

    def __init__(self, weight: Tensor, output_dim: int = 0) -> None:
        super().__init__()
        self.output_dim = output_dim
        matrix = self.matrix(weight.detach())
        self.register_buffer("_u", F.normalize(torch.randn_like(matrix[:, 0]), dim=0, eps=EPSILON))
        self.register_buffer("_v", F.normalize(torch.randn_like(matrix[0]), dim=0, eps=EPSILON))
        for _ in range(0 if weight.is_meta else FIRST_ITERATIONS):  # on meta there is nothing to find, and it is slow
            self.iterate(matrix)

    def matrix(self, weight: Tensor) -> Tensor:
        """``weight`` as [outputs, inputs]."""
        return weight.transpose(0, self.output_dim).flatten(1)

    @torch.no_grad()
    def iterate(self, matrix: Tensor) -> None:
        """One power iteration on ``matrix``; an earlier forward's backward keeps the vectors it was computed with."""
        self._u = F.normalize(matrix.mv(self._v), dim=0, eps=EPSILON)
        self._v = F.normalize(matrix.t().mv(self._u), dim=0, eps=EPSILON)

    def forward(self, weight: Tensor) -> Tensor:
        """The normalised weight, of the shape and type of ``weight``."""
        with full_precision(weight.device):
            matrix = self.matrix(weight)
            if self.training and torch.is_grad_enabled():
                self.iterate(matrix)
            return weight / self._u.dot(matrix.mv(self._v))


def normalise_spectra(net: nn.Module) -> None:
    """Divide every weight of convolutions, linear layers and embeddings by its largest singular value.

    To be called after initialisation: the weights that ``net`` has by now start the iteration.
    """
    for module in list(net.modules()):
        if isinstance(module, LAYERS):
            output_dim = int(isinstance(module, nn.ConvTranspose2d))
            parametrize.register_parametrization(module, "weight", SpectralNorm(module.weight, output_dim))


def initialise(net: nn.Module, init: Initialiser | None, spectral_norm: bool) -> None:
    """Draw the weights of ``net`` by ``init``, or leave them, and normalise their spectra where asked to: last."""
    if init is not None:
        net.apply(init)
    if spectral_norm:
        normalise_spectra(net)

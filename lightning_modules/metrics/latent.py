"""How well an encoder inverts a generator: E(G(z)) beside z, dimension by dimension.

``latent_correlation`` is Pearson's, averaged over the dimensions of z, so that a code that is right but for scale and
shift has 1; a dimension in which either never moves has 0. ``latent_l1`` is the mean distance.
"""

import torch
from torch import Tensor
from torchmetrics import Metric


class LatentAgreement(Metric):
    """``latent_correlation`` and ``latent_l1`` of a stream of codes, in constant memory and float64.

    Args:
        z_dim: length of z.
    """

    is_differentiable = False
    full_state_update = False
    count: Tensor
    distance: Tensor
    sums: Tensor  # [5, z_dim]: of z, of the codes c, of z^2, of c^2, of zc

    def __init__(self, z_dim: int) -> None:
        super().__init__()
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("distance", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("sums", torch.zeros(5, z_dim, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, z: Tensor, code: Tensor) -> None:
        """Add noise ``z`` and its ``code``, [N, z_dim] each."""
        z, code = z.double(), code.double()
        self.count += len(z)
        self.distance += (z - code).abs().sum()
        self.sums += torch.stack([part.sum(0) for part in (z, code, z * z, code * code, z * code)])

    def compute(self) -> dict[str, Tensor]:
        """Over all ranks, scalars, float64.

        Raises:
            ValueError: before the first code.
        """
        if not self.count:
            raise ValueError("Agreement of no codes: update the metric first.")
        z, code, zz, cc, zc = self.sums / self.count
        spread = ((zz - z * z).clamp_min(0) * (cc - code * code).clamp_min(0)).sqrt()
        moving = spread > 1e-12  # below is what rounding leaves of a constant
        correlation = torch.where(moving, (zc - z * code) / spread, 0.0)
        return {
            "latent_correlation": correlation.mean(),
            "latent_l1": self.distance / (self.count * self.sums.shape[1]),
        }

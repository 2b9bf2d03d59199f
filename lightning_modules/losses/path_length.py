"""Path length regularisation (Karras et al. 2020, "Analyzing and improving the image quality of StyleGAN", eq. 4).

    weight * E (|J_w^T y| - a)^2,   y ~ N(0, I) / sqrt(H W) in image space, a the running mean of |J_w^T y|

so that a step of one length in w changes the image by as much, wherever it is taken. Deviation: a is a constant to the
gradient, where in the published code a hundredth of it is not; and it is that of all ranks' images, where there each
rank has its own.
"""

import torch
import torch.distributed as dist
from torch import Tensor, nn

EPSILON = 1e-12  # below it the root has no slope


class PathLength(nn.Module):
    """The term and the running mean.

    Args:
        weight: of the term.
        every: update of G at which it is due.
        decay: how much of the way to a batch's mean length the running mean goes.
        shrink: how many times smaller than the batch the one is that it looks at.
        autocast: let G run in the trainer's precision for it instead of fp32.
    """

    mean: Tensor

    def __init__(
        self, weight: float = 2.0, every: int = 4, decay: float = 0.01, shrink: int = 2, autocast: bool = False
    ) -> None:
        super().__init__()
        if weight < 0 or every < 1 or shrink < 1 or not 0 < decay <= 1:
            raise ValueError(
                f"PathLength: give a weight of 0 or more, every and shrink of 1 or more, and a decay in (0, 1]; got "
                f"{weight}, {every}, {shrink} and {decay}"
            )
        self.weight, self.every, self.decay, self.shrink, self.autocast = weight, every, decay, shrink, autocast
        self.register_buffer("mean", torch.zeros(()))

    def share(self, n: int) -> int:
        """How many of ``n`` images it looks at."""
        return max(1, n // self.shrink)

    def forward(self, image: Tensor, styles: Tensor) -> Tensor:
        """The term, a scalar, of an ``image`` [N, C, H, W] made of ``styles`` [N, L, w_dim]; the mean follows."""
        lengths = path_lengths(image, styles)
        with torch.no_grad():
            mean = lengths.mean()
            if dist.is_available() and dist.is_initialized():
                dist.all_reduce(mean)
                mean /= dist.get_world_size()
            self.mean.lerp_(mean, self.decay)
        return self.weight * (lengths - self.mean.clone()).square().mean()


def path_lengths(image: Tensor, styles: Tensor) -> Tensor:
    """|J^T y| for one y each, N(0, 1) / sqrt(H W): [N], differentiable.

    The squares are summed over w and averaged over the layers, as in the published code.
    """
    noise = torch.randn_like(image) / (image.shape[2] * image.shape[3]) ** 0.5
    (gradient,) = torch.autograd.grad((image * noise).sum(), styles, create_graph=True)
    return gradient.float().square().sum(2).mean(1).clamp_min(EPSILON).sqrt()

"""Probabilities that follow D: as much augmentation as its overfitting needs (Karras et al. 2020, section 3).

The sign of D's logits of reals tells: r = E[sign D(x)] is 0 for a D that cannot know and 1 for one that is always sure.
Every few steps p moves up where r lies above its target and down where it lies below, so fast that it could go from 0
to 1 in so many thousand images. The sign must mean something: under a relativistic loss or a critic's, whose scores
have no zero, ``Pipeline`` with a p of its own is the choice.
"""

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn

from lightning_modules.augment.base import Augmentation, PseudoReals
from lightning_modules.augment.pipeline import Operation, Pipeline


class Following(nn.Module):
    """A probability ``p`` that follows D; it starts at 0."""

    chart: str  # what its values are logged under
    p: Tensor
    heard: Tensor  # since the last move, on this rank: sum of signs, number of verdicts, number of images

    def follow(self, target: float, kimg: float, every: int, ceiling: float) -> None:
        """Set how p follows: see ``ADA``.

        Raises:
            ValueError: what is no mean of signs, no length, or no probability.
        """
        name = type(self).__name__
        if not -1 < target < 1:
            raise ValueError(f"{name}: target is a mean of signs between -1 and 1, got {target}")
        if kimg <= 0 or every < 1:
            raise ValueError(f"{name}: kimg must be above 0 and every 1 or more, got {kimg} and {every}")
        if not 0 <= ceiling <= 1:
            raise ValueError(f"{name}: ceiling is a probability in [0, 1], got {ceiling}")
        self.target, self.kimg, self.every, self.ceiling = target, kimg, every, ceiling
        self.register_buffer("heard", torch.zeros(3))

    @torch.no_grad()
    def observe(self, real_logits: Tensor, images: int) -> None:
        """Add the signs of ``real_logits``, D's verdicts on ``images`` reals as it was shown them."""
        signs = real_logits.detach().sign()
        self.heard[0] += signs.sum()
        self.heard[1] += signs.numel()  # plain numbers: a tensor of them would halt the stream to be copied
        self.heard[2] += images

    @torch.no_grad()
    def adapt(self, step: int) -> dict[str, Tensor]:
        """Move p if ``step`` (from 1) is one of those, by what all ranks have heard; charts p and r."""
        sign = self.heard[0] / self.heard[1].clamp_min(1)
        if step % self.every == 0:
            total = self.heard.clone()
            if dist.is_available() and dist.is_initialized():
                dist.all_reduce(total)
            direction = (total[0] / total[1].clamp_min(1) - self.target).sign()
            self.p.add_(direction * total[2] / (1000 * self.kimg)).clamp_(0, self.ceiling)
            self.heard.zero_()
        return {f"{self.chart}/p": self.p, f"{self.chart}/sign": sign}


class ADA(Following, Pipeline):
    """The pipeline at a probability that follows D (Karras et al. 2020, section 3). At 0 nothing is changed.

    Deviation: p has a ceiling, above which G would learn the augmentations themselves (figure 4 shows it near 0.8 to
    0.9); the authors' code has none.

    Args:
        target: of r.
        kimg: thousands of images in which p could go from 0 to 1.
        every: steps of D between two moves of p.
        ceiling: of p.
        operations: blitting, geometry and colour unless given.
    """

    chart = "augment"

    def __init__(
        self,
        target: float = 0.6,
        kimg: float = 500,
        every: int = 4,
        ceiling: float = 0.8,
        operations: Sequence[Operation] | None = None,
    ) -> None:
        super().__init__(0.0, operations)
        self.follow(target, kimg, every, ceiling)

    def anneal(self, share: float) -> None:
        """Not this one: D moves its p.

        Raises:
            ValueError: always, but for a share of 1.
        """
        Augmentation.anneal(self, share)


class APA(Following, PseudoReals):
    """Adaptive pseudo augmentation (Jiang et al. 2021, section 3.2): a share p of the reals are fakes in truth.

    D that has learnt its few reals by heart is deceived the more, the surer it is of them.

    Args:
        target: of r.
        kimg: thousands of images in which p could go from 0 to 1.
        every: steps of D between two moves of p.
        ceiling: of p.
    """

    chart = "pseudo_reals"

    def __init__(self, target: float = 0.6, kimg: float = 500, every: int = 4, ceiling: float = 1.0) -> None:
        super().__init__()
        self.follow(target, kimg, every, ceiling)
        self.register_buffer("p", torch.zeros(()))

    def forward(self, x: Tensor, fake: Tensor) -> Tensor:
        """``x`` [N, ...], each with probability p replaced by ``fake`` [N, ...] at its place."""
        deceived = torch.rand(len(x), *[1] * (x.ndim - 1), device=x.device) < self.p
        return torch.where(deceived, fake.detach().to(x.dtype), x)

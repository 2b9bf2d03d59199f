"""A GAN that knows that one damaged image has many restorations: G(z, y), z ~ N(0, I), draws one of them.

z is put beside y as maps, each of one value. A G that is told to be near x learns to ignore z. So that it does not,
restorations of one y are driven apart (Mao et al. 2019, "Mode seeking generative adversarial networks", eq. 5):

    G minimises  ... + weight / ( |G(z1, y) - G(z2, y)| / |z1 - z2| + epsilon ),

both distances means over values and batch, as in their code. Deviation: the losses between G(z, y) and x look at z1's
image alone, and so does D in G's step.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lightning_modules.adversarial import Terms
from lightning_modules.inpainting import InpaintingGAN, composed
from lightning_modules.many_answers import ManyAnswers
from lightning_modules.networks.base import Discriminator, Filler, Network, planes_beside
from lightning_modules.restoring_gan import RestoringGAN

EPSILON = 1e-5  # as in the published code


class RestorationGAN(ManyAnswers, RestoringGAN):
    """G(z, y) against D(x, y).

    Args:
        generator: G, of y's channels and ``z_dim`` more.
        discriminator: D(x, y) -> logits.
        z_dim: maps of noise beside y.
        diversity_weight: of the term that drives restorations of one y apart; 0 leaves it out.
        **judged: the arguments of ``RestoringGAN``.

    Raises:
        ValueError: no noise, or a weight below 0.
    """

    def __init__(
        self,
        generator: Network,
        discriminator: Discriminator,
        z_dim: int = 8,
        diversity_weight: float = 1.0,
        **judged: Any,
    ) -> None:
        super().__init__(generator, discriminator, **judged)
        if z_dim < 1:
            raise ValueError(f"z_dim is {z_dim}: give 1 map of noise or more")
        if diversity_weight < 0:
            raise ValueError(f"diversity_weight is {diversity_weight}: give 0 or more")
        self.z_dim, self.diversity_weight = z_dim, diversity_weight

    def draw_z(self, y: Tensor) -> Tensor:
        """Noise [N, z_dim] for the conditions ``y`` [N, ...], from the global stream."""
        return torch.randn(len(y), self.z_dim, device=y.device)

    def inputs(self, x: Tensor, y: Tensor, *parts: Tensor) -> tuple[Any, ...]:
        """The base's, with fresh noise beside y."""
        return self.inputs_with(self.draw_z(y), x, y, *parts)

    def inputs_with(self, z: Tensor, x: Tensor, y: Tensor, *parts: Tensor) -> tuple[Any, ...]:
        """The base's, with ``z`` [N, z_dim] beside y [N, C, H, W]: [N, C + z_dim, H, W]."""
        condition, *others = super().inputs(x, y, *parts)
        return planes_beside(condition, z), *others

    def g_loss(self, x: Tensor, y: Tensor, *parts: Tensor) -> Terms:
        """The base's on one restoration of ``y``; and how near another one is to it."""
        if not self.diversity_weight:
            return super().g_loss(x, y, *parts)
        batch = (x, y, *parts)
        z = torch.stack([self.draw_z(y), self.draw_z(y)])
        first, terms = self.made_terms(self.inputs_with(z[0], *batch), *batch)
        second = self.G(*self.inputs_with(z[1], *batch))
        ratio = self.difference(first.float(), second.float(), *parts) / (z[0] - z[1]).abs().mean()
        self.watch("g/diversity_ratio", ratio.detach())
        return terms | {"g/diversity": self.diversity_weight / (ratio + EPSILON)}

    def difference(self, first: Tensor, second: Tensor, *parts: Tensor) -> Tensor:
        """How far two restorations [N, C, H, W] are from each other: the mean over their values."""
        return (first - second).abs().mean()

    @torch.no_grad()
    def draws(self, batch: Sequence[Tensor], n: int) -> Tensor:
        """As the base."""
        return torch.stack([self(*self.inputs(*batch)) for _ in range(n)])

    def examples(self, n: int) -> dict[str, Tensor | int]:
        """The base's, with noise beside y."""
        found = super().examples(n)
        y = found["y"]
        assert isinstance(y, Tensor)
        return found | {"y": planes_beside(y, self.draw_z(y))}


class InpaintingRestorationGAN(RestorationGAN, InpaintingGAN):
    """G(z, y, hole): many ways to fill one hole.

    Args:
        generator: G: y with ``z_dim`` maps of noise beside it, hole -> x.
        discriminator: D(x, hole) -> logits.
        **judged: the arguments of ``RestorationGAN`` and ``InpaintingGAN``.
    """

    def __init__(self, generator: Filler, discriminator: Discriminator, **judged: Any) -> None:
        super().__init__(generator, discriminator, **judged)

    def difference(self, first: Tensor, second: Tensor, *parts: Tensor) -> Tensor:
        """The mean over the values that are missing: elsewhere all fillings are y."""
        (hole,) = parts
        within = hole.expand_as(first)
        return ((first - second).abs() * within).sum() / within.sum().clamp(min=1)

    def sample_restorations(self, y: Tensor, n: int, *parts: Tensor) -> Tensor:
        """As the base; what is known of ``y`` stays as it is."""
        drawn, (hole,) = super().sample_restorations(y, n, *parts), parts
        return composed(drawn, y.expand_as(drawn), hole)

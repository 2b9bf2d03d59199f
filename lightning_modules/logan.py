"""LOGAN (Wu et al. 2019): before G and D are compared, noise moves a few steps to where D finds its image more real.

A step is Delta z = alpha g / (|g|^2 + beta) with g the gradient of D(G(z)) (eq. 12: the natural gradient with a damped
Fisher matrix of one sample), on a random share of z's dimensions, and z stays in [-1, 1]. |Delta z|^2 is a
term of G's objective. G learns through the steps; deviation: D's gradient does not pass through them. In an
evaluation all of z moves, so that a z has one image.

StudioGAN's code is configured for 2 steps in training and 10 in evaluation, but returns from its loop after the first.
There the share is one of images, in an evaluation too: the others keep their z. |alpha g / (|g|^2 + beta)|^2 of all of
them, moved or clipped or not, is a term of D's objective as well.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lightning_modules.adversarial import Terms
from lightning_modules.gan import GAN
from lightning_modules.networks.base import Discriminator, Generator


class Ascent(nn.Module):
    """Moves noise to where D finds its images more real. It has no weights.

    Args:
        size: alpha.
        damping: beta.
    """

    def __init__(self, size: float = 0.9, damping: float = 0.1) -> None:
        super().__init__()
        if size <= 0 or damping <= 0:
            raise ValueError(f"LOGAN: size and damping must be above 0, got {size} and {damping}")
        self.size, self.damping = size, damping

    def forward(
        self, score: Callable[[Tensor], Tensor], z: Tensor, steps: int, share: float, create_graph: bool
    ) -> Tensor:
        """``z`` [N, z_dim] after ``steps`` steps up ``score`` (noise to logits [N]).

        Args:
            score: D(G(z)).
            z: where to start.
            steps: how many.
            share: of the dimensions that move, drawn anew for each step and image.
            create_graph: let gradients pass through the steps.
        """
        with torch.enable_grad():
            for _ in range(steps):
                z = z if z.requires_grad else z.detach().requires_grad_()
                (g,) = torch.autograd.grad(score(z).sum(), z, create_graph=create_graph)
                moving = torch.rand_like(z) < share
                z = (z + moving * self.size * g / (g.square().sum(dim=1, keepdim=True) + self.damping)).clamp(-1, 1)
        return z if create_graph else z.detach()


class ImprovedGenerator(Generator):
    """z -> G(z after some steps up D).

    Args:
        generator: G.
        discriminator: D.
        ascent: the steps.
        steps: how many.
    """

    def __init__(self, generator: Generator, discriminator: Discriminator, ascent: Ascent, steps: int) -> None:
        super().__init__()
        self.G, self.D, self.ascent, self.steps = generator, discriminator, ascent, steps
        self.z_dim, self.out_shape, self.latent = generator.z_dim, generator.out_shape, generator.latent
        self.num_classes = generator.num_classes

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Images [N, *out_shape] of ``z`` [N, z_dim] under the labels ``y``."""
        learns = torch.is_grad_enabled()  # as who looks for the z of an image does
        with torch.inference_mode(False), torch.enable_grad():  # a trainer that only evaluates has no gradients at all
            z, y = z.clone(), None if y is None else y.clone()
            better = self.ascent(
                lambda z: self.D.forward(self.G.forward(z, y), y).float(), z, self.steps, share=1.0, create_graph=learns
            )
        image: Tensor = self.G(better, y)
        return image


class LOGAN(GAN):
    """A GAN on noise that D has improved; its z is best of U[-1, 1) (``networks.latents.Uniform``).

    Args:
        generator: G(z, y) -> x.
        discriminator: D(x, y) -> logits [N].
        steps: of an image in training; StudioGAN names 2 and takes 1.
        evaluation_steps: of an image that is evaluated; StudioGAN names 10 and takes 1.
        size: alpha.
        damping: beta.
        share: of z's dimensions that a step moves in training.
        transport: weight of |Delta z|^2 in G's objective.
        **gan: the arguments of ``GAN``.

    Raises:
        ValueError: what is no number of steps or share.
    """

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator,
        steps: int = 2,
        evaluation_steps: int = 10,
        size: float = 0.9,
        damping: float = 0.1,
        share: float = 0.8,
        transport: float = 0.1,
        **gan: Any,
    ) -> None:
        super().__init__(generator, discriminator, **gan)
        if steps < 1 or evaluation_steps < 0:
            raise ValueError(f"LOGAN: give 1 step or more and none or more in evaluation: {steps}, {evaluation_steps}")
        if not 0 < share <= 1 or transport < 0:
            raise ValueError(f"LOGAN: share lies in (0, 1] and transport is not negative, got {share} and {transport}")
        if self.share_fakes:
            raise ValueError("share_fakes: LOGAN improves D's noise and G's apart: leave it out")
        self.steps, self.evaluation_steps, self.share, self.transport = steps, evaluation_steps, share, transport
        self.ascent = Ascent(size, damping)
        self._moved: Tensor | None = None  # |Delta z|^2 of the fakes that G learns from

    def draw_z(self, y: Tensor) -> Tensor:
        """Noise [N, z_dim] that has been improved for the labels ``y`` [N]."""
        z, learns = super().draw_z(y), torch.is_grad_enabled()
        # compiled networks have no double backward, their forward has
        better = self.ascent(
            lambda z: self.D.forward(self.G.forward(z, y), y).float(), z, self.steps, self.share, create_graph=learns
        )
        self._moved = (better - z).square().sum(dim=1).mean() if learns else None
        return better

    def g_loss(self, x: Tensor, y: Tensor) -> Terms:
        """The base's; and how far the noise was moved."""
        terms = super().g_loss(x, y)
        assert self._moved is not None
        moved, self._moved = self._moved, None
        return terms | {"g/transport": self.transport * moved}

    @property
    def evaluated_generator(self) -> Generator:
        """The averaged G, or the raw one, on improved noise; D has no average."""
        G = super().evaluated_generator
        return ImprovedGenerator(G, self.D, self.ascent, self.evaluation_steps) if self.evaluation_steps else G

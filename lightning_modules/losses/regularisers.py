"""Terms beside the adversarial loss that look at more than its logits: at images, features, noise, or at the past.

Each is named, weighted, and has a term for D, for G, or for both; an experiment lists them under ``regularisers``.
"""

from abc import ABC
from collections.abc import Callable
from typing import ClassVar, NamedTuple, Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss, pad, relu


class Answer(Protocol):
    """What D said of N images: see ``networks.base.Verdict``."""

    @property
    def logits(self) -> Tensor:
        """[N], or patches."""
        ...

    @property
    def classes(self) -> Tensor:
        """A second head's answer [N, outputs]."""
        ...

    @property
    def features(self) -> Tensor:
        """[N, ...]."""
        ...


class Scene(NamedTuple):
    """What there is to look at in one player's step: N reals and as many fakes, or more of them in G's."""

    D: Callable[[Tensor, Tensor], Answer]  # images and their labels to what D says
    x: Tensor  # reals as D saw them, [N, ...]
    y: Tensor  # their labels
    real: Answer | None  # of the reals; in G's step only for those who compare
    fake_x: Tensor  # fakes as D saw them, [M, ...]
    y_fake: Tensor
    fake: Answer
    images: Tensor | None = None  # the fakes before any augmentation
    z: Tensor | None = None  # [M, z_dim], where fakes are made of noise
    G: Callable[[Tensor], Tensor] | None = None  # other noise [M, z_dim] to images of the same labels


class Regulariser(nn.Module, ABC):
    """A named term of D's objective, of G's, or of both.

    Attributes:
        name: what it is logged as.
        outputs: of D's second head, where it reads one.
        compares: whether it needs D's answer to reals in G's step too.
        reads_features: whether it needs the features that D's heads judge.
        reads_noise: whether it needs z.
        code: categories and numbers that z is to begin with, where that matters.
        moves: whether it shows D images that are mirrored, turned or moved.
        asks_g: whether it has G make images of other noise, in D's step too.
    """

    name: ClassVar[str]
    outputs: int | None = None
    code: tuple[int, int] | None = None
    compares: ClassVar[bool] = False
    reads_features: ClassVar[bool] = False
    reads_noise: ClassVar[bool] = False
    moves: ClassVar[bool] = False
    asks_g: ClassVar[bool] = False

    def d(self, scene: Scene, step: int) -> Tensor | None:
        """D's term in its step number ``step`` (from 0), a scalar; None where there is none."""
        return None

    def g(self, scene: Scene) -> Tensor | None:
        """G's."""
        return None

    def adapt(self) -> None:
        """Follow what was seen, once after each step of D."""


def check_weights(owner: object, **weights: float) -> None:
    """Raise ValueError where a weight is negative."""
    for name, weight in weights.items():
        if weight < 0:
            raise ValueError(f"{type(owner).__name__}: {name} must not be negative, got {weight}")


def check_images(owner: object, x: Tensor, square: bool = False) -> None:
    """Raise ValueError where ``x`` is no batch of images, or of none that are as high as wide."""
    if x.ndim != 4 or (square and x.shape[2] != x.shape[3]):
        kind = "square images" if square else "images"
        raise ValueError(f"{type(owner).__name__} moves {kind}, these are of shape {list(x.shape[1:])}: leave it out")


class LeCam(Regulariser):
    """D's scores are drawn to what it used to say of the other kind (Tseng et al. 2021, eq. 4), for small data sets.

    weight * (mean max(0, D(x) - a_fake)^2 + mean max(0, a_real - D(G(z)))^2) with moving averages a of its mean scores.
    The one-sided squares are those of the published code and StudioGAN; the paper writes plain ones.

    Args:
        weight: lambda; 0.3 in StudioGAN.
        decay: of the averages, a step.
        start: first step of D that has the term, when the averages have settled.
    """

    name = "lecam"
    averages: Tensor  # of mean scores: reals, fakes
    heard: Tensor  # in this step: sums of scores, and how many there were, of reals and fakes
    steps: Tensor  # that the averages are of

    def __init__(self, weight: float = 0.3, decay: float = 0.99, start: int = 1000) -> None:
        super().__init__()
        check_weights(self, weight=weight, start=start)
        if not 0 <= decay < 1:
            raise ValueError(f"LeCam: decay must be 0 or more and below 1, got {decay}")
        self.weight, self.decay, self.start = weight, decay, start
        self.register_buffer("averages", torch.zeros(2))
        self.register_buffer("heard", torch.zeros(2, 2))
        self.register_buffer("steps", torch.zeros(()))

    def d(self, scene: Scene, step: int) -> Tensor | None:
        """As in the class, from ``start`` on."""
        assert scene.real is not None
        real, fake = scene.real.logits, scene.fake.logits
        with torch.no_grad():
            self.heard[0] += torch.stack([real.sum(), fake.sum()])
            self.heard[1, 0] += real.numel()
            self.heard[1, 1] += fake.numel()
        if step < self.start:
            return None
        average_real, average_fake = self.averages.clone()
        return self.weight * (relu(real - average_fake).square().mean() + relu(average_real - fake).square().mean())

    @torch.no_grad()
    def adapt(self) -> None:
        """Move the averages by this step's means, of all ranks; the first ones are taken as they are."""
        total = self.heard.clone()
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(total)
        decay = torch.where(self.steps > 0, self.decay, 0.0)
        self.averages.lerp_(total[0] / total[1].clamp_min(1), 1 - decay)
        self.steps += 1
        self.heard.zero_()


class Consistency(Regulariser):
    """D says the same of an image that is mirrored and moved (CR, Zhang et al. 2020, eq. 2; with fakes bCR, Zhao et
    al. 2021, algorithm 2).

    Args:
        weight: of (D(x) - D(T(x)))^2 of reals.
        fake_weight: of the same of fakes; 0 is CR, 10 is bCR.
        mirror: T mirrors half of the images; to be off where a mirror image is another thing, as of digits.
        shift: T moves along each axis by up to this share of the side, and fills by reflection.
    """

    name, moves = "consistency", True

    def __init__(
        self, weight: float = 10.0, fake_weight: float = 0.0, mirror: bool = True, shift: float = 0.125
    ) -> None:
        super().__init__()
        check_weights(self, weight=weight, fake_weight=fake_weight)
        if not 0 <= shift < 0.5:
            raise ValueError(f"Consistency: shift is a share of the side, 0 or more and below 0.5, got {shift}")
        self.weight, self.fake_weight, self.mirror, self.shift = weight, fake_weight, mirror, shift

    def d(self, scene: Scene, step: int) -> Tensor:
        """As in the class."""
        assert scene.real is not None
        term = self.weight * self.unlike(scene, scene.x, scene.y, scene.real)
        if self.fake_weight:
            term = term + self.fake_weight * self.unlike(scene, scene.fake_x, scene.y_fake, scene.fake)
        return term

    def unlike(self, scene: Scene, x: Tensor, y: Tensor, said: Answer) -> Tensor:
        """Mean squared change of what was ``said`` of ``x`` [N, C, H, W].

        Raises:
            ValueError: D gives a map of logits, which is to move with the image.
        """
        if said.logits.ndim > 1:
            raise ValueError("Consistency compares one logit an image, and this D gives a map of them: leave it out")
        return mse_loss(scene.D(self.move(x.detach()), y).logits, said.logits)

    def move(self, x: Tensor) -> Tensor:
        """``x`` [N, C, H, W], each image mirrored and moved in its own way."""
        check_images(self, x)
        if self.mirror:
            x = torch.where(torch.rand(len(x), 1, 1, 1, device=x.device) < 0.5, x.flip(3), x)
        starts, lines = [], []
        for side in x.shape[2:]:
            most = int(self.shift * side)
            starts.append(most)
            lines.append(
                torch.randint(2 * most + 1, (len(x), 1), device=x.device) + torch.arange(side, device=x.device)
            )
        wide = pad(x, [starts[1], starts[1], starts[0], starts[0]], mode="reflect")
        image = torch.arange(len(x), device=x.device)[:, None, None]
        return wide.permute(0, 2, 3, 1)[image, lines[0][:, :, None], lines[1][:, None]].permute(0, 3, 1, 2)


class RotationTask(Regulariser):
    """D's second head tells by how many quarter turns an image was turned (SSGAN, Chen et al. 2019, eq. 2 and 3).

    Args:
        d_weight: of the cross-entropy on reals, which the head learns from alone.
        g_weight: of that on fakes, for G.
    """

    name, outputs, moves = "rotation", 4, True

    def __init__(self, d_weight: float = 1.0, g_weight: float = 0.2) -> None:
        super().__init__()
        check_weights(self, d_weight=d_weight, g_weight=g_weight)
        self.d_weight, self.g_weight = d_weight, g_weight

    def d(self, scene: Scene, step: int) -> Tensor:
        """d_weight * -log P(turn | turned x)."""
        return self.d_weight * self.wrong(scene, scene.x.detach(), scene.y)

    def g(self, scene: Scene) -> Tensor:
        """g_weight * -log P(turn | turned G(z))."""
        return self.g_weight * self.wrong(scene, scene.fake_x, scene.y_fake)

    def wrong(self, scene: Scene, x: Tensor, y: Tensor) -> Tensor:
        """Cross-entropy on ``x`` [N, C, S, S], of which each fourth has another turn."""
        check_images(self, x, square=True)
        turned = torch.empty_like(x)
        for turn in range(4):
            turned[turn::4] = x[turn::4].rot90(turn, (2, 3))
        return cross_entropy(scene.D(turned, y).classes, torch.arange(len(x), device=x.device) % 4)


class FeatureMatching(Regulariser):
    """G's images have on average the reals' features (Salimans et al. 2016, section 3.1), by the mean distance of each.

    Args:
        weight: of G's term; 1 in MHGAN.
    """

    name, compares, reads_features = "feature_matching", True, True

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        check_weights(self, weight=weight)
        self.weight = weight

    def g(self, scene: Scene) -> Tensor:
        """weight * mean |E f(x) - E f(G(z))|."""
        assert scene.real is not None
        return self.weight * (scene.real.features.mean(dim=0) - scene.fake.features.mean(dim=0)).abs().mean()

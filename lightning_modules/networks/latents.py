"""Where z comes from: the distributions of a generator's noise."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn.functional import one_hot


class Latent(ABC):
    """A distribution over vectors.

    Attributes:
        code: categories and numbers that a vector begins with, where they are to mean something.
    """

    code: tuple[int, int] | None = None

    @abstractmethod
    def draw(self, n: int, z_dim: int, device: torch.device) -> Tensor:
        """``n`` vectors [n, z_dim] from the global random stream of ``device``."""

    def between(self, a: Tensor, b: Tensor, t: float | Tensor) -> Tensor:
        """The point at ``t`` in [0, 1], one or [n, 1], on the way from ``a`` to ``b`` [n, z_dim]: straight unless said
        otherwise."""
        return torch.lerp(a, b, t)


class Gaussian(Latent):
    """N(0, I)."""

    def draw(self, n: int, z_dim: int, device: torch.device) -> Tensor:
        """Gaussian noise [n, z_dim]."""
        return torch.randn(n, z_dim, device=device)

    def between(self, a: Tensor, b: Tensor, t: float | Tensor) -> Tensor:
        """On the great circle (White 2016, section 2.1): a straight line passes through norms that G has never seen."""
        angle = torch.acos((torch.cosine_similarity(a, b, dim=1)).clamp(-1 + 1e-6, 1 - 1e-6))[:, None]
        return (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)


class Uniform(Latent):
    """U[-1, 1) in each dimension (Radford et al. 2016, section 4)."""

    def draw(self, n: int, z_dim: int, device: torch.device) -> Tensor:
        """Uniform noise [n, z_dim]."""
        return 2 * torch.rand(n, z_dim, device=device) - 1


class Clustered(Latent):
    """A one-hot code beside narrow normal noise (Mukherjee et al. 2019, section 3.1): z = (e_k, N(0, deviation^2 I)).

    A network maps one normal blob onto one connected set, so that between two kinds of images it must draw what
    is neither; ``modes`` blobs may part. No label is used, and which image a code stands for is left to training.

    Args:
        modes: length of the one-hot code, the first dimensions of z; each is equally likely.
        deviation: of the noise in the other dimensions.
    """

    def __init__(self, modes: int = 10, deviation: float = 0.1) -> None:
        if modes < 1 or deviation <= 0:
            raise ValueError(f"Clustered: give one mode or more and a deviation above 0, got {modes} and {deviation}")
        self.modes, self.deviation = modes, deviation

    def draw(self, n: int, z_dim: int, device: torch.device) -> Tensor:
        """Codes and noise [n, z_dim]."""
        if z_dim <= self.modes:
            raise ValueError(f"Clustered: z_dim must be above its {self.modes} modes, got {z_dim}")
        code = one_hot(torch.randint(self.modes, (n,), device=device), self.modes)
        return torch.cat([code, self.deviation * torch.randn(n, z_dim - self.modes, device=device)], dim=1)

    def between(self, a: Tensor, b: Tensor, t: float | Tensor) -> Tensor:
        """From code to code straight, which no sample does, and through the noise on the great circle."""
        noise = Gaussian().between(a[:, self.modes :], b[:, self.modes :], t)
        return torch.cat([torch.lerp(a[:, : self.modes], b[:, : self.modes], t), noise], dim=1)


class Coded(Latent):
    """A code that is to mean something before noise that is not (InfoGAN, Chen et al. 2016, section 5).

    z is a one-hot category, then numbers of U[-1, 1), then N(0, I).

    Args:
        categories: each equally likely; 0 for no category.
        numbers: how many there are.
    """

    def __init__(self, categories: int = 10, numbers: int = 2) -> None:
        if categories < 0 or numbers < 0 or categories + numbers == 0:
            raise ValueError(f"Coded: give categories or numbers, got {categories} and {numbers}")
        self.categories, self.numbers, self.code = categories, numbers, (categories, numbers)

    def draw(self, n: int, z_dim: int, device: torch.device) -> Tensor:
        """Codes and noise [n, z_dim]."""
        noise = z_dim - self.categories - self.numbers
        if noise < 0:
            raise ValueError(f"Coded: z_dim {z_dim} is shorter than its code of {self.categories + self.numbers}")
        parts = [2 * torch.rand(n, self.numbers, device=device) - 1, torch.randn(n, noise, device=device)]
        if self.categories:
            category = torch.randint(self.categories, (n,), device=device)
            parts = [one_hot(category, self.categories).to(parts[0].dtype), *parts]
        return torch.cat(parts, dim=1)

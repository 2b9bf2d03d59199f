"""Where a trained generator's images are edited: its z, or the w of one with styles, one for all layers or each.

Codes of a space are made into images by the evaluated weights, in evaluation mode; gradients reach codes alone.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from datamodules.functional.quantise import to_uint8
from lightning_modules.generative import GenerativeModule
from lightning_modules.networks.base import Generator, StyledGenerator

BLOCK = 64  # codes that are made into images at once
MANY = 4096  # codes that say where the middle of a space is


class Space(ABC):
    """Codes and their images.

    Args:
        module: whose evaluated generator it is. It is put into evaluation mode, and its weights are frozen.
        label: class of all images, where the generator knows classes.

    Raises:
        ValueError: the generator has no such space, or needs a class.
    """

    name: str

    def __init__(self, module: GenerativeModule, label: int | None = None) -> None:
        require_class(type(module.G).__name__, module.G.num_classes, label)
        self.module, self.label = module.eval().requires_grad_(False), label

    @property
    def G(self) -> Generator:
        """The evaluated generator."""
        return self.module.evaluated_generator

    def labels(self, n: int) -> Tensor | None:
        """The class of ``n`` images."""
        return None if self.label is None else torch.full((n,), self.label, device=self.module.device)

    @torch.no_grad()
    def draw(self, n: int) -> Tensor:
        """``n`` codes [n, ...] from the global random stream."""
        return self.codes(self.module.sample_z(n))

    @abstractmethod
    def codes(self, z: Tensor) -> Tensor:
        """The codes of ``z`` [N, z_dim]."""

    @abstractmethod
    def images(self, codes: Tensor) -> Tensor:
        """Images [N, C, H, W] of ``codes`` [N, ...], differentiable by them and by nothing else."""

    @torch.no_grad()
    def pictures(self, codes: Tensor) -> Tensor:
        """uint8 images of ``codes``, a block at a time."""
        made = [self.images(part) for part in codes.split(BLOCK)]
        return to_uint8(torch.cat(made), self.module.value_range)

    def middle(self) -> Tensor:
        """The mean code, [1, ...]."""
        return self.draw(MANY).mean(0, keepdim=True)


def require_class(name: str, classes: int | None, label: int | None) -> None:
    """Raise ValueError where ``label`` is none of the ``classes`` of the network ``name``, or is lacking."""
    if (classes is None) != (label is None) or (label is not None and not 0 <= label < (classes or 0)):
        known = "no classes: leave the class out" if classes is None else f"0 to {classes - 1}: name one"
        raise ValueError(f"{name} knows {known}")


class ZSpace(Space):
    """The noise itself: any generator has it."""

    name = "z"

    def codes(self, z: Tensor) -> Tensor:
        """``z`` itself."""
        return z

    def images(self, codes: Tensor) -> Tensor:
        """G(z, y)."""
        return self.G(codes, self.labels(len(codes)))


class WSpace(Space):
    """w, the same for all layers of a generator with styles (Karras et al. 2019)."""

    name = "w"

    def __init__(self, module: GenerativeModule, label: int | None = None) -> None:
        super().__init__(module, label)
        if not isinstance(module.G, StyledGenerator):
            raise ValueError(f"{type(module.G).__name__} has no {self.name}: that needs a generator with styles")

    @property
    def styled(self) -> StyledGenerator:
        """The evaluated generator."""
        assert isinstance(self.G, StyledGenerator)
        return self.G

    def codes(self, z: Tensor) -> Tensor:
        """w [N, w_dim] of ``z``."""
        return self.styled.mapping(z, self.labels(len(z)))

    def images(self, codes: Tensor) -> Tensor:
        """Of w [N, w_dim] for every layer."""
        return self.styled.synthesis(codes[:, None].expand(-1, self.styled.num_styles, -1))


class WPlusSpace(WSpace):
    """A w for each layer (Abdal et al. 2019, "Image2StyleGAN", section 4)."""

    name = "w+"

    def codes(self, z: Tensor) -> Tensor:
        """The same w of ``z`` for each layer, [N, num_styles, w_dim]."""
        return super().codes(z)[:, None].repeat(1, self.styled.num_styles, 1)

    def images(self, codes: Tensor) -> Tensor:
        """Of styles [N, num_styles, w_dim]."""
        return self.styled.synthesis(codes)


SPACES: dict[str, type[Space]] = {kind.name: kind for kind in (ZSpace, WSpace, WPlusSpace)}

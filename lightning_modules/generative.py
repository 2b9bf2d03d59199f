"""What generative families share, however they are trained: samples, panels of fixed noise, a look at the data."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from datamodules.functional.keys import key
from datamodules.functional.quantise import to_uint8
from lightning_modules.base import AtelierModule, evaluating
from lightning_modules.contract import StatesItsData
from lightning_modules.networks.base import Generator

PANEL_STREAM = 1  # keys the fixed noise of the panels apart from all training noise


class GenerativeModule(AtelierModule):
    """A family with a generator ``G``; a base or a family says how it is trained.

    Attributes:
        G: z, y -> x.
    """

    G: Generator
    value_range = (-1.0, 1.0)

    @property
    def evaluated_generator(self) -> Generator:
        """The averaged G where there is one, else the raw one."""
        return cast(Generator, self.evaluated)

    def check_data(self, data: StatesItsData) -> None:
        """Compare value range, sample shape and number of classes."""
        shape = self.G.out_shape
        if tuple(data.out_shape) != tuple(shape):
            raise ValueError(
                f"the generator makes samples of shape {tuple(shape)}, the data module gives "
                f"{tuple(data.out_shape)}: make size and channels of both agree"
            )
        self.check_classes(self.G.num_classes, data)
        if len(shape) == 3:  # points have no value range
            super().check_data(data)

    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        """``n`` samples of the evaluated generator: uint8 [n, C, H, W], or float points [n, d].

        Draws from the global random stream. Where G has classes and no labels ``y`` [n] are given, they are uniform.
        """
        if y is None and self.G.num_classes is not None:
            y = torch.randint(self.G.num_classes, (n,), device=self.device)
        return self.generate_image(self.G.sample_z(n), y)

    def generate_image(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """The evaluated generator's images of ``z`` [n, z_dim]: uint8 [n, C, H, W], or float points [n, d]."""
        with evaluating(self.evaluated_generator) as G:
            x = G(z, y)
        return to_uint8(x, self.value_range) if x.ndim == 4 else x

    def predict_step(self, batch: Sequence[Tensor], batch_idx: int) -> Tensor:
        """As many samples as the batch holds."""
        return self.sample(len(batch[0]))

    def panels(self, n: int = 64) -> dict[str, Tensor]:
        """``samples``: n images of fixed noise, uint8 [n, C, H, W]; nothing where G makes points."""
        if len(self.G.out_shape) != 3:
            return {}
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(key(self.seed, PANEL_STREAM))
            return {"samples": self.sample(n)}

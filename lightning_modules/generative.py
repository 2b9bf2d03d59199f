"""What generative families share, however they are trained: samples, panels of fixed noise, a look at the data."""

from collections.abc import Callable, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor

from datamodules.functional.keys import key
from datamodules.functional.quantise import to_uint8
from lightning_modules.base import AtelierModule
from lightning_modules.contract import StatesItsData
from lightning_modules.evaluating import evaluating
from lightning_modules.networks.base import Generator

PANEL_ROWS, PANEL_CLASSES = 8, 16  # of a sheet: noises, and at most so many classes
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

    @property
    def truncation(self) -> float | None:
        """How far from its mean w is drawn, of a generator that keeps one; None where it is all the way."""
        psi = getattr(self.evaluated_generator, "truncation", 1.0)
        return None if psi == 1 else psi

    @property
    def variants(self) -> Mapping[str, Callable[[int], tuple[Tensor, Tensor | None]]]:
        """Other ways to sample than ``sample_labelled``, by name: an evaluation scores them beside it."""
        return {}

    def check_data(self, data: StatesItsData) -> None:
        """Compare value range, sample shape and number of classes."""
        for name in ("z_dim", "out_shape"):
            if not hasattr(self.G, name):
                raise ValueError(f"{type(self.G).__name__} does not say its {name}: set self.{name} in its constructor")
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
        y = self.sample_labels(n) if y is None else y
        return self.generate_image(self.sample_z(n), y)

    def sample_z(self, n: int) -> Tensor:
        """The noise [n, z_dim] that samples are made of."""
        return self.G.sample_z(n)

    def sample_labels(self, n: int) -> Tensor | None:
        """``n`` classes, each as likely as any other: int64 [n]; None where G has none."""
        classes = self.G.num_classes
        return None if classes is None else torch.randint(classes, (n,), device=self.device)

    def sample_labelled(self, n: int) -> tuple[Tensor, Tensor | None]:
        """What ``sample`` draws, and of which classes [n]; None where G has none."""
        y = self.sample_labels(n)
        return self.sample(n, y), y

    def generate_image(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """The evaluated generator's images of ``z`` [n, z_dim]: uint8 [n, C, H, W], or float points [n, d]."""
        with evaluating(self.evaluated_generator) as G:
            x = G(z, y)
        if tuple(x.shape[1:]) != tuple(self.G.out_shape):
            raise ValueError(
                f"{type(self.G).__name__} says that its samples are of shape {tuple(self.G.out_shape)} and makes them "
                f"of shape {tuple(x.shape[1:])}: mend its forward, or its out_shape"
            )
        return to_uint8(x, self.value_range) if x.ndim == 4 else x

    def predict_step(self, batch: Sequence[Tensor], batch_idx: int) -> Tensor:
        """As many samples as the batch holds."""
        return self.sample(len(batch[0]))

    def panels(self, n: int = 64) -> dict[str, Tensor]:
        """``samples``: n images of fixed noise, uint8 [n, C, H, W]; nothing where G makes points.

        Where G has classes it is a sheet [rows, columns, C, H, W]: a class a column, one noise a row.
        """
        if len(self.G.out_shape) != 3:
            return {}
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(key(self.seed, PANEL_STREAM))
            return {"samples": self.sample(n) if self.G.num_classes is None else self.sheet(self.G.num_classes)}

    def sheet(self, classes: int) -> Tensor:
        """Each of the first classes from the same noise: uint8 [rows, columns, C, H, W]."""
        columns = min(classes, PANEL_CLASSES)
        z = self.sample_z(PANEL_ROWS).repeat_interleave(columns, dim=0)
        y = torch.arange(columns, device=self.device).repeat(PANEL_ROWS)
        return self.generate_image(z, y).unflatten(0, (PANEL_ROWS, columns))

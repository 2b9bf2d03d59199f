"""How far a set of made images is from the set of the right ones, whatever belongs to what.

A blurred image can be near the right one pixel by pixel, and be known for a blurred one at a glance: the distances of
texture (``sliced_wasserstein``) and of spectra (``spectrum``) tell. No network, so no weights. All channels count.
"""

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from lightning_modules.metrics.sliced_wasserstein import SlicedWasserstein
from lightning_modules.metrics.spectrum import MeanSpectrum, SpectrumDistance


class SetDistances(Metric):
    """Sliced Wasserstein and spectrum distance between two sets of as many images. Keeps all of them, as bytes."""

    is_differentiable = False
    higher_is_better = False
    full_state_update = False
    made: list[Tensor]
    right: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("made", [], dist_reduce_fx="cat")
        self.add_state("right", [], dist_reduce_fx="cat")

    def update(self, made: Tensor, right: Tensor) -> None:
        """Add uint8 images [N, C, H, W] to each set.

        Raises:
            ValueError: images of another size than before.
        """
        if made.shape[1:] != right.shape[1:] or (self.right and right.shape[1:] != self.right[0].shape[1:]):
            raise ValueError(
                f"fidelity.distances: images of {right.shape[3]} x {right.shape[2]} px among others: sets of one size"
                " have a distance; set it to false"
            )
        self.made.append(made)
        self.right.append(right)

    @property
    def shape(self) -> tuple[int, ...] | None:
        """(C, H, W) of the images; None before there are any."""
        return tuple(self.right[0].shape[1:]) if self.right else None

    def begin(self, shape: tuple[int, ...]) -> None:
        """Be of images of ``shape`` (C, H, W), as those of a rank that this one is gathered with.

        Raises:
            ValueError: there are some of another size; every rank then meets one that differs from its own.
        """
        if self.shape != shape:
            nothing = torch.empty(0, *shape, dtype=torch.uint8, device=self.device)
            self.update(nothing, nothing)

    def compute(self) -> dict[str, Tensor]:
        """``swd`` and ``spectrum`` over all ranks: scalars, float64."""
        made, right = dim_zero_cat(self.made), dim_zero_cat(self.right)
        texture = SlicedWasserstein(right).to(right.device)
        shape = tuple(right.shape[1:])
        mean = MeanSpectrum(shape).to(right.device)
        mean.sync_on_compute = False  # what all ranks brought is here already
        mean.update(right)
        spectrum = SpectrumDistance(mean.compute(), shape).to(right.device)
        for metric in (texture, spectrum):
            metric.sync_on_compute = False
            metric.update(made)
        return {"swd": texture.compute()["swd"], "spectrum": spectrum.compute()["spectrum"]}

    def as_floats(self) -> dict[str, float]:
        """``compute`` as plain numbers."""
        return {name: float(value) for name, value in self.compute().items()}

"""Super-resolution of one image: a network from a small image to one ``scale`` times as large.

A multi-scale network (VDSR, Kim et al. 2016; MDSR, Lim et al. 2017) learns and is tested on several scales at once, so
that the scale comes with the images: it is the ratio of their sides.
"""

from typing import Any, cast

from torch import Tensor

from lightning_modules.contract import StatesItsScales
from lightning_modules.networks.base import Upscaler
from lightning_modules.reconstruction import ReconstructionModule
from lightning_modules.restoring import Restoring


class Enlarging(Restoring):
    """A family whose evaluated network is an ``Upscaler``, however it is trained."""

    def setup(self, stage: str) -> None:
        """As in the base; in a test, too, the network must know every scale of the data.

        Raises:
            ValueError: it does not.
        """
        super().setup(stage)
        data, known = self.trainer.datamodule, cast(Upscaler, self.net).scales  # type: ignore[attr-defined]
        if not isinstance(data, StatesItsScales) or known is None:
            return
        unknown = [scale for scale in data.scales if scale not in known]
        if unknown:
            raise ValueError(
                f"{type(self.net).__name__} knows the scale {', '.join(map(str, known))}, the data module gives"
                f" {unknown[0]} too: set data.init_args.scales to the network's"
            )

    def inputs(self, x: Tensor, y: Tensor, *parts: Tensor) -> tuple[Tensor, int]:
        """The small image ``y``, and how many times as large ``x`` is."""
        return y, scale_between(x, y)

    def examples(self, n: int) -> dict[str, Tensor | int]:
        """As the base; and the first scale that the network knows."""
        return super().examples(n) | {"scale": (cast(Upscaler, self.net).scales or (2,))[0]}


class SuperResolution(Enlarging, ReconstructionModule):
    """network(y, scale) is to be x.

    Args:
        network: the small image y [N, C, h, w] and the scale to x [N, C, h scale, w scale].
        **shared: the arguments of ``ReconstructionModule``.
    """

    def __init__(self, network: Upscaler, **shared: Any) -> None:
        super().__init__(network, **shared)  # here for the type, which the command line reads


def scale_between(x: Tensor, y: Tensor) -> int:
    """How many times as large the image ``x`` [N, C, H, W] is as ``y`` [N, C, h, w].

    Raises:
        ValueError: not a whole number of times, or another in height than in width.
    """
    (H, W), (h, w) = x.shape[2:], y.shape[2:]
    if H % h or W % w or H // h != W // w:
        raise ValueError(f"images of {H}x{W} are no whole number of times as large as {h}x{w}: give matching pairs")
    return H // h

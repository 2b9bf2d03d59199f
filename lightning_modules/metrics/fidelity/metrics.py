"""Metrics of fidelity over a set of images, and all of them at once as the row of a table."""

from abc import abstractmethod
from collections.abc import Callable, Mapping

from torch import Tensor

from lightning_modules.metrics.fidelity.means import ImageMeans
from lightning_modules.metrics.fidelity.pixelwise import mae, psnr
from lightning_modules.metrics.fidelity.protocol import RGB, FidelityProtocol, Pair, pair
from lightning_modules.metrics.fidelity.ssim import ms_ssim, ssim
from lightning_modules.metrics.protocol import metric_name

Measure = Callable[[Pair], Tensor]  # N pairs of images to [N]
MEASURES: Mapping[str, Measure] = {"psnr": psnr, "ssim": ssim, "mae": mae}


class Fidelity(ImageMeans):
    """Means of several measures, each named after the protocol: ``psnr@y8-shave2``.

    Args:
        protocol: what of the images is compared.
        measures: by name.
    """

    def __init__(self, protocol: FidelityProtocol = RGB, measures: Mapping[str, Measure] = MEASURES) -> None:
        super().__init__([metric_name(name, protocol.name) for name in measures])
        self.protocol = protocol
        self.measures = tuple(measures.values())

    def update(self, prediction: Tensor, target: Tensor, hole: Tensor | None = None) -> None:
        """Add images [N, C, H, W], uint8 or floats in [0, 1]; see ``pair``. Batches may differ in size."""
        images = pair(prediction, target, self.protocol, hole)
        self.add(*(measure(images) for measure in self.measures))


def fidelity(
    prediction: Tensor, target: Tensor, protocol: FidelityProtocol = RGB, hole: Tensor | None = None
) -> dict[str, float]:
    """PSNR, SSIM and MAE of images [N, C, H, W], their means over N: ``psnr@<protocol>`` and so on.

    For a set of images that differ in size, update one ``Fidelity`` with each.
    """
    metric = Fidelity(protocol).to(target.device)
    metric.update(prediction, target, hole)
    return metric.as_floats()


class _Single(Fidelity):
    @staticmethod
    @abstractmethod
    def measure(images: Pair) -> Tensor: ...

    def __init__(self, protocol: FidelityProtocol = RGB) -> None:
        super().__init__(protocol, {"value": self.measure})

    def compute(self) -> Tensor:  # type: ignore[override]  # one value needs no name
        """The mean over all images of all ranks: a scalar, float64."""
        return self.means()[0]


class PSNR(_Single):
    """Mean of ``psnr`` over images, in dB. Infinite as soon as one image is perfect.

    Args:
        protocol: what of the images is compared.
    """

    higher_is_better = True
    measure = staticmethod(psnr)


class SSIM(_Single):
    """Mean of ``ssim`` over images.

    Args:
        protocol: what of the images is compared.
    """

    higher_is_better = True
    measure = staticmethod(ssim)


class MSSSIM(_Single):
    """Mean of ``ms_ssim`` over images.

    Args:
        protocol: what of the images is compared.
    """

    higher_is_better = True
    measure = staticmethod(ms_ssim)


class MAE(_Single):
    """Mean of ``mae`` over images, a share of the full range.

    Args:
        protocol: what of the images is compared.
    """

    higher_is_better = False
    measure = staticmethod(mae)

"""PSNR of restored floats as they are: neither clamped nor rounded to bytes.

For what is no image yet, such as the noisy input of a denoiser: a table's 20.19 dB at 25 grey levels is of these, and
the same noise clamped and rounded scores 20.50.
"""

from torch import Tensor

from datamodules.functional.quantise import ValueRange
from lightning_modules.metrics.fidelity.means import ImageMeans
from lightning_modules.metrics.fidelity.pixelwise import psnr
from lightning_modules.metrics.fidelity.protocol import PEAK, FidelityProtocol, Pair
from lightning_modules.metrics.protocol import metric_name


class UnclippedPSNR(ImageMeans):
    """The mean of ``psnr@<protocol>-unclipped`` over images.

    Args:
        protocol: what of the images is compared; the channels as they are, since luma is of bytes.

    Raises:
        ValueError: a protocol of luma, or of a hole.
    """

    def __init__(self, protocol: FidelityProtocol) -> None:
        if protocol.colour not in ("rgb", "grey") or protocol.hole:
            raise ValueError("What is not clamped is compared in its channels and whole: set colour to rgb or grey.")
        super().__init__([metric_name("psnr", f"{protocol.name}-unclipped")])
        self.shave = protocol.shave

    def update(self, prediction: Tensor, target: Tensor, value_range: ValueRange = (0.0, 1.0)) -> None:
        """Add floats [N, C, H, W], black and white being the ends of ``value_range``."""
        H, W = target.shape[2:]
        inside = (..., slice(self.shave, H - self.shave), slice(self.shave, W - self.shave))
        low, high = value_range
        images = [(image[inside].double() - low) * (PEAK / (high - low)) for image in (prediction, target)]
        self.add(psnr(Pair(images[0], images[1], None)))

"""How much fine detail an image has, beside what it should have: energy above half the Nyquist frequency.

PSNR favours an image without detail over one whose detail is in the wrong place, so that a score that sees neither
place nor truth stands beside it. It is no measure of quality: noise has much detail.

    E(x) = mean over channels and frequencies with |f| > 1/4 cycle a pixel of |FFT(w (x - mean x))|^2 + 1/12
    detail = E(prediction) / E(target)

under a Kaiser window w whose squares sum to 1, so that the borders' cross does not drown the rest; 1/12, the power of
8-bit rounding, keeps images without any detail finite. See ``metrics/spectrum.py``.
"""

import torch
from torch import Tensor

from lightning_modules.metrics.fidelity.protocol import Pair
from lightning_modules.metrics.spectrum import BETA, ROUNDING, window

HALF_NYQUIST = 0.25  # cycles a pixel


def detail(images: Pair) -> Tensor:
    """E(prediction) / E(target): [N], float64; 1 where both have as much detail.

    Raises:
        ValueError: for a hole, which has no frequencies.
    """
    if images.hole is not None:
        raise ValueError("detail is measured on whole images: leave the mask out, or the score.")
    return energy(images.prediction) / energy(images.target)


def energy(x: Tensor) -> Tensor:
    """E of ``x`` [N, C, H, W] in grey levels: [N]."""
    H, W = x.shape[2:]
    fy, fx = (torch.fft.fftfreq(side, dtype=torch.float64, device=x.device) for side in (H, W))
    high = torch.hypot(fy[:, None], fx[None, :]) > HALF_NYQUIST
    if not high.any():
        raise ValueError(f"An image of {H}x{W} has no frequency above half of Nyquist's: score larger ones.")
    shaped = (x - x.mean((2, 3), keepdim=True)) * window(H, W, BETA).to(x)
    return torch.fft.fft2(shaped).abs().square()[:, :, high].mean((1, 2)) + ROUNDING

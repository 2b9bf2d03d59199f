"""SSIM in scikit-image's canonical setting: its published values, and a slow reference of what it computes."""

import numpy as np
import pytest
import scipy.ndimage
import torch

from lightning_modules.metrics.fidelity.protocol import pair
from lightning_modules.metrics.fidelity.ssim import ssim

Pictures = tuple[np.ndarray, np.ndarray]

# scikit-image 0.26.0: structural_similarity(a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
# data_range=255) of the pairs below, the last with channel_axis=0.
GOLDEN = {
    "noise 32x32": -0.017341784600403087,
    "noise 48x37": 0.006905276138294769,
    "gradients 32x32": 0.9516732625116836,
    "gradients 48x37": 0.9465844268945669,
    "grain on a gradient 32x32": 0.5738456814909754,
    "grain on a gradient 48x37": 0.5762363124588101,
    "colour 48x37": 0.919524262229045,
}


def pictures(name: str) -> Pictures:
    """The pair ``name``, uint8 [C, H, W], from numpy's legacy generator, whose numbers never change."""
    kind, size = name.rsplit(" ", 1)
    H, W = map(int, size.split("x"))
    rng, (y, x) = np.random.RandomState(2004), np.mgrid[:H, :W]
    if kind == "colour":
        a = rng.randint(0, 256, (3, H, W)).astype(np.uint8)
        return a, (a * 0.75 + rng.randint(0, 64, a.shape)).astype(np.uint8)
    noise = rng.randint(0, 256, (H, W)), rng.randint(0, 256, (H, W))
    ramp = 5 * x + 2 * y
    a, b = {
        "noise": noise,
        "gradients": (ramp, 4 * x + 3 * y + 20),
        "grain on a gradient": (ramp, ramp + rng.randint(-20, 21, (H, W))),
    }[kind]
    return tuple(image.clip(0, 255).astype(np.uint8)[None] for image in (a, b))  # type: ignore[return-value]


def slow(a: np.ndarray, b: np.ndarray, bessel: bool = False, truncate: float = 3.5, border: bool = False) -> float:
    """What scikit-image computes of uint8 [C, H, W], by scipy in float64; or a near miss of it."""
    radius = int(truncate * 1.5 + 0.5)
    taps = 2 * radius + 1
    unbiased = taps**2 / (taps**2 - 1) if bessel else 1.0

    def blurred(image: np.ndarray) -> np.ndarray:
        return scipy.ndimage.gaussian_filter(image, 1.5, truncate=truncate)

    def of_channel(x: np.ndarray, y: np.ndarray) -> float:
        mx, my = blurred(x), blurred(y)
        vx, vy, both = (unbiased * (blurred(p * q) - blurred(p) * blurred(q)) for p, q in ((x, x), (y, y), (x, y)))
        c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
        index = (2 * mx * my + c1) * (2 * both + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))
        return (index if border else index[radius:-radius, radius:-radius]).mean()

    return float(np.mean([of_channel(x, y) for x, y in zip(a.astype(np.float64), b.astype(np.float64), strict=True)]))


def ours(a: np.ndarray, b: np.ndarray) -> float:
    return ssim(pair(torch.from_numpy(a)[None], torch.from_numpy(b)[None])).item()


@pytest.mark.parametrize("name", GOLDEN)
def test_ssim_is_scikit_images(name: str) -> None:
    images = pictures(name)
    assert slow(*images) == pytest.approx(GOLDEN[name], abs=1e-12)
    assert ours(*images) == pytest.approx(GOLDEN[name], abs=1e-10)


@pytest.mark.parametrize("shape", [(1, 11, 11), (1, 12, 40), (3, 33, 46)])
def test_ssim_is_the_slow_reference_also_where_one_window_fits(shape: tuple[int, ...]) -> None:
    for seed in range(3):
        rng = np.random.RandomState(seed)
        a = rng.randint(0, 256, shape).astype(np.uint8)
        b = (0.6 * a + rng.randint(0, 100, shape)).astype(np.uint8)
        assert ours(a, b) == pytest.approx(slow(a, b), abs=1e-10)


@pytest.mark.parametrize("miss", [{"bessel": True}, {"truncate": 4.0}, {"border": True}])
def test_other_settings_would_be_seen(miss: dict[str, bool]) -> None:
    images = pictures("grain on a gradient 48x37")
    assert abs(slow(*images, **miss) - ours(*images)) > 1e-5

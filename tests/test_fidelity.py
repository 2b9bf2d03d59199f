"""PSNR, SSIM, MS-SSIM and MAE of an image: values by hand, slow references of the definitions, a published table."""

import math
import os
from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage
import torch
from PIL import Image
from torch import Tensor

from datamodules.functional.colour import luma8
from datamodules.functional.resize import bicubic_by
from lightning_modules.metrics.fidelity.metrics import Fidelity
from lightning_modules.metrics.fidelity.pixelwise import mae, psnr
from lightning_modules.metrics.fidelity.protocol import FidelityProtocol, pair
from lightning_modules.metrics.fidelity.ssim import ms_ssim, ssim

HOLE = FidelityProtocol(hole=True)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def flat(value: int, *shape: int) -> Tensor:
    return torch.full(shape, value, dtype=torch.uint8)


def natural(*shape: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Smooth images and a damaged copy, so that structure is there to be similar."""
    rng = np.random.default_rng(seed)
    smooth = scipy.ndimage.gaussian_filter(rng.normal(size=shape), (0, 0, 3, 3)) * 500 + 128
    damaged = 0.8 * smooth + rng.normal(size=shape) * 8 + 30
    a, b = (torch.from_numpy(x.round().clip(0, 255).astype(np.uint8)) for x in (damaged, smooth))
    return a, b


# --- PSNR and MAE -------------------------------------------------------------------------------------------


def test_psnr_and_mae_by_hand() -> None:
    # Off by one grey level: 20 log10(255). One pixel of three channels off by 51 = 255 / 5: MSE 255^2 / 25 / 3.
    a = torch.stack((flat(9, 3, 2, 2), flat(0, 3, 2, 2), flat(7, 3, 2, 2)))
    b = torch.stack((flat(10, 3, 2, 2), flat(255, 3, 2, 2), flat(7, 3, 2, 2)))
    images = pair(a, b)
    assert psnr(images).tolist() == pytest.approx([48.1308036086791, 0.0, math.inf], abs=1e-10)
    assert mae(images).tolist() == pytest.approx([1 / 255, 1.0, 0.0], abs=1e-12)
    c = flat(0, 1, 3, 1, 1)
    c[0, 1] = 51
    assert psnr(pair(c, flat(0, 1, 3, 1, 1))).item() == pytest.approx(10 * math.log10(75), abs=1e-10)
    assert mae(pair(c, flat(0, 1, 3, 1, 1))).item() == pytest.approx(1 / 15, abs=1e-12)


@pytest.mark.parametrize(("colour", "span"), [("rgb", 255), ("y8", 219), ("y", 219), ("y8_full", 255)])
def test_black_against_white_is_the_span_of_the_colour(colour: str, span: int) -> None:
    protocol = FidelityProtocol(colour)  # type: ignore[arg-type]
    score = psnr(pair(flat(0, 1, 3, 4, 4), flat(255, 1, 3, 4, 4), protocol)).item()
    assert score == pytest.approx(20 * math.log10(255 / span), abs=1e-10)


def test_rounded_luma_sees_no_difference_below_half_a_level() -> None:
    a, b = flat(0, 1, 3, 4, 4), flat(0, 1, 3, 4, 4)
    a[:, 2] = 5  # 5 of blue are 0.49 of luma
    assert psnr(pair(a, b, FidelityProtocol("y8"))).item() == math.inf
    assert psnr(pair(a, b, FidelityProtocol("y"))).item() == pytest.approx(20 * math.log10(255 / (5 * 24.966 / 255)))


def test_grey_images_are_the_same_in_every_colour() -> None:
    a, b = noise(2, 1, 16, 16), noise(2, 1, 16, 16, seed=1)
    for measure in (psnr, ssim, mae):
        scores = [measure(pair(a, b, FidelityProtocol(colour))) for colour in ("grey", "rgb", "y8", "y", "y8_full")]
        assert all(torch.equal(score, scores[0]) for score in scores)


def test_shave_leaves_the_border_out() -> None:
    a, b = noise(1, 3, 20, 24), noise(1, 3, 20, 24, seed=1)
    for measure in (psnr, ssim, mae):
        cut = measure(pair(a[..., 3:-3, 3:-3], b[..., 3:-3, 3:-3]))
        assert torch.equal(measure(pair(a, b, FidelityProtocol(shave=3))), cut)
    b[..., 3:-3, 3:-3] = a[..., 3:-3, 3:-3]
    assert psnr(pair(a, b, FidelityProtocol(shave=3))).item() == math.inf
    assert psnr(pair(a, b, FidelityProtocol(shave=2))).item() < math.inf


def test_a_hole_counts_alone() -> None:
    # 2 x 3 pixels: grey levels off by 1, 2, 3 in the hole's three pixels of all channels, by 200 elsewhere.
    b = flat(0, 1, 3, 2, 3)
    a = b + torch.tensor([[1, 200, 2], [200, 3, 200]], dtype=torch.uint8)
    images = pair(a, b, HOLE, torch.tensor([[[[1, 0, 1], [0, 1, 0]]]]).bool())
    assert psnr(images).item() == pytest.approx(10 * math.log10(255**2 / (14 / 3)), abs=1e-10)
    assert mae(images).item() == pytest.approx(2 / 255, abs=1e-12)


def test_a_hole_everywhere_is_no_hole() -> None:
    a, b = natural(2, 3, 30, 40)
    for measure in (psnr, ssim, mae):
        everywhere = measure(pair(a, b, HOLE, torch.ones(2, 1, 30, 40).bool()))
        assert torch.allclose(everywhere, measure(pair(a, b)), atol=1e-12)


def test_floats_are_quantised_as_everywhere() -> None:
    a, b = noise(2, 3, 16, 16), noise(2, 3, 16, 16, seed=1)
    near = (a / 255 + 0.001).clamp(0, 1)  # a quarter of a grey level
    assert torch.equal(psnr(pair(near, b.double() / 255)), psnr(pair(a, b)))


# --- SSIM ---------------------------------------------------------------------------------------------------


def slow_maps(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Luminance, and contrast with structure, of one channel, from the definition: a full 11 x 11 window."""
    y, x = np.mgrid[-5:6, -5:6]
    window = np.exp(-(x**2 + y**2) / (2 * 1.5**2))
    window /= window.sum()

    def mean(image: np.ndarray) -> np.ndarray:
        return scipy.ndimage.correlate(image, window)[5:-5, 5:-5]

    ma, mb = mean(a), mean(b)
    va, vb, cov = mean(a * a) - ma * ma, mean(b * b) - mb * mb, mean(a * b) - ma * mb
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return (2 * ma * mb + c1) / (ma**2 + mb**2 + c1), (2 * cov + c2) / (va + vb + c2)


def slow_ssim(a: Tensor, b: Tensor) -> float:
    maps = [slow_maps(x.double().numpy(), y.double().numpy()) for x, y in zip(a, b, strict=True)]
    return float(np.mean([luminance * structure for luminance, structure in maps]))


@pytest.mark.parametrize("channels", [1, 3])
def test_ssim_is_its_definition(channels: int) -> None:
    a, b = natural(2, channels, 33, 46)
    assert ssim(pair(a, b)).tolist() == pytest.approx(
        [slow_ssim(*images) for images in zip(a, b, strict=True)], abs=1e-10
    )
    a, b = noise(2, channels, 11, 40), noise(2, channels, 11, 40, seed=1)
    assert ssim(pair(a, b)).tolist() == pytest.approx(
        [slow_ssim(*images) for images in zip(a, b, strict=True)], abs=1e-10
    )


def test_ssim_of_luma_is_ssim_of_the_luma_image() -> None:
    a, b = natural(1, 3, 33, 46)
    luminances = luma8(a)[0, :, 2:-2, 2:-2], luma8(b)[0, :, 2:-2, 2:-2]
    assert ssim(pair(a, b, FidelityProtocol("y8", 2))).item() == pytest.approx(slow_ssim(*luminances), abs=1e-10)


def test_ssim_of_flat_images_is_the_luminance_term() -> None:
    c1 = 2.55**2
    by_hand = (2 * 50 * 100 + c1) / (50**2 + 100**2 + c1)
    assert ssim(pair(flat(50, 1, 3, 12, 12), flat(100, 1, 3, 12, 12))).item() == pytest.approx(by_hand, abs=1e-10)
    a = noise(1, 3, 40, 40)
    assert ssim(pair(a, a)).item() == pytest.approx(1, abs=1e-12)


def test_ssim_of_a_hole_takes_the_windows_centred_in_it() -> None:
    a, b = natural(1, 1, 40, 50)
    luminance, structure = slow_maps(a[0, 0].double().numpy(), b[0, 0].double().numpy())
    hole = torch.zeros(1, 1, 40, 50).bool()
    hole[..., :15, 20:32] = True  # partly where no window fits
    by_hand = (luminance * structure)[:10, 15:27].mean()
    assert ssim(pair(a, b, HOLE, hole)).item() == pytest.approx(by_hand, abs=1e-10)


# --- MS-SSIM ------------------------------------------------------------------------------------------------


def slow_ms_ssim(a: Tensor, b: Tensor) -> float:
    """The authors' recipe: a 2x2 mean with mirrored border, every second pixel of it, five scales."""
    x, y = a.double().numpy(), b.double().numpy()
    score = 1.0
    for i, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        maps = [slow_maps(*channels) for channels in zip(x, y, strict=True)]
        score *= np.mean([structure if i < 4 else light * structure for light, structure in maps]) ** weight
        x, y = (
            scipy.ndimage.correlate(z, np.full((1, 2, 2), 0.25), mode="reflect", origin=(0, -1, -1))[:, ::2, ::2]
            for z in (x, y)
        )
    return float(score)


@pytest.mark.parametrize("shape", [(1, 1, 176, 192), (1, 3, 181, 203)])
def test_ms_ssim_is_its_definition(shape: tuple[int, ...]) -> None:
    a, b = natural(*shape)
    assert ms_ssim(pair(a, b)).item() == pytest.approx(slow_ms_ssim(a[0], b[0]), abs=1e-10)


def test_ms_ssim_of_flat_images_and_of_negatives() -> None:
    c1 = 2.55**2
    luminance = (2 * 50 * 100 + c1) / (50**2 + 100**2 + c1)
    score = ms_ssim(pair(flat(50, 1, 1, 176, 176), flat(100, 1, 1, 176, 176)))
    assert score.item() == pytest.approx(luminance**0.1333, abs=1e-10)
    a = noise(1, 1, 176, 176)
    assert ms_ssim(pair(a, 255 - a)).item() == 0.0


# --- the published table ------------------------------------------------------------------------------------

# Bicubic rows of the SelfExSR project's README: PSNR and SSIM of rounded luma, as many pixels shaved as the scale.
BICUBIC = {
    ("Set5", 2): (33.64, 0.9292),
    ("Set5", 3): (30.39, 0.8678),
    ("Set5", 4): (28.42, 0.8101),
    ("Set14", 2): (30.22, 0.8683),
    ("Set14", 3): (27.53, 0.7737),
    ("Set14", 4): (25.99, 0.7023),
}


def read(file: Path) -> Tensor:
    pixels = torch.from_numpy(np.array(Image.open(file)))
    return (pixels[None] if pixels.dim() == 2 else pixels.permute(2, 0, 1))[None]


@pytest.mark.parametrize(("name", "scale"), BICUBIC)
def test_the_bicubic_rows_to_the_printed_digit(name: str, scale: int) -> None:
    if "ATELIER_DATA" not in os.environ:
        pytest.skip("ATELIER_DATA is not set: the SelfExSR files are not here")
    metric = Fidelity(FidelityProtocol("y8", shave=scale))
    for file in Path(os.environ["ATELIER_DATA"], "SelfExSR", name, f"image_SRF_{scale}").glob("*_HR.png"):
        small = read(file.with_name(file.name.replace("_HR", "_LR")))
        metric.update(bicubic_by(small, scale), read(file))
    scores = metric.as_floats()
    assert metric.count == {"Set5": 5, "Set14": 14}[name]
    assert abs(scores[f"psnr@y8-shave{scale}"] - BICUBIC[name, scale][0]) < 0.005
    assert abs(scores[f"ssim@y8-shave{scale}"] - BICUBIC[name, scale][1]) < 0.00005

"""Laws of the spectrum distance: a wave and white noise by hand, a slow discrete Fourier sum, blur and grain."""

import cmath
import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from lightning_modules.metrics.spectrum import (
    ROUNDING,
    SpectrumDistance,
    decibels,
    mean_spectrum,
    ring_power,
    rings,
    spectrum_scores,
)


def pictures(n: int, seed: int, shape: tuple[int, ...] = (3, 32, 32)) -> Tensor:
    """Random images, smooth as photographs are: octaves of noise, the coarser the stronger."""
    stream = torch.Generator().manual_seed(seed)
    x = torch.zeros(n, *shape)
    for side in (2, 4, 8, 16, 32):
        octave = torch.randn(n, shape[0], side, side, generator=stream)
        x += interpolate(octave, shape[1:], mode="bilinear") * 80 / side
    return (128 + x).clamp(0, 255).byte()


def scores(reference: Tensor, samples: Tensor, batch: int = 1000, beta: float = 8.0) -> dict[str, float]:
    shape = tuple(reference.shape[1:])
    metric = SpectrumDistance(mean_spectrum([reference], shape, beta), shape, beta)
    for part in samples.split(batch):
        metric.update(part)
    return {name: value.item() for name, value in metric.compute().items()}


# --- the spectrum by hand -----------------------------------------------------------------------------------


def test_rings_hold_every_frequency_up_to_nyquist_once() -> None:
    found = rings(8, 8)
    # Round(hypot) of integers -4 ... 3: (+-1, 0), (0, +-1) and the four (+-1, +-1) are ring 1.
    assert [len(ring) for ring in found[:2]] == [8, 12]
    indices = torch.cat(found)
    assert len(indices.unique()) == len(indices)
    assert 0 not in indices
    assert len(rings(28, 40)) == 14
    # On a wide image a frequency is one of cycles a pixel: 4 and 6 waves on 40 columns are 2.8 and 4.2 on 28.
    assert 4 in rings(28, 40)[2]
    assert 6 in rings(28, 40)[3]


@pytest.mark.parametrize("k", [1, 3, 8])
def test_a_wave_has_its_power_in_its_ring(k: int) -> None:
    wave = 100 * torch.cos(2 * math.pi * k * torch.arange(16) / 16)
    image = (128 + wave).round().byte().expand(1, 1, 16, 16)
    amplitude = image.double().sub(128)[0, 0, 0, 0].item()
    power = ring_power(image, beta=0)[0]
    # Two bins of (A / 2)^2 H W each; at Nyquist they are one of A^2 H W.
    wanted = 256 * amplitude**2 * (1 if k == 8 else 0.5) / len(rings(16, 16)[k - 1])
    assert power[k - 1].item() == pytest.approx(wanted, rel=1e-2)
    others = torch.cat([power[: k - 1], power[k:]])
    assert others.max() < 1e-3 * wanted
    turned = ring_power(image.transpose(2, 3), beta=0)[0]
    assert (turned - power).abs().max() < 1e-9 * wanted


@pytest.mark.parametrize("beta", [0.0, 8.0])
def test_white_noise_has_its_variance_in_every_ring(beta: float) -> None:
    image = torch.randint(0, 256, (2000, 1, 16, 16), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    power = mean_spectrum(image.split(100), (1, 16, 16), beta)
    inner = power[1:] if beta else power  # the lost mean takes a little from ring 1, which the window widens to it
    assert (inner / ((256**2 - 1) / 12) - 1).abs().max() < 0.03


def slow(image: Tensor, beta: float) -> list[float]:
    """The definition, a frequency and a pixel at a time."""
    n, channels, height, width = image.shape
    windows = [torch.kaiser_window(s, periodic=False, beta=beta, dtype=torch.float64).tolist() for s in (height, width)]
    energy = sum(a * a for a in windows[0]) * sum(b * b for b in windows[1])
    sums: dict[int, list[float]] = {}
    for u in range(-(height // 2), height - height // 2):
        for v in range(-(width // 2), width - width // 2):
            ring = round(math.hypot(u / height, v / width) * min(height, width))
            power = 0.0
            for plane in image.double().flatten(0, 1).tolist():
                mean = sum(map(sum, plane)) / (height * width)
                term = sum(
                    windows[0][i]
                    * windows[1][j]
                    * (plane[i][j] - mean)
                    * cmath.exp(-2j * math.pi * (u * i / height + v * j / width))
                    for i in range(height)
                    for j in range(width)
                )
                power += abs(term) ** 2 / energy
            sums.setdefault(ring, []).append(power / (n * channels))
    return [sum(sums[k]) / len(sums[k]) for k in range(1, min(height, width) // 2 + 1)]


@pytest.mark.parametrize("beta", [0.0, 8.0])
def test_spectrum_equals_the_slow_definition(beta: float) -> None:
    image = pictures(2, 0, (3, 8, 10))
    assert mean_spectrum([image], (3, 8, 10), beta).tolist() == pytest.approx(slow(image, beta), rel=1e-9)


# --- the distance -------------------------------------------------------------------------------------------


def test_distance_by_hand() -> None:
    real = torch.tensor([10.0, 10.0, 1.0, 1.0]) - ROUNDING
    fake = torch.tensor([10.0, 100.0, 10.0, 0.1]) - ROUNDING  # 0, 10, 10 and -10 dB
    found = spectrum_scores(fake.double(), real.double())
    assert found["spectrum"].item() == pytest.approx(math.sqrt(300 / 4), abs=1e-6)
    assert found["spectrum_high"].item() == pytest.approx(0, abs=1e-5)
    assert decibels(torch.zeros(1)).item() == pytest.approx(-10 * math.log10(12), abs=1e-5)


def test_of_a_set_to_itself_it_is_zero_for_any_batches() -> None:
    image = pictures(50, 0)
    assert scores(image, image) == {"spectrum": 0.0, "spectrum_high": 0.0}
    one = scores(image, pictures(50, 1))
    for batch in (1, 7):
        assert scores(image, pictures(50, 1), batch) == pytest.approx(one, abs=1e-9)
    assert scores(image, image.flip(0), batch=3)["spectrum"] < 1e-9


def test_half_the_contrast_is_six_decibels_in_every_ring() -> None:
    image = pictures(100, 0) // 2
    found = scores(2 * image, image, beta=0)
    assert found["spectrum"] == pytest.approx(20 * math.log10(2), abs=0.1)  # a little less: 1/12 on both
    assert found["spectrum_high"] == pytest.approx(-20 * math.log10(2), abs=0.1)


def test_blur_and_grain_are_seen_and_told_apart() -> None:
    reference, other = pictures(200, 0), pictures(200, 1)
    floor = scores(reference, other)
    assert floor["spectrum"] < 0.3
    blurred = avg_pool2d(other.float(), 3, 1, 1, count_include_pad=False).byte()
    found = scores(reference, blurred)
    assert found["spectrum"] > 10 * floor["spectrum"]
    assert found["spectrum_high"] < -3
    # Zeros between the pixels of a small image, filled by a box: the marks of a transposed convolution.
    enlarged = interpolate(avg_pool2d(other.float(), 2), scale_factor=2, mode="nearest").byte()
    assert scores(reference, enlarged)["spectrum"] > 5 * floor["spectrum"]
    grain = torch.randint(-20, 21, other.shape, generator=torch.Generator().manual_seed(0))
    found = scores(reference, (other + grain).clamp(0, 255).byte())
    assert found["spectrum"] > 5 * floor["spectrum"]
    assert found["spectrum_high"] > 3


def test_where_things_are_and_which_way_they_point_is_nothing_to_it() -> None:
    reference, other = pictures(20, 0), pictures(20, 1)
    one = scores(reference, other, beta=0)
    for changed in (other.roll((3, 5), (2, 3)), other.rot90(1, (2, 3)), other.flip(3), 255 - other):
        assert scores(reference, changed, beta=0) == pytest.approx(one, abs=1e-9)


def test_empty_images_are_finite() -> None:
    reference = pictures(20, 0)
    found = scores(reference, torch.zeros_like(reference))
    assert 10 < found["spectrum"] < 60
    assert scores(torch.zeros_like(reference), torch.full_like(reference, 200))["spectrum"] < 1e-9


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: SpectrumDistance(torch.ones(5), (3, 32, 32)), "of \\(5,\\) rings"),
        (lambda: mean_spectrum([], (3, 32, 32)), "no images"),
        (lambda: mean_spectrum([pictures(2, 0)], (1, 32, 32)), "bring both to one kind"),
        (lambda: mean_spectrum([pictures(2, 0)[:, :2]], (2, 32, 32)), "are no images"),
        (lambda: mean_spectrum([pictures(2, 0, (1, 2, 9))], (1, 2, 9)), "at least 4 pixels"),
    ],
)
@pytest.mark.filterwarnings("ignore:The ``compute`` method:UserWarning")
def test_what_is_wrong_is_said_in_one_sentence(act, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        act()
    assert "\n" not in str(error.value)

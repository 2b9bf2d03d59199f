"""Matting errors: values by hand, slow references of the definitions, and mattes that cannot be compared."""

import math
import os
from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage
import torch
from PIL import Image
from torch import Tensor

from lightning_modules.metrics.fidelity.components import component_roots, largest_component
from lightning_modules.metrics.fidelity.matting import (
    Matting,
    connectivity_error,
    gradient_error,
    mattes,
    matting,
    matting_mse,
    sad,
)


def image(*rows: list[float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)[None, None]


def unknown(alpha: Tensor) -> Tensor:
    return torch.full_like(alpha, 128, dtype=torch.uint8)


def scene(H: int, W: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Prediction and target with soft edges and several blobs, as uint8, and a trimap around the target's edge."""
    rng = np.random.default_rng(seed)
    field = scipy.ndimage.gaussian_filter(rng.normal(size=(H, W)), 3) * 12
    target = np.clip(field + 0.4, 0, 1)
    prediction = np.clip(target + scipy.ndimage.gaussian_filter(rng.normal(size=(H, W)), 1), 0, 1)
    sure, never = (scipy.ndimage.binary_erosion(x, iterations=2) for x in (target == 1, target == 0))
    trimap = np.where(sure, 255, np.where(never, 0, 128))
    scaled = [np.round(255 * prediction), np.round(255 * target), trimap]
    return tuple(torch.from_numpy(x.astype(np.uint8))[None, None] for x in scaled)  # type: ignore[return-value]


# --- by hand ------------------------------------------------------------------------------------------------


def test_sad_and_mse_by_hand() -> None:
    # The prediction is 0 where the trimap says background and 1 where foreground, whatever it was; the target is not.
    prediction = image([0.9, 0.5, 0.2], [0.3, 0.1, 0.0])
    target = image([0.1, 0.25, 0.2], [0.8, 1.0, 0.5])
    trimap = torch.tensor([[[[0, 128, 128], [255, 255, 128]]]], dtype=torch.uint8)
    images = mattes(prediction, target, trimap)
    assert images.prediction.flatten().tolist() == [0.0, 0.5, 0.2, 1.0, 1.0, 0.0]
    assert sad(images).item() == pytest.approx((0.1 + 0.25 + 0.2 + 0.5) / 1000, abs=1e-15)
    assert matting_mse(images).item() == pytest.approx((0.01 + 0.0625 + 0.04 + 0.25) / 3, abs=1e-15)


def test_gradient_of_a_step_by_hand() -> None:
    # Right of a vertical step, at distance k, only the taps beyond k of the derivative filter are uncovered; the other
    # axis sums the whole Gaussian. Against a flat matte, whose gradient is 0.
    step = torch.zeros(1, 1, 24, 24)
    step[..., 12:] = 1
    smooth = [math.exp(-(x**2) / (2 * 1.4**2)) for x in range(-4, 5)]
    slope = [x * s for x, s in zip(range(-4, 5), smooth, strict=True)]
    across = sum(smooth) / math.hypot(*smooth)
    # column 12 + k sees the step at taps x >= -k; column 11 - k at x >= k + 1: by symmetry the same sum
    along = [sum(slope[5 + k :]) / math.hypot(*slope) for k in range(4)]
    by_hand = 24 * 2 * sum((across * a) ** 2 for a in along) / 1000
    for other in (0.0, 0.7):
        flat = torch.full_like(step, other)
        assert gradient_error(mattes(step, flat, unknown(step))).item() == pytest.approx(by_hand, abs=1e-12)
        assert gradient_error(mattes(flat, step, unknown(step))).item() == pytest.approx(by_hand, abs=1e-12)


def test_gradients_are_of_mattes_stretched_to_the_full_range() -> None:
    step = torch.zeros(1, 1, 20, 20, dtype=torch.float64)
    step[..., 8:] = 1
    assert gradient_error(mattes(step, 0.25 + step / 2, unknown(step))).item() == pytest.approx(0, abs=1e-20)


def test_connectivity_by_hand() -> None:
    # A wire of six pixels. Both mattes are 1 at the left end; the target sinks to 0.5 in the middle (index 3), beyond
    # which the prediction is 0.35 and 0.9. Shared up to 0.5: pixels 0..3; up to 0.3: also 4; 5 hangs on 4: up to 0.3.
    prediction = image([1.0, 1.0, 1.0, 0.6, 0.35, 0.9])
    target = image([1.0, 1.0, 1.0, 0.5, 0.80, 0.9])
    # Levels 1, 1, 1, 0.5, 0.3, 0.3. Above them: prediction 0, 0, 0, 0.1, 0.05, 0.6, target 0, 0, 0, 0, 0.5, 0.6. What
    # is below 0.15 counts as connected: of 0.1 and 0.05 nothing; |phi - phi*| is 0.5 at index 4 and 0 elsewhere.
    images = mattes(prediction, target, unknown(prediction))
    assert connectivity_error(images).item() == pytest.approx(0.5 / 1000, abs=1e-15)
    # The same with the end not in the unknown band, and the prediction right there.
    trimap = unknown(prediction)
    trimap[..., 0] = 255
    assert connectivity_error(mattes(prediction, target, trimap)).item() == pytest.approx(0.5 / 1000, abs=1e-15)
    trimap[..., 4] = 0
    assert connectivity_error(mattes(prediction, target, trimap)).item() == pytest.approx(0, abs=1e-15)


def test_an_island_is_not_connected() -> None:
    # Both mattes have a body of three pixels and an island at the end, which is 0.9 to one and 1.0 to the other.
    prediction, target = image([1.0, 1.0, 1.0, 0.0, 0.9]), image([1.0, 1.0, 1.0, 0.0, 1.0])
    images = mattes(prediction, target, unknown(target))  # its level is 0: phi = 1 - 0.9 and 1 - 1
    assert connectivity_error(images).item() == pytest.approx(0.1 / 1000, abs=1e-15)


def test_a_threshold_belongs_to_its_level() -> None:
    # 153 / 255 is 0.6: level 0.6 for both, so that 0.7 is 0.1 above it, less than 0.15, and nothing counts.
    prediction, target = image([153 / 255, 1.0]), image([0.7, 1.0])
    assert connectivity_error(mattes(prediction, target, unknown(target))).item() == 0.0


@pytest.mark.parametrize("measure", [sad, matting_mse, gradient_error, connectivity_error])
def test_equal_mattes_score_zero(measure) -> None:
    _, target, trimap = scene(40, 50, seed=3)
    trimap[:] = 128
    assert measure(mattes(target, target, trimap)).item() == 0.0


# --- slow references ----------------------------------------------------------------------------------------


def slow_gradient(alpha: np.ndarray) -> np.ndarray:
    """9 x 9 filters, written out, of unit norm."""
    y, x = np.mgrid[-4:5, -4:5]
    kernel = -x * np.exp(-(x**2 + y**2) / (2 * 1.4**2))
    kernel /= np.sqrt((kernel**2).sum())
    alpha = (alpha - alpha.min()) / (alpha.max() - alpha.min())
    dx, dy = (scipy.ndimage.correlate(alpha, k, mode="nearest") for k in (kernel, kernel.T))
    return np.sqrt(dx**2 + dy**2)


def slow_connectivity(prediction: np.ndarray, target: np.ndarray, band: np.ndarray) -> float:
    """Pixel by pixel: climb the thresholds until the pixel leaves the largest shared component."""
    shared = []
    for threshold in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0):
        labels, count = scipy.ndimage.label((prediction >= threshold) & (target >= threshold))
        sizes = [(labels == i + 1).sum() for i in range(count)]
        shared.append(labels == 1 + int(np.argmax(sizes)) if sizes else np.zeros(labels.shape, bool))
    total = 0.0
    for i, j in zip(*band.nonzero(), strict=True):
        level = 0.0
        for k in range(10):
            if not shared[k][i, j]:
                break
            level = (k + 1) / 10
        gaps = [alpha[i, j] - level for alpha in (prediction, target)]
        phi = [1 - gap if gap >= 0.15 else 1.0 for gap in gaps]
        total += abs(phi[0] - phi[1])
    return total / 1000


def slow_errors(prediction: Tensor, target: Tensor, trimap: Tensor) -> dict[str, float]:
    p, t = prediction[0, 0].numpy() / 255, target[0, 0].numpy() / 255
    p[trimap[0, 0].numpy() == 0], p[trimap[0, 0].numpy() == 255] = 0, 1
    band = trimap[0, 0].numpy() == 128
    return {
        "sad": np.abs(p - t).sum() / 1000,
        "mse": ((p - t) ** 2).sum() / band.sum(),
        "grad": ((slow_gradient(p) - slow_gradient(t)) ** 2)[band].sum() / 1000,
        "conn": slow_connectivity(p, t, band),
    }


@pytest.mark.parametrize(("H", "W", "seed"), [(40, 60, 0), (61, 33, 1), (16, 90, 2)])
def test_errors_are_their_definitions(H: int, W: int, seed: int) -> None:
    images = scene(H, W, seed)
    slow = slow_errors(*images)
    assert min(slow.values()) > 1e-3
    assert matting(*images) == pytest.approx(slow, abs=1e-10)


def test_errors_on_a_photograph() -> None:
    if "ATELIER_DATA" not in os.environ:
        pytest.skip("ATELIER_DATA is not set: the lemur is not here")
    folder = Path(os.environ["ATELIER_DATA"], "matting", "lemur")
    alpha, trimap = (
        torch.from_numpy(np.array(Image.open(folder / f"lemur_{name}.png").convert("L")))[None, None, 150:290, 250:420]
        for name in ("alpha", "trimap")
    )
    trimap = trimap.masked_fill((trimap > 0) & (trimap < 255), 128)
    slow = slow_errors(trimap, alpha, trimap)  # the trimap as a matte: 128 in all of the unknown band
    assert min(slow.values()) > 1e-3
    assert matting(trimap, alpha, trimap) == pytest.approx(slow, abs=1e-9)


@pytest.mark.parametrize("density", [0.05, 0.4, 0.6, 0.75, 0.95])
def test_components_equal_scipy(density: float) -> None:
    mask = np.random.default_rng(0).random((37, 53)) < density
    labels, count = scipy.ndimage.label(mask)
    roots = component_roots(torch.from_numpy(mask)).numpy()
    assert len(np.unique(roots[mask])) == count
    for i in range(count):
        inside = roots[labels == i + 1]
        assert (inside == inside[0]).all()
        assert inside[0] == np.flatnonzero(labels == i + 1)[0]
    sizes = [(labels == i + 1).sum() for i in range(count)]
    largest = largest_component(torch.from_numpy(mask)).numpy()
    assert np.array_equal(largest, labels == 1 + int(np.argmax(sizes)))


def test_a_winding_path_is_one_component() -> None:
    rows = [("1" * 41), ("0" * 40 + "1"), ("1" * 41), ("1" + "0" * 40)] * 10
    mask = torch.tensor([[int(c) for c in row] for row in rows]).bool()
    assert component_roots(mask)[mask].unique().tolist() == [0]
    assert not largest_component(torch.zeros(3, 3).bool()).any()


# --- over a set, and bad input ------------------------------------------------------------------------------


def test_every_matte_counts_the_same() -> None:
    first, second, third = scene(30, 30, 0), scene(30, 30, 1), scene(20, 45, 2)
    metric = Matting()
    metric.update(*(torch.cat(parts) for parts in zip(first, second, strict=True)))
    metric.update(*third)
    single = [matting(*images) for images in (first, second, third)]
    for name, value in metric.as_floats().items():
        assert value == pytest.approx(sum(scores[name] for scores in single) / 3, abs=1e-12)
    assert list(single[0]) == ["sad", "mse", "grad", "conn"]


def test_floats_are_mattes_too() -> None:
    prediction, target, trimap = scene(30, 30, 0)
    floats = matting(prediction.double() / 255, target.double() / 255, trimap)
    assert floats == pytest.approx(matting(prediction, target, trimap), abs=1e-12)


def test_a_trimap_without_unknown_pixels_leaves_nothing_to_judge() -> None:
    _, target, trimap = scene(30, 30, 0)
    trimap = trimap.masked_fill(trimap == 128, 0)
    scores = matting(target, trimap, trimap)
    assert scores == {"sad": 0.0, "mse": 0.0, "grad": 0.0, "conn": 0.0}


GOOD = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("prediction", "target", "trimap", "message"),
    [
        (GOOD + 1.5, GOOD, GOOD, "prediction's floats reach from 1.5 to 1.5: give uint8, or floats in"),
        (GOOD, GOOD * math.nan, GOOD, "target has pixels that are NaN"),
        (GOOD, GOOD, GOOD + 127, "trimap is torch.uint8 with values from 127 to 127: give uint8 of 0"),
        (GOOD, GOOD, GOOD.float(), "trimap is torch.float32"),
        (GOOD, GOOD[..., 1:], GOOD, r"target \[1, 1, 8, 7\] and trimap \[1, 1, 8, 8\] differ in shape"),
        (GOOD, GOOD, GOOD[..., 1:], r"trimap \[1, 1, 8, 7\] differ in shape"),
        (GOOD.expand(1, 3, 8, 8), GOOD, GOOD, r"prediction is of shape \[1, 3, 8, 8\]: a matte is \[N, 1, H, W\]"),
        (GOOD.long(), GOOD, GOOD, "prediction is torch.int64"),
    ],
)
def test_mattes_that_cannot_be_compared(prediction: Tensor, target: Tensor, trimap: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        matting(prediction, target, trimap)

"""The Laplacian-pyramid loss against its parts, its sum and hand values."""

import pytest
import torch

from lightning_modules.losses.laplacian import LaplacianL1, blur, enlarge, laplacian_pyramid


def test_blurring_and_enlarging_keep_a_constant_and_a_ramp() -> None:
    assert torch.allclose(blur(torch.full((1, 2, 6, 6), 3.0)), torch.tensor(3.0))
    assert torch.allclose(enlarge(torch.full((1, 2, 6, 6), 3.0)), torch.tensor(3.0))
    ramp = torch.arange(16.0).expand(1, 1, 16, 16)
    assert torch.allclose(enlarge(blur(ramp)[:, :, ::2, ::2])[..., 4:-4], ramp[..., 4:-4], atol=1e-5)


def test_a_pyramid_adds_up_to_its_image() -> None:
    x = torch.randn(2, 3, 24, 32)
    pyramid = laplacian_pyramid(x, 3)
    assert [tuple(level.shape) for level in pyramid] == [
        (6, 1, 24, 32),
        (6, 1, 12, 16),
        (6, 1, 6, 8),
        (6, 1, 3, 4),
    ]
    found = pyramid.pop()
    while pyramid:
        found = enlarge(found) + pyramid.pop()
    assert torch.allclose(found.view_as(x), x, atol=1e-5)


def test_lap1_by_hand() -> None:
    x = torch.randn(2, 1, 16, 16)
    assert LaplacianL1(2.0, levels=2)(x + 0.25, x).item() == pytest.approx(
        2 * 0.25, abs=1e-6
    )  # a constant is in the rest alone
    levels = laplacian_pyramid(x, 2)
    by_hand = sum(4**j * level.abs().sum() for j, level in enumerate(levels)) / x.numel()
    assert LaplacianL1(levels=2)(x, torch.zeros_like(x)).item() == pytest.approx(float(by_hand), rel=1e-5)


def test_images_too_small_for_the_levels_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be halved 3 times with 3 px left: lower levels"):
        LaplacianL1()(torch.zeros(1, 1, 16, 16), torch.zeros(1, 1, 16, 16))
    with pytest.raises(ValueError, match="levels must be 1 or more"):
        LaplacianL1(levels=0)

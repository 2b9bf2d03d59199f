"""Noise by hand: its mean and variance, what is clamped, whose stream it is drawn from."""

import math

import numpy as np
import pytest
import torch
from test_denoising import image

from datamodules.denoising import BlindGaussian, Gaussian, Poisson
from datamodules.functional import degrade


def test_gaussian_noise_has_the_variance_that_is_asked_for_and_is_not_clamped():
    torch.manual_seed(0)
    x = torch.full((2, 1, 300, 300), 0.02)
    y = degrade.gaussian(x, 25.0)
    rest = (y - x) * 255
    assert abs(rest.mean()) < 5 * 25 / math.sqrt(rest.numel())
    assert rest.std().item() == pytest.approx(25, rel=5 / math.sqrt(2 * rest.numel()))
    assert (y < 0).float().mean().item() == pytest.approx(0.5 * math.erfc(0.02 * 255 / 25 / math.sqrt(2)), abs=0.01)
    assert abs((rest[:, :, 1:] * rest[:, :, :-1]).mean() / 625) < 0.02  # white: no pixel knows its neighbour
    assert not torch.equal(rest[0], rest[1])
    drawn, again = (torch.Generator().manual_seed(1) for _ in range(2))
    noise = torch.randn(x.shape, generator=again)
    assert torch.allclose(degrade.gaussian(x, 25.0, drawn), x + noise * 25 / 255, atol=1e-6)


def test_poisson_noise_has_mean_x_and_variance_x_by_peak():
    torch.manual_seed(0)
    levels = torch.tensor([0.0, 0.1, 0.5, 1.0])
    y = degrade.poisson(levels.view(4, 1, 1, 1).expand(4, 1, 200, 200), 30.0).flatten(1)
    n = y.shape[1]
    for x, values in zip(levels.tolist(), y, strict=True):
        assert values.mean().item() == pytest.approx(x, abs=5 * math.sqrt(x / 30 / n))
        assert values.var().item() == pytest.approx(x / 30, rel=0.05)
        assert ((values * 30).round() - values * 30).abs().max() < 1e-4  # whole photons
    assert (y[3] > 1).any()


def test_a_blind_level_is_drawn_for_each_image_over_the_whole_range():
    torch.manual_seed(0)
    x = torch.full((400, 1, 40, 40), 0.5)
    sigma = (BlindGaussian(0, 55).draw(x) - x).flatten(1).std(1) * 255
    assert 0 <= sigma.min() < 3
    assert 52 < sigma.max() < 60
    assert sigma.mean().item() == pytest.approx(27.5, abs=5 * 55 / math.sqrt(12 * 400))
    assert sigma.quantile(0.25).item() == pytest.approx(13.75, abs=4)  # even, not heaped
    given = torch.tensor([0.0, 50.0])
    drawn = (degrade.gaussian(x[:2], given) - x[:2]).flatten(1).std(1) * 255
    assert drawn.tolist() == pytest.approx([0, 50], rel=0.1)


def test_the_order_of_colour_noise_and_of_photons_is_numpys():
    x = torch.from_numpy(image(0, 4, 5, 3)).permute(2, 0, 1)[None] / 255
    stream, values = np.random.RandomState(0), np.random.RandomState(0).normal(0, 1, (4, 5, 3))
    y = Gaussian(255).fixed(x, stream)
    assert (y - x)[0].permute(1, 2, 0).numpy() == pytest.approx(values, abs=1e-5)
    white = torch.tensor([[[[0.1, 1.0, 0.5]]]])
    photons = Poisson(30).fixed(white, np.random.RandomState(0)) * 30
    assert photons.flatten().tolist() == pytest.approx([5, 29, 25], abs=1e-4)

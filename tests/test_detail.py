"""Fine detail: waves and noise whose energy above half of Nyquist's frequency is known."""

import math
from pathlib import Path

import pytest
import torch
from test_srgan import files, tiny
from torch import Tensor
from toys import trainer

from datamodules.super_resolution import SuperResolutionImages
from lightning_modules.callbacks.clock import Clock
from lightning_modules.callbacks.fidelity import FidelityScores
from lightning_modules.losses.reconstruction import MSE
from lightning_modules.metrics.fidelity.detail import detail
from lightning_modules.metrics.fidelity.protocol import Pair
from lightning_modules.srgan import SRGAN


def seen(prediction: Tensor, target: Tensor) -> float:
    return detail(Pair(prediction, target, None)).item()


def test_detail_is_energy_above_half_of_nyquists_frequency() -> None:
    noise = 20 * torch.randn(1, 1, 64, 48, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert seen(noise + 100, noise) == pytest.approx(1, rel=1e-9)  # the mean is no detail
    assert seen(0.5 * noise, noise) == pytest.approx(0.25, rel=1e-3)
    assert seen(torch.full_like(noise, 9.0), torch.zeros_like(noise)) == 1
    column = torch.arange(48, dtype=torch.float64).expand(1, 1, 64, 48)
    waves = {f: 50 * torch.cos(2 * math.pi * f * column) for f in (0.15, 0.4)}
    assert seen(noise + waves[0.15], noise) == pytest.approx(1, abs=0.02)
    # a wave of amplitude 50 has a power of 50^2 / 2 beside noise of variance 400, of which a share lies above
    high = torch.hypot(torch.fft.fftfreq(64)[:, None], torch.fft.fftfreq(48)[None]) > 0.25
    assert seen(noise + waves[0.4], noise) == pytest.approx(1 + 1250 / (400 * high.float().mean().item()), rel=0.15)
    with pytest.raises(ValueError, match="no frequency above half of Nyquist's"):
        seen(torch.zeros(1, 1, 2, 1), torch.zeros(1, 1, 2, 1)[..., :0])


def test_detail_is_scored_where_asked_for(tmp_path: Path) -> None:
    data = SuperResolutionImages(**files(tmp_path / "data"))
    for asked in (False, True):
        scores = FidelityScores("rgb", 0, detail=asked)
        trainer(tmp_path, Clock(g_steps=1, validations=1), scores).fit(SRGAN(*tiny(), losses=[MSE()]), datamodule=data)
        assert ("S-x2/detail@rgb" in scores.history[0]["metrics"]) == asked

"""Network interpolation: its ends are the two networks, between them lies the line, and the command says where."""

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from command_line import place
from test_bad_input import refused
from test_srgan import tiny
from torch import nn
from toys import distance, same, weights

from experiments.cli import main
from lightning_modules.ema import EMASettings
from lightning_modules.networks.rrdb import RRDBNet
from lightning_modules.srgan import SRGAN
from lightning_modules.super_resolution import SuperResolution
from lightning_modules.tools.interpolate import blend, interpolated


def saved(module: L.LightningModule, path: Path) -> Path:
    torch.save({"state_dict": module.state_dict(), "global_step": 1, "counters": {"g_step": 1}}, path)
    return path


def opened(path: Path) -> dict[str, Any]:
    return torch.load(path, weights_only=True)  # type: ignore[no-any-return]


def test_interpolation_begins_at_one_network_and_ends_at_the_other(tmp_path: Path) -> None:
    first, second = SuperResolution(tiny(1)[0], ema=EMASettings(decay=0.5)), SRGAN(*tiny(2))
    assert first.ema is not None
    nn.init.constant_(first.ema.net.first[0].bias, 5.0)  # type: ignore[union-attr, index, arg-type]
    a, b = saved(first, tmp_path / "a.ckpt"), saved(second, tmp_path / "b.ckpt")
    ours = SRGAN(*tiny(3))
    y = torch.rand(2, 3, 6, 6)
    for alpha, module in ((0.0, first), (1.0, second)):
        ours.load_state_dict(interpolated(opened(a), opened(b), alpha)["state_dict"])
        assert torch.equal(ours(y, 2), module(y, 2))  # the averaged network of the first
        assert distance(weights(ours.D), weights(second.D)) == 0
    blended = interpolated(opened(a), opened(b), 0.25)["state_dict"]
    name = "first.0.bias"
    expected = 0.75 * 5.0 + 0.25 * second.G.state_dict()[name]
    assert torch.allclose(blended[f"G.{name}"], expected)
    averaged = SRGAN(*tiny(4), ema=EMASettings(decay=0.5))
    blended = interpolated(opened(a), opened(saved(averaged, tmp_path / "c.ckpt")), 0.5)["state_dict"]
    assert torch.equal(blended[f"G.{name}"], blended[f"ema.net.{name}"])


def test_what_counts_is_not_interpolated() -> None:
    a, b = {"w": torch.tensor(1.0), "n": torch.tensor(3)}, {"w": torch.tensor(2.0), "n": torch.tensor(6)}
    assert blend(a, b, 0.75) == {"w": torch.tensor(1.75), "n": torch.tensor(6)}


@pytest.mark.usefixtures(place.__name__)
def test_interpolation_is_a_command(capfd: pytest.CaptureFixture[str]) -> None:
    saved(SuperResolution(tiny(1)[0]), Path("a.ckpt"))
    saved(SRGAN(*tiny(2)), Path("b.ckpt"))
    assert main(["interpolate", "a.ckpt", "b.ckpt", "--alpha", "0.8"]) == 0
    assert "interpolated-0.8.ckpt" in capfd.readouterr().out
    state = torch.load("interpolated-0.8.ckpt", weights_only=True)["state_dict"]
    assert same(state, interpolated(opened(Path("a.ckpt")), opened(Path("b.ckpt")), 0.8)["state_dict"])
    saved(SuperResolution(RRDBNet(2, 1, 4, 4)), Path("c.ckpt"))
    for words, sentence in {
        ("a.ckpt", "b.ckpt", "--alpha", "0.8"): "interpolated-0.8.ckpt exists and is not overwritten",
        ("a.ckpt", "b.ckpt", "--alpha", "1.5"): "alpha is 1.5: give a number from 0",
        ("a.ckpt", "b.ckpt", "--alpha", "half"): "--alpha expects a number",
        ("a.ckpt", "b.ckpt"): "interpolate needs --alpha",
        ("a.ckpt", "--alpha", "0.5"): "interpolate needs two runs",
        ("a.ckpt", "none.ckpt", "--alpha", "0.5"): "there is no checkpoint at none.ckpt",
        ("a.ckpt", "tiny.yaml", "--alpha", "0.5"): "tiny.yaml is no checkpoint, or a damaged one",
        ("a.ckpt", "c.ckpt", "--alpha", "0.5"): "the two are of different networks",
    }.items():
        assert sentence in refused(capfd, "interpolate", *words)

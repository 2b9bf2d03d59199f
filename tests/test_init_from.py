"""Laws of the warm start: what matches is taken, what does not is said."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from toys import SHAPE, distance, mlps, sgd, trainer, weights

from datamodules.digits import Digits
from lightning_modules.ema import EMASettings
from lightning_modules.gan import GAN
from lightning_modules.networks.mlp import MLPDiscriminator


def saved(folder: Path, **settings: Any) -> tuple[GAN, str]:
    """A trained GAN and its checkpoint."""
    module = GAN(*mlps(seed=1), **settings)
    run = trainer(folder, max_steps=2)
    run.fit(module, datamodule=Digits(size=8, batch_size=8))
    run.save_checkpoint(folder / "first.ckpt")
    return module, str(folder / "first.ckpt")


def warm(folder: Path, path: str, discriminator: MLPDiscriminator | None = None, **settings: Any) -> GAN:
    """A GAN that starts from ``path``, as it stands before its first step."""
    G, D = mlps()
    module = GAN(G, discriminator or D, init_from=path, d_optimizer=sgd(0.0), g_optimizer=sgd(0.0), **settings)
    trainer(folder, max_steps=1).fit(module, datamodule=Digits(size=8, batch_size=8))
    return module


def test_init_from_takes_all_that_matches(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, path = saved(tmp_path, ema=EMASettings(decay=0.5))
    second = warm(tmp_path, path, ema=EMASettings(decay=1 - 1e-7))
    assert distance(weights(first), weights(second)) < 1e-6
    assert (second.images_seen, second.g_step) == (8, 1)  # its own
    said = capsys.readouterr().out
    assert f"init_from {path}: 18 of 18 tensors taken" in said
    assert "missing" not in said


def test_init_from_prints_what_did_not_match(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, path = saved(tmp_path)
    capsys.readouterr()
    torch.manual_seed(7)
    D = MLPDiscriminator(SHAPE, width=8, depth=1)
    D.blocks[0][0] = nn.Linear(64, 8, bias=False)
    D.blocks.append(nn.Linear(8, 6, bias=False))
    D.head = nn.Linear(6, 1, bias=False)
    own = weights(D)
    second = warm(tmp_path, path, D)
    assert distance(weights(first.G), weights(second.G)) == 0
    assert torch.equal(second.D.blocks[0][0].weight, first.D.blocks[0][0].weight)
    assert torch.equal(second.D.head.weight, own["head.weight"])
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert f"init_from {path}: 7 of 9 tensors taken" in lines
    assert lines[lines.index(f"init_from {path}: 7 of 9 tensors taken") + 1 :][:6] == [
        "unused: D.blocks.0.0.bias",
        "unused: D.blocks.1.0.bias",
        "unused: D.blocks.1.0.weight",
        "missing there: D.blocks.1.weight",
        "unused: D.head.bias",
        "other shape: D.head.weight",
    ]


def test_an_average_that_the_checkpoint_lacks_starts_from_its_g(tmp_path: Path) -> None:
    first, path = saved(tmp_path)
    second = warm(tmp_path, path, ema=EMASettings(decay=1 - 1e-7))
    assert second.ema is not None
    assert distance(weights(first.G), weights(second.ema.net)) < 1e-6


def test_init_from_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"init_from: there is no checkpoint at absent\.ckpt"):
        warm(tmp_path, "absent.ckpt")
    torch.save({"state_dict": {"other": torch.zeros(1)}}, tmp_path / "other.ckpt")
    with pytest.raises(ValueError, match=r"init_from: .*other\.ckpt shares no weight with GAN"):
        warm(tmp_path, str(tmp_path / "other.ckpt"))


def test_a_resumed_run_does_not_start_again_from_elsewhere(tmp_path: Path) -> None:
    _, path = saved(tmp_path)
    G, D = mlps()
    module = GAN(G, D, init_from="absent.ckpt", d_optimizer=sgd(0.0), g_optimizer=sgd(0.0))
    adam = torch.load(path, weights_only=True)
    adam["optimizer_states"] = [sgd(0.0)(net.parameters()).state_dict() for net in (D, G)]
    torch.save(adam, path)
    trainer(tmp_path, max_steps=3).fit(module, datamodule=Digits(size=8, batch_size=8), ckpt_path=path)
    assert module.global_step == 3

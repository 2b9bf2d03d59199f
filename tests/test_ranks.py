"""Laws of many ranks, on two gloo processes: together they are one, and no two of them draw the same noise."""

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch.strategies import DDPStrategy
from toys import (
    Finite,
    Logged,
    ToldGAN,
    WithNoise,
    batches_with_noise,
    dcgans,
    distance,
    free_port,
    mlps,
    start,
    told_gan,
    trainer,
    wait,
    weights,
)

from datamodules.digits import Digits
from lightning_modules import base, ranks
from lightning_modules.callbacks.checkpoints import Checkpoints
from lightning_modules.callbacks.clock import Clock
from lightning_modules.ema import EMASettings
from lightning_modules.gan import GAN
from lightning_modules.losses.penalties import R1, R2

WORLD = 2
STEPS = 4


def strategy() -> DDPStrategy:
    """That of experiments/multi_gpu.yaml."""
    return DDPStrategy(find_unused_parameters=True, broadcast_buffers=False, process_group_backend="gloo")


def be(rank: int, port: int, train: Callable[[int, Path], dict[str, Any]], folder: Path) -> None:
    """One of two ranks: train and leave what came out in ``folder``."""
    torch.set_num_threads(1)
    here = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": WORLD, "LOCAL_RANK": rank, "NODE_RANK": 0}
    os.environ.update({name: str(value) for name, value in here.items()})
    torch.save(train(rank, folder), folder / f"rank-{rank}.pt")
    torch.distributed.destroy_process_group()


def both(train: Callable[[int, Path], dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """What ``train`` returns on each of two ranks."""
    port = free_port()
    wait([start(be, rank, port, train, folder) for rank in range(WORLD)])
    return [torch.load(folder / f"rank-{rank}.pt", weights_only=True) for rank in range(WORLD)]


# --- two ranks are one --------------------------------------------------------------------------------------


def penalised(micro_batch: int) -> Any:
    return told_gan(
        n_critic=2, micro_batch=micro_batch, penalties=[R1(2.0), R2(1.0)], d_clip=0.5, ema=EMASettings(decay=0.5)
    )


def on_a_share(rank: int, folder: Path) -> dict[str, Any]:
    """Train on every second image, in micro-batches."""
    module = penalised(micro_batch=2)
    share = [WithNoise(*(part[rank::WORLD] for part in batch)) for batch in batches_with_noise(STEPS)]
    logger = Logged()
    run = trainer(folder, max_steps=STEPS, devices=WORLD, strategy=strategy(), logger=logger, log_every_n_steps=1)
    run.fit(module, datamodule=Finite(share))
    counts = [run.global_step, module.g_step, module.images_seen]
    return {"weights": weights(module), "counts": counts, "rows": logger.rows}


def test_two_ranks_are_one(tmp_path: Path) -> None:
    one = penalised(micro_batch=8)
    logger = Logged()
    run = trainer(tmp_path, max_steps=STEPS, logger=logger, log_every_n_steps=1)
    run.fit(one, datamodule=Finite(batches_with_noise(STEPS)))
    for found in both(on_a_share, tmp_path):
        assert distance(found["weights"], weights(one)) < 1e-6
        assert found["counts"] == [STEPS, STEPS // 2, 8 * STEPS] == [one.global_step, one.g_step, one.images_seen]
        for (step, row), (own_step, own) in zip(logger.rows, found["rows"], strict=True):
            assert (own_step, list(own)) == (step, list(row))
            assert own == pytest.approx(row, abs=1e-6)  # all are means over the batch, or of the same gradient
    assert {"d/adv", "d/r1", "d/grad_norm", "g/adv"} <= logger.rows[-1][1].keys()
    assert distance(weights(one), weights(penalised(8))) > 1e-3


# --- noise, statistics, checkpoints -------------------------------------------------------------------------


class Drawn(GAN):
    """Keeps D's and G's noise."""

    def __init__(self, *players: Any, **settings: Any) -> None:
        super().__init__(*players, **settings)
        self.z: list[torch.Tensor] = []
        draw = self.G.sample_z
        self.G.sample_z = lambda n: self.z.append(draw(n)) or self.z[-1]  # type: ignore[method-assign, func-returns-value]


def with_statistics(rank: int, folder: Path) -> dict[str, Any]:
    """Train with batch norm and save; what each rank drew, and its buffers before and after they are averaged."""
    module = Drawn(*dcgans(size=16), ema=EMASettings(decay=0.5))
    run = trainer(folder, Clock(g_steps=3, validations=0), devices=WORLD, strategy=strategy())
    run.fit(module, datamodule=Digits(size=16, batch_size=4))
    before = {name: value.clone() for name, value in module.named_buffers()}
    run.save_checkpoint(folder / "averaged.ckpt")
    return {
        "z": torch.stack(module.z),
        "before": before,
        "after": dict(module.named_buffers()),
        "parameters": {name: value.detach() for name, value in module.named_parameters()},
    }


def test_ranks_draw_different_noise_and_save_averaged_statistics(tmp_path: Path) -> None:
    first, second = both(with_statistics, tmp_path)
    assert first["z"].shape == second["z"].shape == (6, 4, 4)
    z = torch.stack([first["z"], second["z"]]).flatten()
    assert len(z.unique()) == len(z)
    assert distance(first["parameters"], second["parameters"]) == 0
    means = [name for name in first["before"] if name.endswith("running_mean")]
    assert {name.split(".")[0] for name in means} == {"G", "D", "ema"}
    saved = torch.load(tmp_path / "averaged.ckpt", weights_only=True)["state_dict"]
    for name in first["before"]:
        a, b = first["before"][name], second["before"][name]
        assert torch.equal(a, b) == (not a.is_floating_point())  # counts of batches agree, statistics had drifted
        wanted = (a + b) / 2 if a.is_floating_point() else a
        for averaged in (first["after"][name], second["after"][name], saved[name]):
            assert averaged.dtype == a.dtype
            assert (averaged - wanted).abs().max() < 1e-6


def test_a_validation_looks_at_averaged_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    module = GAN(*dcgans(size=16))
    before = {name: value.clone() for name, value in module.named_buffers()}
    two_ranks = {  # of which the other has 3 more in each buffer
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "get_world_size": lambda: 2,
        "all_reduce": lambda buffer: buffer.copy_(buffer + (buffer + 3)),
    }
    monkeypatch.setattr(base, "dist", SimpleNamespace(**two_ranks))
    module.on_validation_start()
    after = dict(module.named_buffers())
    assert any(name.endswith("running_var") for name in after)
    for name, value in before.items():
        assert torch.allclose(after[name], value + 1.5 if value.is_floating_point() else value), name


# --- failure and resume -------------------------------------------------------------------------------------


class BadOnOne(ToldGAN):
    """Rank 1 alone sees a loss that is not a number, in step 2."""

    def d_loss(self, *batch: torch.Tensor) -> dict[str, torch.Tensor]:
        terms = super().d_loss(*batch)
        bad = self.global_rank == 1 and self.global_step == 2
        return {"d/odd": terms["d/adv"] * (float("nan") if bad else 1.0)}


def diverging(rank: int, folder: Path) -> dict[str, Any]:
    """Whether this rank was told of the other's trouble."""
    torch.manual_seed(0)
    told = told_gan()
    module = BadOnOne(told.G, told.D)
    run = trainer(folder, Clock(g_steps=6, validations=0), Checkpoints(2), devices=WORLD, strategy=strategy())
    try:
        run.fit(module, datamodule=Finite(batches_with_noise(6, 4)))
    except FloatingPointError as error:
        return {"error": str(error)}
    return {"error": None}


def test_all_ranks_stop_where_one_diverges(tmp_path: Path) -> None:
    for found in both(diverging, tmp_path):
        assert found["error"].startswith("d/odd was not finite at step 2: ")
    assert torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 2


def resumed(rank: int, folder: Path) -> dict[str, Any]:
    """Train to step 8, from ``last.ckpt`` where it is."""
    last = folder / "checkpoints" / "last.ckpt"
    module = Drawn(*mlps(), n_critic=2, ema=EMASettings(half_life_kimg=0.1))
    length = 6 if not last.exists() else 8
    run = trainer(folder, Clock(g_steps=length // 2), Checkpoints(), devices=WORLD, strategy=strategy())
    run.fit(module, datamodule=Digits(size=8, batch_size=4), ckpt_path=last if last.exists() else None)
    return {"weights": weights(module), "z": torch.stack(module.z), "seen": module.images_seen}


def straight(rank: int, folder: Path) -> dict[str, Any]:
    """Train to step 8."""
    module = Drawn(*mlps(), n_critic=2, ema=EMASettings(half_life_kimg=0.1))
    run = trainer(folder, Clock(g_steps=4), devices=WORLD, strategy=strategy())
    run.fit(module, datamodule=Digits(size=8, batch_size=4))
    return {"weights": weights(module), "z": torch.stack(module.z), "seen": module.images_seen}


@pytest.fixture
def uninterrupted(tmp_path: Path) -> list[dict[str, Any]]:
    (tmp_path / "straight").mkdir()
    return both(straight, tmp_path / "straight")


def test_two_ranks_resume_exactly(tmp_path: Path, uninterrupted: list[dict[str, Any]]) -> None:
    both(resumed, tmp_path)
    for expected, found in zip(uninterrupted, both(resumed, tmp_path), strict=True):
        assert distance(expected["weights"], found["weights"]) == 0
        assert torch.equal(expected["z"][-3:], found["z"])  # the last round: D, D, G
        assert expected["seen"] == found["seen"] == 8 * 4 * WORLD


def test_numbers_of_a_step_meet_on_the_device_of_the_ranks(monkeypatch):
    met = []

    def all_reduce(values):
        met.append(values)
        raise StopIteration

    for name, value in (("is_available", True), ("is_initialized", True), ("get_world_size", WORLD)):
        monkeypatch.setattr(torch.distributed, name, lambda value=value: value)
    monkeypatch.setattr(torch.distributed, "all_reduce", all_reduce)
    row = {"growth": torch.tensor(0.5), "d/adv": torch.zeros((), device="meta")}
    with pytest.raises(StopIteration):
        ranks.means_over_ranks(row, torch.device("meta"))
    assert (met[0].device.type, met[0].shape) == ("meta", (2,))

"""Laws of resume: a run cut off at any moment, by a kill too, ends where the uninterrupted one does, bit for bit."""

import random
import signal
import time
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.plugins.precision import MixedPrecision
from resuming import CutOff
from toys import SHAPE, Recording, dcgans, mlps, same, start, trainer, wait

from datamodules.augment import Shift
from datamodules.digits import Digits
from lightning_modules.callbacks.checkpoints import Checkpoints
from lightning_modules.callbacks.clock import Clock
from lightning_modules.callbacks.generative_metrics import GenerativeMetrics
from lightning_modules.callbacks.samples import ImageGrid
from lightning_modules.ema import EMASettings
from lightning_modules.losses.adversarial import Hinge
from lightning_modules.losses.penalties import R1, GradientPenalty
from lightning_modules.metrics.extractors import Identity
from lightning_modules.schedules import Cosine, Linear

STEPS = 24


def module(n_critic: int = 1, seed: int = 3, **settings: Any) -> Recording:
    return Recording(
        *dcgans(),
        n_critic=n_critic,
        seed=seed,
        d_schedule=Linear(),
        g_schedule=Cosine(warm_up=0.1),
        **settings,
    )


def fit(folder: Path, net: Recording, *callbacks: L.Callback, every: int = 8, **settings: Any) -> Recording:
    """Train to the end of the clock, from the last checkpoint where there is one."""
    last = folder / "checkpoints" / "last.ckpt"
    clock = Clock(g_steps=STEPS // net.n_critic * net.n_gen, validations=0)
    data = Digits(size=8, batch_size=100, augment=[Shift(1)], seed=7)  # an epoch is 14.4 batches
    run = trainer(folder, clock, Checkpoints(every_steps=every), *callbacks, **settings)
    run.fit(net, datamodule=data, ckpt_path=last if last.exists() else None)
    return net


def final(folder: Path) -> dict[str, Any]:
    """All that is saved but Lightning's own counts of batches and epochs."""
    checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    return {name: value for name, value in checkpoint.items() if name != "loops"}


SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "between rounds": {"n_critic": 3, "ema": EMASettings(half_life_kimg=0.5, ramp_up=0.05), "loss": Hinge()},
    "everything": {
        "n_gen": 2,
        "micro_batch": 64,
        "ema": EMASettings(decay=0.9, start=3),
        "penalties": [R1(every=5), GradientPenalty(0.1)],
        "d_clip": 1.0,
        "channels_last": True,
    },
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())
def test_a_resumed_run_ends_where_the_uninterrupted_one_does(tmp_path: Path, settings: dict[str, Any]) -> None:
    whole = fit(tmp_path / "whole", module(**settings))
    with pytest.raises(RuntimeError, match="cut off"):
        fit(tmp_path / "cut", module(**settings), CutOff(19))
    assert final(tmp_path / "cut")["global_step"] == 16
    resumed = fit(tmp_path / "cut", module(**settings))
    expected, found = final(tmp_path / "whole"), final(tmp_path / "cut")
    assert {"state_dict", "optimizer_states", "counters", "Digits", "callbacks"} <= expected.keys()
    for name in expected:
        assert same(found[name], expected[name]), name
    assert expected["Digits"] == {"consumed_images": STEPS * 100, "training_images": 1437}
    assert [expected["counters"][name] for name in ("images_seen", "g_step")] == [
        STEPS * 100,
        STEPS // whole.n_critic * whole.n_gen,
    ]
    assert resumed.rows == whole.rows[16:]
    assert resumed.order == whole.order[len(whole.order) - len(resumed.order) :]
    assert len(resumed.rows) == 8
    other = fit(tmp_path / "other", module(**settings, seed=4))  # the law has teeth: noise alone makes a difference
    assert other.rows != whole.rows
    assert not same(final(tmp_path / "other")["state_dict"], expected["state_dict"])


def test_a_resumed_run_continues_its_gradient_scaler(tmp_path: Path) -> None:
    def plugins() -> list[Any]:
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**20, growth_interval=5)
        return [MixedPrecision("16-mixed", "cpu", scaler)]

    def net() -> Recording:
        return Recording(*mlps())

    whole = fit(tmp_path / "whole", net(), plugins=plugins())
    with pytest.raises(RuntimeError, match="cut off"):
        fit(tmp_path / "cut", net(), CutOff(19), plugins=plugins())
    resumed = fit(tmp_path / "cut", net(), plugins=plugins())
    assert resumed.rows == whole.rows[16:]
    expected, found = final(tmp_path / "whole"), final(tmp_path / "cut")
    assert expected["MixedPrecision"]["scale"] != 2.0**20
    assert all(same(found[name], expected[name]) for name in expected)


def test_a_finished_run_has_nothing_left_to_do(tmp_path: Path) -> None:
    fit(tmp_path, module())
    before = (tmp_path / "checkpoints" / "last.ckpt").read_bytes()
    again = fit(tmp_path, module())
    assert again.order == ""
    assert (tmp_path / "checkpoints" / "last.ckpt").read_bytes() == before


def test_a_resume_inside_the_validations_repeats_and_drops_none(tmp_path: Path) -> None:
    class Validated(L.Callback):
        def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            steps.append(trainer.global_step)

    def run(at: int) -> None:
        last = tmp_path / "checkpoints" / "last.ckpt"
        callbacks = [Clock(g_steps=12, validations=4), Checkpoints(every_steps=2), Validated(), CutOff(at)]
        trainer(tmp_path, *callbacks).fit(
            module(), datamodule=Digits(size=8, batch_size=50), ckpt_path=last if last.exists() else None
        )

    steps: list[int] = []
    for at in (7, 9, 11):  # the last checkpoints: after a validation at 6, at 8 between, and after one at 9
        with pytest.raises(RuntimeError, match="cut off"):
            run(at)
    run(99)
    assert steps == [3, 6, 9, 12]


def test_training_with_and_without_looking_gives_identical_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(folder: Path, *callbacks: L.Callback, validations: int) -> dict[str, torch.Tensor]:
        net = module()  # no average: what is looked at are G's own weights and statistics
        clock = Clock(g_steps=6, validations=validations)
        trainer(folder, clock, *callbacks).fit(net, datamodule=Digits(size=8, batch_size=50, augment=[Shift(1)]))
        return net.state_dict()

    monkeypatch.setenv("ATELIER_CACHE", str(tmp_path / "cache"))
    evaluation = GenerativeMetrics(fakes=100)
    evaluation.extractor = Identity(SHAPE, 10)
    evaluation.extractor_name = "identity"
    with_it = run(tmp_path, evaluation, ImageGrid(), Checkpoints(every_steps=1), validations=3)
    without = run(tmp_path / "without", validations=0)
    assert [row["d_step"] for row in evaluation.history] == [0, 2, 4, 6]
    assert len(list((tmp_path / "samples").iterdir())) == 4
    assert not (tmp_path / "without").exists()
    assert same(with_it, without)


# --- kill -9 ------------------------------------------------------------------------------------------------

LONG = 240


def train_long(folder: Path) -> None:
    """What is killed: a run of 240 steps that saves after each."""
    torch.set_num_threads(1)
    last = folder / "checkpoints" / "last.ckpt"
    net = Recording(*mlps(), n_critic=2, penalties=[R1(every=3)], ema=EMASettings(decay=0.9), d_schedule=Linear())
    run = trainer(folder, Clock(g_steps=LONG // 2, validations=5), Checkpoints(every_steps=1))
    data = Digits(size=8, batch_size=20, augment=[Shift(1)])
    run.fit(net, datamodule=data, ckpt_path=last if last.exists() else None)


def moments_of(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


def kill_at(folder: Path, seconds: float) -> int:
    """Start or resume the long run, kill it ``seconds`` after its first checkpoint; the step that is saved then."""
    last = folder / "checkpoints" / "last.ckpt"
    before, process = moments_of(last), start(train_long, folder)
    while moments_of(last) == before:
        assert process.is_alive()
        time.sleep(0.001)
    time.sleep(seconds)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    return torch.load(last, weights_only=True)["global_step"]


def test_ten_kills_change_nothing(tmp_path: Path) -> None:
    whole = start(train_long, tmp_path / "whole")
    moment = random.Random(0)
    saved = [kill_at(tmp_path / "killed", moment.uniform(0, 0.05)) for _ in range(10)]
    assert saved == sorted(saved)
    assert 0 < saved[0] < saved[-1] < LONG
    last = start(train_long, tmp_path / "killed")
    wait([whole, last])
    expected, found = final(tmp_path / "whole"), final(tmp_path / "killed")
    assert expected["global_step"] == LONG
    for name in expected:
        assert same(found[name], expected[name]), name

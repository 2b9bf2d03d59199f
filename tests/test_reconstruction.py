"""Laws of the one-player base: named sums, one clock, the same resume, data in their range."""

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from resuming import CutOff
from torch import Tensor, nn
from toys import Finite, Logged, batches, distance, same, sgd, trainer, weights

from datamodules.augment import Shift
from datamodules.digits import Digits
from lightning_modules.callbacks.checkpoints import Checkpoints
from lightning_modules.callbacks.clock import Clock
from lightning_modules.classifier import Classifier
from lightning_modules.ema import EMASettings
from lightning_modules.losses.reconstruction import L1, MSE
from lightning_modules.networks.base import Network
from lightning_modules.networks.cnn import CNN
from lightning_modules.reconstruction import ReconstructionModule
from lightning_modules.schedules import Linear


class Gain(Network):
    """x = w y: one weight, whose gradient can be had by hand."""

    def __init__(self, w: float = 1.0) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(w))

    def forward(self, y: Tensor) -> Tensor:
        return self.w * y


def pairs(count: int) -> Finite:
    """Restored images x = 0.5 and damaged ones y = 0.25, in [0, 1]."""
    data = Finite([(torch.full((4, 1, 8, 8), 0.5), torch.full((4, 1, 8, 8), 0.25)) for _ in range(count)])
    data.value_range = (0.0, 1.0)
    return data


def restorer(**settings: Any) -> ReconstructionModule:
    return ReconstructionModule(Gain(), [L1(2.0), MSE(3.0)], **{"optimizer": sgd(1.0), **settings})


class Rows(L.Callback):
    """Keeps what each step noted, the counters and the learning rate."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, *args: Any) -> None:
        row = {name: float(value) for name, value in pl_module.row.items()}
        self.rows.append({**row, **pl_module.counters(), "lr": trainer.optimizers[0].param_groups[0]["lr"]})


def test_the_objective_is_the_named_sum(tmp_path: Path) -> None:
    seen, module = Rows(), restorer()
    trainer(tmp_path, Clock(g_steps=1), seen).fit(module, datamodule=pairs(1))
    # prediction 0.25, target 0.5: 2 * 0.25 and 3 * 0.0625; d/dw = -2 * 0.25 - 6 * 0.25 * 0.25
    assert seen.rows == [{"train/l1": 0.5, "train/mse": 0.1875, "d_step": 1, "g_step": 1, "kimg": 0.004, "lr": 1.0}]
    assert module.network.w.item() == 1 + 0.5 + 0.375


def test_a_loss_may_stand_once() -> None:
    with pytest.raises(ValueError, match=r"^losses: each may stand once, got l1, l1$"):
        ReconstructionModule(Gain(), [L1(), L1(2.0)])


def test_length_schedule_and_average_follow_the_one_clock(tmp_path: Path) -> None:
    seen = Rows()
    module = restorer(schedule=Linear(), optimizer=sgd(0.1), ema=EMASettings(decay=0.5))
    run = trainer(tmp_path, Clock(kimg=0.014), seen)
    run.fit(module, datamodule=pairs(3))  # 14 images are 4 steps of 4, over an epoch's end
    assert run.global_step == module.g_step == 4
    assert [row["lr"] for row in seen.rows] == pytest.approx([0.1, 0.075, 0.05, 0.025], abs=1e-12)
    assert [row["d_step"] for row in seen.rows] == [row["g_step"] for row in seen.rows] == [1, 2, 3, 4]
    assert module.images_seen == 16
    w = [1.0]
    for lr in (0.1, 0.075, 0.05, 0.025):
        w.append(w[-1] - lr * (-0.5 + 6 * 0.25 * (0.25 * w[-1] - 0.5)))
    assert abs(module.network.w.item() - w[-1]) < 1e-6
    assert module.ema is not None
    averaged = w[0] / 16 + w[1] / 16 + w[2] / 8 + w[3] / 4 + w[4] / 2
    assert abs(module.ema.net.w.item() - averaged) < 1e-6
    y = torch.full((1, 1, 2, 2), 0.5)
    assert (module(y) - 0.5 * averaged).abs().max() < 1e-6  # it is the average that is looked at
    assert not module(y).requires_grad


def test_rows_are_logged_at_the_step_they_are_of(tmp_path: Path) -> None:
    logger = Logged()
    run = trainer(tmp_path, Clock(g_steps=6, validations=0), logger=[logger], log_every_n_steps=2)
    run.fit(restorer(), datamodule=pairs(6))
    assert [step for step, _ in logger.rows] == [2, 4, 6]
    assert [row["d_step"] for _, row in logger.rows] == [row["g_step"] for _, row in logger.rows] == [2, 4, 6]
    assert [row["kimg"] for _, row in logger.rows] == [0.008, 0.016, 0.024]
    assert all("train/l1" in row for _, row in logger.rows)


def test_a_loss_that_is_not_finite_is_named_with_its_step(tmp_path: Path) -> None:
    data = pairs(6)
    data.train = [batch if i != 3 else (batch[0], batch[1] * float("nan")) for i, batch in enumerate(data.train)]
    with pytest.raises(FloatingPointError, match=r"^l1 was not finite at step 3: "):
        trainer(tmp_path, Clock(g_steps=6, validations=0), Checkpoints(every_steps=2)).fit(restorer(), datamodule=data)
    saved = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert (saved["global_step"], saved["counters"]) == (2, {"images_seen": 8, "g_step": 2, "images_averaged": 8})


def test_values_in_another_range_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"works on values in \(0\.0, 1\.0\), the data module gives \(-1\.0, 1\.0\)"):
        trainer(tmp_path, max_steps=1).fit(restorer(), datamodule=Finite(batches(1)))


# --- classifier ---------------------------------------------------------------------------------------------


def classify(folder: Path, *callbacks: L.Callback, validations: int = 0, **settings: Any) -> tuple[Classifier, Rows]:
    """Train a tiny CNN with dropout, batch norm, an average and a schedule for 12 steps, from a checkpoint if any."""
    torch.manual_seed(0)
    network = CNN(width=2, dim=8)
    module = Classifier(network, 0.1, ema=EMASettings(decay=0.5), schedule=Linear(), **settings)
    last, seen = folder / "checkpoints" / "last.ckpt", Rows()
    run = trainer(folder, Clock(g_steps=12, validations=validations), Checkpoints(every_steps=5), seen, *callbacks)
    data = Digits(size=8, batch_size=200, augment=[Shift(1)])
    run.fit(module, datamodule=data, ckpt_path=last if last.exists() else None)
    return module, seen


def test_a_resumed_classifier_ends_where_the_uninterrupted_one_does(tmp_path: Path) -> None:
    whole, rows = classify(tmp_path / "whole")
    with pytest.raises(RuntimeError, match="cut off"):
        classify(tmp_path / "cut", CutOff(7))
    resumed, rest = classify(tmp_path / "cut")
    assert rest.rows == rows.rows[5:]
    assert len(rest.rows) == 7
    assert same(weights(resumed), weights(whole))
    a, b = (torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True) for name in ("whole", "cut"))
    assert all(same(a[name], b[name]) for name in ("state_dict", "optimizer_states", "counters", "Digits"))
    other, _ = classify(tmp_path / "other", seed=1)
    assert distance(weights(other), weights(whole)) > 0  # dropout is keyed by the seed


def test_validation_changes_no_weight(tmp_path: Path) -> None:
    assert same(weights(classify(tmp_path, validations=4)[0]), weights(classify(tmp_path / "without")[0]))


def test_channels_last_changes_the_layout_only(tmp_path: Path) -> None:
    plain, _ = classify(tmp_path)
    other, _ = classify(tmp_path / "other", channels_last=True)
    assert other.network.trunk[3].weight.is_contiguous(memory_format=torch.channels_last)
    assert 0 <= distance(weights(plain), weights(other)) < 1e-3  # Adam magnifies rounding in 12 steps


def test_label_smoothing_by_hand() -> None:
    class Two(Network):
        num_classes = 2

        def forward(self, x: Tensor) -> Tensor:
            return x

    logits, y = torch.tensor([[0.0, 0.0], [2.0, 0.0]]), torch.tensor([0, 1])
    for smoothing, wanted in (
        (0.0, 1.4100376),
        (0.2, 1.3100376),
    ):  # (log 2 + log(1 + e^2)) / 2; the wrong 2 weighs less
        found = Classifier(Two(), smoothing).terms(logits, y)  # type: ignore[arg-type]
        assert found.keys() == {"ce"}
        assert abs(float(found["ce"]) - wanted) < 1e-6


def test_accuracy_is_watched_and_no_term(tmp_path: Path) -> None:
    _, seen = classify(tmp_path)
    assert seen.rows[0].keys() >= {"train/ce", "train/accuracy"}
    assert 0 <= seen.rows[0]["train/accuracy"] <= 1
    assert seen.rows[-1]["train/ce"] < seen.rows[0]["train/ce"]

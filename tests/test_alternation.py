"""Laws of the two-player base: who plays when, for how long, on which gradients."""

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor, nn
from toys import (
    Finite,
    Logged,
    Recording,
    ToldRecording,
    batches,
    batches_with_noise,
    mlps,
    same,
    sgd,
    told_gan,
    trainer,
    weights,
)

from datamodules.digits import Digits
from lightning_modules.adversarial import Terms
from lightning_modules.callbacks.checkpoints import Checkpoints
from lightning_modules.callbacks.clock import Clock
from lightning_modules.gan import GAN
from lightning_modules.losses.penalties import R1

# --- order and length ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_critic", "n_gen", "round_"), [(1, 1, "DG"), (3, 1, "DDDG"), (1, 2, "DGG"), (3, 2, "DDDGG")]
)
def test_order_survives_epoch_ends(tmp_path: Path, n_critic: int, n_gen: int, round_: str) -> None:
    module = Recording(*mlps(), n_critic=n_critic, n_gen=n_gen)
    run = trainer(tmp_path, max_steps=12)
    run.fit(module, datamodule=Finite(batches(5)))  # epochs of 5 batches end inside rounds
    assert run.current_epoch >= 2
    assert module.order == round_ * (12 // n_critic)
    assert run.global_step == module.global_step == 12
    assert module.g_step == 12 // n_critic * n_gen


@pytest.mark.parametrize(("n_critic", "n_gen", "g_steps"), [(1, 1, 7), (5, 1, 3), (1, 2, 6), (2, 3, 6)])
def test_g_steps_is_the_number_of_updates_of_g(tmp_path: Path, n_critic: int, n_gen: int, g_steps: int) -> None:
    module = Recording(*mlps(), n_critic=n_critic, n_gen=n_gen)
    run = trainer(tmp_path, Clock(g_steps=g_steps, validations=0))
    run.fit(module, datamodule=Digits(size=8, batch_size=4))
    assert module.order.count("G") == module.g_step == g_steps
    assert module.order.count("D") == run.global_step == g_steps // n_gen * n_critic
    assert module.images_seen == 4 * run.global_step


def test_the_last_round_of_g_steps_is_completed(tmp_path: Path) -> None:
    module = Recording(*mlps(), n_critic=2, n_gen=3)
    trainer(tmp_path, Clock(g_steps=4, validations=0)).fit(module, datamodule=Digits(size=8, batch_size=4))
    assert (module.g_step, module.order.count("D")) == (6, 4)


@pytest.mark.parametrize(
    ("length", "n_critic", "world", "steps"),
    [
        ({"kimg": 0.1}, 1, 1, 7),  # 100 / 16 = 6.25
        ({"kimg": 0.112}, 1, 1, 7),  # exactly
        ({"kimg": 0.1}, 3, 1, 9),  # the third round is completed
        ({"kimg": 0.1}, 1, 2, 4),
        ({"epochs": 1}, 1, 1, 90),  # 1437 / 16 = 89.8
        ({"epochs": 0.5}, 1, 1, 45),
        ({"epochs": 1}, 4, 1, 92),
        ({"g_steps": 9}, 5, 2, 45),
    ],
)
def test_length_in_steps(length: dict[str, Any], n_critic: int, world: int, steps: int) -> None:
    module, data = GAN(*mlps(), n_critic=n_critic), Digits(size=8, batch_size=16)
    assert Clock(**length).total_steps(module, data, world) == steps


def test_length_holds_in_training(tmp_path: Path) -> None:
    module = Recording(*mlps(), n_critic=3)
    trainer(tmp_path, Clock(kimg=0.1)).fit(module, datamodule=Digits(size=8, batch_size=16))
    assert module.order == "DDDG" * 3
    assert module.images_seen == 9 * 16


@pytest.mark.parametrize(
    "length", [{}, {"kimg": 1, "g_steps": 1}, {"kimg": 0}, {"epochs": -1}, {"g_steps": 1, "validations": -1}]
)
def test_length_that_says_nothing_or_too_much_is_refused(length: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^clock: "):
        Clock(**length)


class ValidatedAt(L.Callback):
    def __init__(self) -> None:
        self.steps: list[int] = []

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.steps.append(trainer.global_step)


@pytest.mark.parametrize(
    ("validations", "steps"),
    [(0, []), (1, [12]), (2, [6, 12]), (5, [3, 5, 8, 10, 12]), (12, list(range(1, 13))), (99, list(range(1, 13)))],
)
@pytest.mark.parametrize("finite", [False, True])
def test_validations_are_evenly_spaced_up_to_the_last_step(
    tmp_path: Path, validations: int, steps: list[int], finite: bool
) -> None:
    data = Finite(batches(5, 4)) if finite else Digits(size=8, batch_size=4)
    seen = ValidatedAt()
    trainer(tmp_path, Clock(g_steps=12, validations=validations), seen).fit(GAN(*mlps()), datamodule=data)
    assert seen.steps == steps


def test_rows_are_logged_at_the_step_they_are_of_also_after_a_resume(tmp_path: Path) -> None:
    logger, last = Logged(), tmp_path / "checkpoints" / "last.ckpt"
    for length in (5, 8):
        settings = {"logger": [logger], "log_every_n_steps": 2}
        run = trainer(tmp_path, Clock(kimg=0.004 * length, validations=0), Checkpoints(), **settings)
        module = GAN(*mlps())
        run.fit(module, datamodule=Digits(size=8, batch_size=4), ckpt_path=last if last.exists() else None)
        assert run.global_step == length
    assert [step for step, _ in logger.rows] == [2, 4, 6, 8]
    for step, row in logger.rows:
        assert row.keys() == {
            *("d/adv", "d/real", "d/fake", "d/gap", "d/grad_norm", "g/adv", "g/grad_norm"),
            *("d_step", "g_step", "kimg"),
        }
        assert abs(row["d/gap"] - (row["d/real"] - row["d/fake"])) < 1e-6
        assert (row["d_step"], row["g_step"], row["kimg"]) == (step, step, 0.004 * step)


# --- who learns ---------------------------------------------------------------------------------------------


def flags(net: nn.Module) -> set[bool]:
    return {parameter.requires_grad for parameter in net.parameters()}


def gradients(net: nn.Module) -> list[Tensor | None]:
    return [None if p.grad is None else p.grad.clone() for p in net.parameters()]


def unchanged(a: list[Tensor | None], b: list[Tensor | None]) -> bool:
    return all(x is y or (x is not None and y is not None and torch.equal(x, y)) for x, y in zip(a, b, strict=True))


class Watched(Recording):
    """Asserts at each update that only its player can learn, and breaks G's loss at step ``breaks_at``."""

    breaks_at = -1
    looked = 0

    def d_loss(self, x: Tensor, y: Tensor) -> Terms:
        assert (flags(self.G), flags(self.D)) == ({False}, {True})
        self.looked += 1
        return super().d_loss(x, y)

    def g_loss(self, x: Tensor, y: Tensor) -> Terms:
        assert (flags(self.G), flags(self.D)) == ({True}, {False})
        self.looked += 1
        if self.global_step == self.breaks_at:
            raise RuntimeError("broken")
        return super().g_loss(x, y)

    def update(self, opt: Any, loss_fn: Any, batch: Any) -> None:
        other = self.G if loss_fn == self.d_loss else self.D
        before, values = gradients(other), weights(other)
        assert other is self.D or self.global_step > 0 or before == [None] * len(before)
        super().update(opt, loss_fn, batch)
        assert unchanged(gradients(other), before)
        assert all(torch.equal(parameter, values[name]) for name, parameter in other.named_parameters())
        assert (flags(self.G), flags(self.D)) == ({True}, {True})


@pytest.mark.parametrize("micro_batch", [None, 3])
def test_the_other_player_is_frozen_and_gets_no_gradient(tmp_path: Path, micro_batch: int | None) -> None:
    module = Watched(*mlps(), penalties=[R1(every=2)], n_critic=2, micro_batch=micro_batch)
    trainer(tmp_path, max_steps=4).fit(module, datamodule=Digits(size=8, batch_size=8))
    assert module.looked == (4 + 2) * (1 if micro_batch is None else 3)


@pytest.mark.parametrize("freeze_d", [0, 1])
def test_an_exception_in_a_loss_leaves_nobody_frozen(tmp_path: Path, freeze_d: int) -> None:
    class Broken(GAN):
        def g_loss(self, x: Tensor, y: Tensor) -> Terms:
            assert flags(self.D) == {False}
            raise RuntimeError("broken")

    module = Broken(*mlps(), freeze_d=freeze_d)
    with pytest.raises(RuntimeError, match=r"^broken$"):
        trainer(tmp_path, max_steps=4).fit(module, datamodule=Digits(size=8, batch_size=8))
    assert flags(module.G) == {True}
    assert flags(module.D.blocks[:freeze_d]) == ({False} if freeze_d else set())
    assert flags(module.D.blocks[freeze_d:]) == {True}


def test_frozen_blocks_of_d_stay_as_they_are(tmp_path: Path) -> None:
    module = GAN(*mlps(), freeze_d=1)
    before = weights(module.D)
    trainer(tmp_path, max_steps=3).fit(module, datamodule=Digits(size=8, batch_size=8))
    moved = {name for name, value in weights(module.D).items() if not torch.equal(value, before[name])}
    assert moved == {name for name in before if not name.startswith("blocks.0.")}
    assert flags(module.D.blocks[0]) == {False}
    stepped = {id(p) for group in module.trained_optimizers()[0].param_groups for p in group["params"]}
    assert stepped == {id(p) for p in module.D.parameters() if p.requires_grad}
    assert len(before) == len(moved) + 2


def test_each_update_starts_without_gradient(tmp_path: Path) -> None:
    class Kept(ToldRecording):
        def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
            super().on_before_optimizer_step(optimizer)
            player = self.D if optimizer is self.trained_optimizers()[0] else self.G
            kept[player is self.D].append([p.grad.clone() for p in player.parameters()])  # type: ignore[union-attr]

    kept: dict[bool, list[list[Tensor]]] = {True: [], False: []}
    told = told_gan()
    module = Kept(told.G, told.D, d_optimizer=sgd(0.0), g_optimizer=sgd(0.0), n_gen=2)
    trainer(tmp_path, max_steps=3).fit(module, datamodule=Finite(batches_with_noise(1)))  # the same batch three times
    for first, *others in kept.values():
        assert sum(float(gradient.abs().sum()) for gradient in first) > 0.1
        assert all(same(first, other) for other in others)
    assert (len(kept[True]), len(kept[False])) == (3, 6)


@pytest.mark.parametrize("settings", [{"n_critic": 0}, {"n_gen": 0}, {"micro_batch": 0}, {"freeze_d": 3}])
def test_settings_out_of_range_are_refused(settings: dict[str, int]) -> None:
    (name,) = settings
    with pytest.raises(ValueError, match=f"^{name} must"):
        GAN(*mlps(), **settings)


# --- clipping -----------------------------------------------------------------------------------------------


def norm(net: nn.Module) -> float:
    return float(
        torch.stack([p.grad.norm() for p in net.parameters() if p.grad is not None] or [torch.tensor(0.0)]).norm()
    )


class Clipped(GAN):
    """Notes both gradients' norms before and after the clipping of each step."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.norms: list[tuple[str, float, float, float, float]] = []

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        d, g = norm(self.D), norm(self.G)
        super().on_before_optimizer_step(optimizer)
        player = "D" if optimizer is self.trained_optimizers()[0] else "G"
        self.norms.append((player, d, norm(self.D), g, norm(self.G)))


@pytest.mark.parametrize("clip", [{"d_clip": 1e-3}, {"g_clip": 1e-3}, {"d_clip": 1e-3, "g_clip": 2e-3}])
def test_clipping_is_of_the_player_that_steps(tmp_path: Path, clip: dict[str, float]) -> None:
    module = Clipped(*mlps(), **clip)
    trainer(tmp_path, max_steps=3).fit(module, datamodule=Digits(size=8, batch_size=8))
    assert [row[0] for row in module.norms] == ["D", "G"] * 3
    for player, d_before, d_after, g_before, g_after in module.norms:
        d_limit = clip.get("d_clip") if player == "D" else None
        g_limit = clip.get("g_clip") if player == "G" else None
        for before, after, limit in ((d_before, d_after, d_limit), (g_before, g_after, g_limit)):
            if limit is None:
                assert after == before
            else:
                assert before > 2 * limit
                assert abs(after / limit - 1) < 1e-4  # torch divides by norm + 1e-6

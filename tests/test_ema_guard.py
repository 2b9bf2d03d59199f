"""Laws of the averaged weights and the finite guard."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from toys import SHAPE, dcgans, distance, mlps, same, sgd, trainer, weights

from datamodules.digits import Digits
from lightning_modules.adversarial import Terms
from lightning_modules.callbacks.checkpoints import Checkpoints
from lightning_modules.callbacks.clock import Clock
from lightning_modules.ema import EMA, EMASettings
from lightning_modules.evaluating import evaluating
from lightning_modules.gan import GAN
from lightning_modules.guard import FiniteGuard
from lightning_modules.networks.mlp import MLPDiscriminator, MLPGenerator

# --- EMA ----------------------------------------------------------------------------------------------------


class One(nn.Module):
    """One weight, one float buffer and one integer buffer."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([value]))
        self.register_buffer("mean", torch.tensor([value]))
        self.register_buffer("count", torch.tensor(int(value)))

    def set(self, value: float) -> None:
        for tensor in (self.weight.data, self.mean, self.count):
            tensor.fill_(value)  # type: ignore[operator]


def averaged(settings: EMASettings, updates: list[int], start: float = 8.0, now: float = 0.0) -> EMA:
    """The average of a weight that was ``start`` and is ``now``, after ``updates`` of so many images each."""
    net = One(start)
    ema = EMA(net, settings)
    net.set(now)
    for i, images in enumerate(updates, start=1):
        ema.update(net, i, images, sum(updates[:i]))
    return ema


@pytest.mark.parametrize("updates", [[2000], [500] * 4, [1, 999, 1000]])
def test_after_a_half_life_the_old_share_is_a_half(updates: list[int]) -> None:
    ema = averaged(EMASettings(half_life_kimg=2), updates)
    assert abs(ema.net.weight.item() / 8 - 0.5) < 1e-6


def test_decay_is_per_update_and_begins_after_the_start() -> None:
    assert abs(averaged(EMASettings(decay=0.9), [64] * 3).net.weight.item() / 8 - 0.9**3) < 1e-6
    late = EMASettings(decay=0.9, start=2)
    net = One(8.0)
    ema = EMA(net, late)
    for update, value in enumerate([7.0, 6.0], start=1):
        net.set(value)
        ema.update(net, update, 64, 64 * update)
        assert ema.net.weight.item() == value  # until then the copy equals the network
    net.set(0.0)
    ema.update(net, 3, 64, 192)
    assert abs(ema.net.weight.item() - 0.9 * 6) < 1e-6


def test_ramp_up_caps_the_half_life_at_a_share_of_what_was_seen() -> None:
    settings = EMASettings(half_life_kimg=10, ramp_up=0.05)
    assert abs(settings.factor(1, 64, 64) - 0.5 ** (64 / 3.2)) < 1e-12
    assert abs(settings.factor(9, 64, 100_000) - 0.5 ** (64 / 5000)) < 1e-12
    assert abs(settings.factor(9, 64, 200_000) - 0.5 ** (64 / 10_000)) < 1e-12
    assert abs(settings.factor(9, 64, 9_000_000) - 0.5 ** (64 / 10_000)) < 1e-12


def test_buffers_are_copied_not_averaged() -> None:
    ema = averaged(EMASettings(decay=0.9), [64], 8.0, 3.0)
    assert ema.net.mean.item() == 3.0
    assert ema.net.count.item() == 3
    assert ema.net.count.dtype == torch.int64


def test_the_average_neither_trains_nor_leaves_evaluation_mode(tmp_path: Path) -> None:
    module = GAN(*dcgans(), ema=EMASettings(decay=0.5))
    trainer(tmp_path, max_steps=2).fit(module, datamodule=Digits(size=8, batch_size=8))
    assert module.ema is not None
    assert module.G.training
    module.train()
    assert not any(part.training for part in module.ema.modules())
    assert not any(parameter.requires_grad for parameter in module.ema.parameters())
    stepped = {id(p) for opt in module.trained_optimizers() for group in opt.param_groups for p in group["params"]}
    assert stepped == {id(p) for p in [*module.D.parameters(), *module.G.parameters()]}


def test_the_average_follows_g_over_rounds_and_images(tmp_path: Path) -> None:
    class Remembering(GAN):
        def update_ema(self) -> None:
            self.path = [*getattr(self, "path", []), weights(self.G)]
            super().update_ema()

    module = Remembering(*mlps(), n_critic=2, ema=EMASettings(half_life_kimg=0.016), g_optimizer=sgd())
    first = weights(module.G)
    trainer(tmp_path, max_steps=4).fit(module, datamodule=Digits(size=8, batch_size=8))
    assert len(module.path) == 2  # each 2 x 8 images after the last: a half-life
    assert module.ema is not None
    wanted = {n: 0.25 * first[n] + 0.25 * module.path[0][n] + 0.5 * module.path[1][n] for n in first}
    assert distance(weights(module.ema.net), wanted) < 1e-6
    assert distance(weights(module.G), wanted) > 1e-5


def test_what_is_looked_at_are_the_averaged_weights_in_evaluation_mode() -> None:
    module = GAN(*dcgans(), ema=EMASettings(decay=0.5))
    assert module.ema is not None
    assert module.weights_name == "ema"
    for parameter in module.ema.net.parameters():
        parameter.data.zero_()
    z = module.G.sample_z(5)
    assert (module.generate_image(z) == 128).all()  # tanh(0), rounded half to even: 127.5 to 128
    assert (module.sample(5) == 128).all()
    assert (module.panels(5)["samples"] == 128).all()
    assert (module(z) == 0).all()
    raw = GAN(*dcgans())
    assert raw.weights_name == "raw"
    before = weights(raw)
    first = raw.generate_image(z)
    assert first.float().std() > 0
    assert torch.equal(raw.generate_image(z)[:1], raw.generate_image(z[:1]))  # no batch statistics
    assert same(weights(raw), before)
    assert raw.training
    assert raw.G.training


def test_panels_show_the_same_noise_each_time_and_leave_the_random_stream() -> None:
    module = GAN(*dcgans())
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = module.panels()["samples"]
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    assert torch.equal(module.panels()["samples"], first)
    assert first.shape == (64, *SHAPE)
    assert first.dtype == torch.uint8
    assert GAN(MLPGenerator(), MLPDiscriminator()).panels() == {}


def test_modes_are_restored_one_by_one() -> None:
    net = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(1)).train()
    net[1].eval()

    def upset() -> None:
        with evaluating(net):
            assert not any(part.training for part in net.modules())
            assert not torch.is_grad_enabled()
            raise RuntimeError("upset")

    with pytest.raises(RuntimeError, match="upset"):
        upset()
    assert (net.training, net[0].training, net[1].training) == (True, True, False)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"half_life_kimg": 1, "decay": 0.9},
        {"decay": 1.0},
        {"decay": -0.1},
        {"half_life_kimg": 0},
        {"decay": 0.9, "ramp_up": 0.05},
    ],
)
def test_ema_settings_that_make_no_sense_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"^ema: "):
        EMASettings(**settings)  # type: ignore[arg-type]


# --- finite guard -------------------------------------------------------------------------------------------


def terms(**values: float) -> Terms:
    return {name: torch.tensor(value) for name, value in values.items()}


def test_the_guard_names_the_first_bad_term_and_its_step() -> None:
    guard = FiniteGuard()
    guard.check()
    for step in range(100):
        guard.observe(terms(d=1.0, r1=float("nan") if step in (41, 42) else 2.0), step)
        guard.observe(terms(g=float("inf") if step >= 41 else 0.0), step)
    for _ in range(2):  # and it does not forget
        with pytest.raises(FloatingPointError, match=r"^r1 was not finite at step 41: "):
            guard.check()


def test_the_guard_tells_terms_apart_that_come_in_changing_company() -> None:
    guard = FiniteGuard()
    guard.observe(terms(d=1.0, r1=2.0), 70_000)
    guard.observe(terms(d=1.0), 70_001)
    guard.observe(terms(g=1.0), 70_001)
    guard.observe(terms(d=1.0, r1=2.0, gp=float("-inf")), 70_002)
    with pytest.raises(FloatingPointError, match=r"^gp was not finite at step 70002: "):
        guard.check()


class Diverging(GAN):
    """D's loss is not a number in the step after ``good`` steps."""

    good = 5

    def d_loss(self, x: Tensor, y: Tensor) -> Terms:
        found = super().d_loss(x, y)
        return {**found, "d/odd": found["d/adv"] * (float("nan") if self.global_step >= self.good else 0.0)}


def test_a_loss_that_is_not_finite_stops_the_run_before_anything_is_saved(tmp_path: Path) -> None:
    run = trainer(tmp_path, Clock(g_steps=12, validations=0), Checkpoints(every_steps=3))
    with pytest.raises(FloatingPointError, match=r"^d/odd was not finite at step 5: .*nothing bad was saved"):
        run.fit(Diverging(*mlps()), datamodule=Digits(size=8, batch_size=8))
    saved = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["global_step"] == 3
    assert all(torch.isfinite(value).all() for value in saved["state_dict"].values())
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["last.ckpt"]


def test_the_guard_is_read_without_checkpoints_too(tmp_path: Path) -> None:
    run = trainer(tmp_path, Clock(g_steps=120, validations=0))
    with pytest.raises(FloatingPointError, match=r"^d/odd was not finite at step 5: "):
        run.fit(Diverging(*mlps()), datamodule=Digits(size=8, batch_size=8))
    assert run.global_step == 50


@pytest.mark.parametrize("where", ["G.layers.1.weight", "ema.net.layers.1.bias"])
def test_a_weight_that_is_not_finite_is_not_saved(tmp_path: Path, where: str) -> None:
    module = GAN(*mlps(), ema=EMASettings(decay=0.5))
    run = trainer(tmp_path, max_steps=1)
    run.fit(module, datamodule=Digits(size=8, batch_size=8))
    run.save_checkpoint(tmp_path / "good.ckpt")
    module.state_dict()[where].view(-1)[0] = float("inf")
    before = (tmp_path / "good.ckpt").read_bytes()
    with pytest.raises(FloatingPointError, match=f"{where} holds a value that is not finite"):
        run.save_checkpoint(tmp_path / "good.ckpt")
    assert (tmp_path / "good.ckpt").read_bytes() == before

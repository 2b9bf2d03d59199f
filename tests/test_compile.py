"""Laws of compiled networks and mixed precision: the same gradients by other routes."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.plugins.precision import MixedPrecision
from torch import Tensor, nn
from toys import Finite, Recording, batches, batches_with_noise, distance, mlps, sgd, told_gan, trainer, weights

from lightning_modules.gan import GAN
from lightning_modules.losses.penalties import R1, R2, GradientPenalty, Penalty

# --- compile ------------------------------------------------------------------------------------------------


@pytest.fixture(params=["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Compile by the tracing and autograd of the real compiler alone, which is quick; by the whole of it when slow."""
    torch._dynamo.reset()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=request.param))
    yield
    torch._dynamo.reset()


compiler = [  # what torch's compiler warns of in its own code
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings(r"ignore:The \.grad attribute of a Tensor:UserWarning"),
    pytest.mark.usefixtures("backend"),
]


def compiled() -> GAN:
    """A GAN whose networks are compiled, as ``compile: true`` does before the first step."""
    module = GAN(*mlps())
    for net in module.networks:
        net.compile()
    return module


def gradients(net: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.grad.clone() for name, parameter in net.named_parameters() if parameter.grad is not None}


class TestCompiled:
    pytestmark = compiler

    def test_the_gradient_of_each_penalty_is_the_eager_one(self) -> None:
        eager, module = GAN(*mlps()), compiled()
        penalties: list[Penalty] = [R1(2.0), R2(2.0), GradientPenalty(2.0)]
        for penalty in penalties:
            found = []
            for gan in (eager, module):
                gan.penalties = [penalty]
                gan.D.zero_grad()
                torch.manual_seed(1)
                gan.d_loss(*batches(1)[0])[f"d/{penalty.name}"].backward()
                found.append(gradients(gan.D))
            assert distance(*found) < 1e-5
            for name, gradient in found[1].items():
                if name.endswith("weight"):
                    assert gradient.abs().max() > 1e-4, (penalty.name, name)

    def test_the_compiled_route_would_have_no_gradient(self) -> None:
        x = batches(1)[0][0].requires_grad_()
        with pytest.raises(RuntimeError, match="double backward"):
            R1(2.0)(compiled().D(x), x).backward()

    @pytest.mark.parametrize("one_pass", [False, True])
    def test_a_compiled_fit_is_the_eager_one(self, tmp_path: Path, one_pass: bool) -> None:
        found = []
        for use in (False, True):
            module = told_gan(compile=use, penalties=[R1(2.0, every=2)], one_pass=one_pass)
            run = trainer(tmp_path, max_steps=3)
            run.fit(module, datamodule=Finite(batches_with_noise(3)))
            run.save_checkpoint(tmp_path / "compiled.ckpt")
            found.append(weights(module))
            assert (module.D._compiled_call_impl is not None) == use  # and it was indeed compiled
        assert distance(*found) < 1e-5
        saved = torch.load(tmp_path / "compiled.ckpt", weights_only=True)["state_dict"]
        assert saved.keys() == weights(told_gan()).keys()
        assert not any("_orig_mod" in name for name in saved)


# --- fp16 with its scaler -----------------------------------------------------------------------------------


def half(scale: float) -> list[Any]:
    return [MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=1000))]


class Norms(Recording):
    """Notes, at each step, which player's gradient has which norm after clipping."""

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        super().on_before_optimizer_step(optimizer)
        player = self.D if optimizer is self.trained_optimizers()[0] else self.G
        norm = torch.stack([parameter.grad.norm() for parameter in player.parameters()]).norm()  # type: ignore[union-attr]
        self.norms = [*getattr(self, "norms", []), ("D" if player is self.D else "G", float(norm))]


@pytest.mark.parametrize("micro_batch", [None, 3])
def test_clipping_is_of_gradients_that_the_scaler_has_left(tmp_path: Path, micro_batch: int | None) -> None:
    module = Norms(*mlps(), d_clip=1e-2, g_clip=2e-2, n_critic=2, penalties=[R1(1.0)], micro_batch=micro_batch)
    before = weights(module)
    run = trainer(tmp_path, max_steps=4, plugins=half(1024.0))
    run.fit(module, datamodule=Finite(batches(4)))
    assert module.order == "DDGDDG"
    assert run.global_step == 4
    assert [player for player, _ in module.norms] == list("DDGDDG")
    for player, norm in module.norms:
        assert abs(norm / (1e-2 if player == "D" else 2e-2) - 1) < 1e-4
    moved = weights(module)
    assert all(not torch.equal(moved[name], before[name]) for name in before if name.endswith("weight"))
    assert all(value.dtype == torch.float32 for value in moved.values())


def test_steps_that_the_scaler_skips_are_counted_and_move_nothing(tmp_path: Path) -> None:
    module = Recording(*mlps(), d_optimizer=sgd(), g_optimizer=sgd())
    before = weights(module)
    run = trainer(tmp_path, max_steps=2, plugins=half(2.0**60))  # overflows in every step
    run.fit(module, datamodule=Finite(batches(2)))
    assert (module.order, run.global_step, module.g_step) == ("DGDG", 2, 2)
    assert distance(weights(module), before) == 0


def test_mixed_precision_is_close_to_full(tmp_path: Path) -> None:
    found = []
    for options in ({}, {"plugins": half(1024.0)}, {"precision": "bf16-mixed"}):
        module = told_gan(penalties=[R1(1.0), R2(1.0)], channels_last=True)
        trainer(tmp_path, max_steps=3, **options).fit(module, datamodule=Finite(batches_with_noise(3)))
        found.append(weights(module))
    assert 0 < distance(found[0], found[1]) < 1e-3
    assert 0 < distance(found[0], found[2]) < 1e-2

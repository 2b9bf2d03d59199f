"""Laws of compiled networks and mixed precision: the same gradients by other routes."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.plugins.precision import MixedPrecision
from torch import Tensor, nn
from toys import Finite, Recording, batches, batches_with_noise, distance, mlps, sgd, told_gan, trainer, weights

from lightning_modules.classifier import Classifier
from lightning_modules.cyclegan import CycleGAN
from lightning_modules.gan import GAN
from lightning_modules.losses.penalties import R1, R2, GradientPenalty, Penalty
from lightning_modules.losses.reconstruction import L1
from lightning_modules.multi_view import MultiViewSuperResolution
from lightning_modules.networks.base import Alignment, MultiViewUpscaler
from lightning_modules.networks.cnn import CNN
from lightning_modules.networks.dncnn import DnCNN
from lightning_modules.networks.patchgan import PatchGAN
from lightning_modules.reconstruction import ReconstructionModule

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


@pytest.mark.parametrize("fused", [False, True])
def test_steps_that_the_scaler_skips_are_counted_and_move_nothing(tmp_path: Path, fused: bool) -> None:
    module = Recording(*mlps(), d_optimizer=sgd(fused=fused), g_optimizer=sgd(fused=fused))
    before = weights(module)
    run = trainer(tmp_path, max_steps=2, plugins=half(2.0**60))  # overflows in every step
    run.fit(module, datamodule=Finite(batches(2)))
    assert (module.order, run.global_step, module.g_step) == ("DGDG", 2, 2)
    assert distance(weights(module), before) == 0


@pytest.mark.parametrize("fused", [False, True])
def test_norms_are_logged_without_the_scale(tmp_path: Path, fused: bool) -> None:
    found = []
    for options in ({}, {"plugins": half(1024.0)}):
        module = told_gan(d_optimizer=sgd(fused=fused), g_optimizer=sgd(fused=fused))
        trainer(tmp_path, max_steps=2, log_every_n_steps=1, **options).fit(
            module, datamodule=Finite(batches_with_noise(2))
        )
        found.append([row[f"{player}/grad_norm"] for row in module.rows for player in "dg"])
    assert found[1] == pytest.approx(found[0], rel=1e-2)  # fp16's rounding


@pytest.mark.parametrize("player", ["d", "g"])
def test_gradients_that_are_still_scaled_are_not_clipped(tmp_path: Path, player: str) -> None:
    settings = {f"{player}_clip": 1e-2, f"{player}_optimizer": sgd(fused=True)}
    sentence = (
        f"{player}_clip would clip .* {player}_optimizer is fused: set fused to false, or leave {player}_clip out"
    )
    with pytest.raises(ValueError, match=sentence):
        trainer(tmp_path, max_steps=1, plugins=half(1024.0)).fit(told_gan(**settings), datamodule=Finite(batches(1)))
    trainer(tmp_path, max_steps=1).fit(told_gan(**settings), datamodule=Finite(batches_with_noise(1)))  # no scale


def test_nor_are_those_of_one_player(tmp_path: Path) -> None:
    module = ReconstructionModule(thin(), [L1()], optimizer=sgd(fused=True))
    data = Finite([(torch.rand(2, 1, 8, 8), torch.rand(2, 1, 8, 8))])
    data.value_range = (0.0, 1.0)
    with pytest.raises(ValueError, match=r"or leave trainer\.gradient_clip_val out"):
        trainer(tmp_path, max_steps=1, plugins=half(1024.0), gradient_clip_val=1.0).fit(module, datamodule=data)
    trainer(tmp_path, max_steps=1, gradient_clip_val=1.0).fit(module, datamodule=data)


def test_mixed_precision_is_close_to_full(tmp_path: Path) -> None:
    found = []
    for options in ({}, {"plugins": half(1024.0)}, {"precision": "bf16-mixed"}):
        module = told_gan(penalties=[R1(1.0), R2(1.0)], channels_last=True)
        trainer(tmp_path, max_steps=3, **options).fit(module, datamodule=Finite(batches_with_noise(3)))
        found.append(weights(module))
    assert 0 < distance(found[0], found[1]) < 1e-3
    assert 0 < distance(found[0], found[2]) < 1e-2


class Doubled(MultiViewUpscaler):
    """The first view through one layer, twice as large."""

    views = 2

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 4, 3, padding=1)

    def explain(self, y: Tensor, scale: int) -> tuple[Tensor, list[Alignment]]:
        return nn.functional.pixel_shuffle(self.layer(y[:, 0]), scale), []


def thin() -> DnCNN:
    return DnCNN(channels=1, depth=3, width=4)


@pytest.mark.parametrize(
    ("family", "x", "y"),
    [
        (lambda: Classifier(CNN(channels=1, num_classes=3)), (2, 1, 16, 16), (2,)),
        (lambda: ReconstructionModule(thin()), (2, 1, 16, 16), (2, 1, 16, 16)),
        (lambda: CycleGAN(thin(), thin(), *[PatchGAN(1, 0, 1, 4) for _ in "xy"]), (2, 1, 16, 16), (2, 1, 16, 16)),
        (lambda: MultiViewSuperResolution(Doubled()), (2, 1, 16, 16), (2, 2, 1, 8, 8)),
    ],
)
def test_what_is_scored_is_in_full_precision_where_training_is_mixed(family, x, y, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module, batch = family(), (torch.rand(x), torch.rand(y) if len(y) > 1 else torch.zeros(y, dtype=torch.long))
    found: list[Any] = []

    class Keeps(L.Callback):
        def on_validation_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *args: Any) -> None:
            found.append(outputs)

        def on_predict_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *args: Any) -> None:
            found.append(outputs)

    data = Finite([batch])
    data.predict_dataloader = data.val_dataloader  # type: ignore[method-assign]
    for precision in ("32-true", "bf16-mixed"):
        run = trainer(tmp_path, Keeps(), precision=precision)
        run.validate(module, datamodule=data, verbose=False)
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=0)
    found.clear()
    for precision in ("32-true", "bf16-mixed"):
        trainer(tmp_path, Keeps(), precision=precision).predict(module, datamodule=data)
    assert not torch.equal(found[1].float(), found[0])  # bf16 would have shown

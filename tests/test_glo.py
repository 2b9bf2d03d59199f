"""GLO: noise that is learned row by row, and the Gaussian fitted to it, by hand."""

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from resuming import CutOff
from test_ranks import both, strategy
from torch import Tensor, nn
from torch.optim import SGD, Adam
from toys import Finite, dcgans, distance, same, sgd, trainer, weights

from datamodules.augment import Shift
from datamodules.digits import Digits
from datamodules.functional.quantise import from_uint8
from datamodules.stream import IndexedBatch
from lightning_modules.callbacks.checkpoints import Checkpoints
from lightning_modules.callbacks.clock import Clock
from lightning_modules.ema import EMASettings
from lightning_modules.glo import GLO, into_ball
from lightning_modules.losses.reconstruction import L1, MSE
from lightning_modules.networks.base import Generator
from lightning_modules.networks.dcgan import DCGANGenerator
from lightning_modules.networks.mlp import MLPGenerator
from lightning_modules.schedules import Linear

DIGITS = 1437


def glo(images: int = DIGITS, **settings: Any) -> GLO:
    return GLO(dcgans()[0], images, **{"losses": [MSE()], **settings})


# --- codes --------------------------------------------------------------------------------------------------


def test_the_ball_by_hand() -> None:
    codes = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
    assert torch.allclose(into_ball(codes), torch.tensor([[0.6, 0.8], [0.3, 0.4], [0.0, 0.0]]))


class Shifted(Generator):
    """G(z) = z + b, points in the plane."""

    def __init__(self) -> None:
        super().__init__()
        self.z_dim, self.out_shape = 2, (2,)
        self.b = nn.Parameter(torch.tensor([0.1, 0.0]))

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return z + self.b


class Numbered(Finite):
    """A finite list of batches that tell their items."""

    indexed = False
    value_range = None  # type: ignore[assignment]
    images_per_epoch = 5


def moved(folder: Path, item: list[int], **settings: Any) -> GLO:
    """A GLO of five points at the origin after one step on the targets (1, 0)."""
    module = GLO(Shifted(), 5, losses=[MSE()], optimizer=lambda p: SGD(p, lr=0.5), **settings)
    module.codes.zero_()
    x = torch.tensor([[1.0, 0.0]]).expand(len(item), 2)
    batch = IndexedBatch(x, torch.zeros(len(item)), torch.tensor(item))
    trainer(folder, max_steps=1).fit(module, datamodule=Numbered([batch]))
    return module


def test_a_step_moves_the_rows_of_the_batch_by_hand(tmp_path: Path) -> None:
    # MSE is a mean over N values of 2 each: d / d z_i = 2 (0.1 - 1) / 2 N = -0.9 / N in the first coordinate
    module = moved(tmp_path, [3, 1], code_lr=0.4)
    expected = torch.zeros(5, 2)
    expected[[3, 1], 0] = 0.4 * 0.9 / 2
    assert torch.allclose(module.codes, expected)
    assert torch.allclose(module.G.b, torch.tensor([0.1 + 0.5 * 0.9, 0.0]))  # type: ignore[arg-type]


def test_an_image_that_comes_twice_moves_by_both_gradients(tmp_path: Path) -> None:
    module = moved(tmp_path, [2, 2, 0], code_lr=0.4)
    assert module.codes[:, 0].tolist() == pytest.approx([0.12, 0, 0.24, 0, 0])


def test_a_large_step_ends_on_the_sphere(tmp_path: Path) -> None:
    assert moved(tmp_path, [2], code_lr=100.0).codes[2].tolist() == pytest.approx([1, 0])


def test_regression_leaves_the_noise_as_it_was_drawn(tmp_path: Path) -> None:
    module = moved(tmp_path, [3, 1], code_lr=0.0)
    assert not module.codes.any()
    assert module.G.b[0].item() == pytest.approx(0.1 + 0.5 * 0.9)  # type: ignore[index]


def test_codes_slow_down_with_the_weights(tmp_path: Path) -> None:
    class Half(Linear):
        def factor(self, progress: float) -> float:
            return 0.5

    assert moved(tmp_path, [2], code_lr=0.4, schedule=Half()).codes[2, 0].item() == pytest.approx(0.5 * 0.4 * 0.9)


def test_codes_start_in_the_ball_and_not_at_one_place() -> None:
    codes = glo().codes
    assert codes.norm(dim=1).max() <= 1 + 1e-6
    assert codes.mean(0).abs().max() < 0.05
    assert codes.std(0).min() > 0.2


# --- the Gaussian -------------------------------------------------------------------------------------------


def test_the_gaussian_by_hand() -> None:
    module = GLO(Shifted(), 4)
    module.codes.copy_(torch.tensor([[0.5, 0.0], [-0.5, 0.0], [0.3, 0.4], [-0.3, 0.4]]))
    module.fit_gaussian()
    assert torch.allclose(module.mean, torch.tensor([0.0, 0.2]))
    covariance = torch.tensor([[0.68 / 3, 0.0], [0.0, 0.16 / 3]])
    assert torch.allclose(module.factor @ module.factor, covariance, atol=1e-7)
    torch.manual_seed(0)
    drawn = module.sample_z(40_000)
    assert (drawn.mean(0) - module.mean).abs().max() < 0.01
    assert (torch.cov(drawn.T) - covariance).abs().max() < 0.01


def test_fewer_images_than_dimensions_still_have_a_gaussian() -> None:
    module = GLO(MLPGenerator((2,), z_dim=8, width=4), 3)
    module.fit_gaussian()
    inside = torch.linalg.svdvals(module.codes - module.codes.mean(0))[:2]
    assert torch.allclose(torch.linalg.svdvals(module.factor)[:2], inside / 2**0.5, atol=1e-5)
    assert torch.linalg.matrix_rank(module.factor, atol=1e-4) == 2


def test_codes_that_diverged_cost_one_sentence() -> None:
    module = glo(4)
    module.codes[1] = torch.nan
    module.guard_terms({"mse": torch.tensor(torch.nan)})
    for look in (module.on_validation_start, lambda: module.on_save_checkpoint({})):
        with pytest.raises(FloatingPointError, match="mse"):
            look()


def test_samples_are_of_the_fitted_gaussian() -> None:
    module = GLO(Shifted(), 2)
    module.codes.copy_(torch.tensor([[0.3, 0.4], [0.3, 0.4]]))  # no spread at all
    module.fit_gaussian()
    assert torch.allclose(module.sample(3), torch.tensor([[0.4, 0.4]]).expand(3, 2))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"images": 1}, "images must be 2 or more"),
        ({"code_lr": -1.0}, "code_lr must not be negative"),
        ({"losses": [MSE(), MSE()]}, "losses: each may stand once, got mse, mse"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        glo(**settings)


# --- learning -----------------------------------------------------------------------------------------------


class Four(Digits):
    """The first four digits."""

    def read(self, split: str) -> Any:
        whole = super().read(split)
        return type(whole)(whole.name, split, whole.images[:4], whole.labels[:4])


def test_four_images_are_learned_by_heart(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = GLO(DCGANGenerator(8, 1, z_dim=4, width=16), 4, losses=[MSE()], optimizer=lambda p: Adam(p, lr=1e-2))
    data = Four(size=8, batch_size=4)
    before = module.codes.clone()
    trainer(tmp_path, max_steps=200).fit(module, datamodule=data)
    images = data.reference("train").images
    found = from_uint8(module.generate_image(module.codes))
    assert (found - from_uint8(images)).square().mean() < 0.02  # the images' own variance is 0.55
    assert (module.codes - before).abs().amax(1).min() > 1e-3
    assert module.codes.norm(dim=1).max() <= 1 + 1e-6


def test_every_parameter_and_every_code_of_the_batch_gets_a_gradient() -> None:
    module = glo(9)
    x, y = torch.rand(4, 1, 8, 8), torch.zeros(4)
    sum(module.terms(x, y, torch.tensor([0, 3, 4, 8])).values()).backward()  # type: ignore[union-attr]
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in module.G.parameters())
    codes = module._asked[1]
    assert codes.grad is not None
    assert (codes.grad.abs().sum(1) > 0).all()


def test_a_resumed_run_ends_where_the_uninterrupted_one_does(tmp_path: Path) -> None:
    def run(name: str, *callbacks: L.Callback, validations: int = 0) -> dict[str, Any]:
        last = tmp_path / name / "checkpoints" / "last.ckpt"
        torch.manual_seed(0)
        module = glo(schedule=Linear(), ema=EMASettings(decay=0.9), losses=[MSE(), L1(0.5)], pca_start=True)
        clock = Clock(g_steps=20, validations=validations)
        fit = trainer(tmp_path / name, clock, Checkpoints(every_steps=10), *callbacks)
        data = Digits(size=8, batch_size=100, augment=[Shift(1)])  # an epoch is 14.4 batches
        fit.fit(module, datamodule=data, ckpt_path=last if last.exists() else None)
        return torch.load(last, weights_only=True)

    whole = run("whole")
    with pytest.raises(RuntimeError, match="cut off"):
        run("cut", CutOff(15))
    cut = run("cut")
    for name in ("state_dict", "optimizer_states", "counters", "Digits"):
        assert same(cut[name], whole[name]), name
    looked = run("looked", validations=4)
    assert same(looked["state_dict"], whole["state_dict"])  # the Gaussian too: it is that of the codes beside it
    assert distance({"z": whole["state_dict"]["mean"]}, {"z": whole["state_dict"]["codes"].mean(0)}) < 1e-6


def test_learning_codes_makes_a_difference(tmp_path: Path) -> None:
    found = []
    for code_lr in (0.0, 10.0):
        module = glo(code_lr=code_lr, optimizer=sgd(0.01))
        trainer(tmp_path, max_steps=3).fit(module, datamodule=Digits(size=8, batch_size=50))
        found.append(weights(module))
    assert (found[0]["codes"] != found[1]["codes"]).any(1).sum() == 150  # the rows of three batches, no other
    assert distance(found[0], found[1]) > 1e-3


# --- ranks --------------------------------------------------------------------------------------------------


def on_ranks(folder: Path, batch_size: int, **settings: Any) -> dict[str, Tensor]:
    torch.manual_seed(0)
    module = GLO(MLPGenerator((1, 8, 8), 4, width=8), DIGITS, losses=[MSE()], optimizer=sgd())
    data = Digits(size=8, batch_size=batch_size)
    trainer(folder, max_steps=3, **settings).fit(module, datamodule=data)
    return weights(module)


def half(rank: int, folder: Path) -> dict[str, Any]:
    return on_ranks(folder, 4, devices=2, strategy=strategy())


def test_two_ranks_are_one(tmp_path: Path) -> None:
    one = on_ranks(tmp_path, 8)
    first, second = both(half, tmp_path)
    assert torch.equal(first["codes"], second["codes"])
    assert distance(first, one) < 1e-6

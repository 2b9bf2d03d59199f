"""Loss and penalty values derived by hand."""

from math import exp, log
from pathlib import Path

import pytest
import torch
from torch import Tensor
from toys import Finite, LinearCritic, batches, mlps, trainer

from lightning_modules.gan import GAN
from lightning_modules.losses.adversarial import (
    AdversarialLoss,
    Hinge,
    LeastSquares,
    Minimax,
    NonSaturating,
    RelativisticAverage,
    RelativisticPairing,
    Wasserstein,
)
from lightning_modules.losses.reconstruction import L1, MSE
from lightning_modules.losses.weights import WeightL1

# --- adversarial losses -------------------------------------------------------------------------------------

ONES = [torch.ones(4), torch.ones(2, 3, 3)]  # logits of images, and of patches


@pytest.mark.parametrize("one", ONES)
@pytest.mark.parametrize(
    ("loss", "d", "g"),
    [
        (Hinge(), 2.0, -1.0),
        (NonSaturating(), log(1 + exp(-1)) + log(1 + exp(1)), log(1 + exp(-1))),  # 1.6265 and 0.3133
        (Wasserstein(), 0.0, -1.0),
        (Minimax(), log(1 + exp(-1)) + log(1 + exp(1)), -log(1 + exp(1))),
        (LeastSquares(), 0.5, 0.0),
        (LeastSquares(factor=1.0), 1.0, 0.0),
    ],
)
def test_losses_where_d_says_one(loss: AdversarialLoss, d: float, g: float, one: Tensor) -> None:
    assert abs(float(loss.d(one, one)) - d) < 1e-6
    assert abs(float(loss.g(None, one)) - g) < 1e-6
    assert loss.d(one, one).ndim == loss.g(None, one).ndim == 0


def test_the_non_saturating_values_are_the_known_ones() -> None:
    one = torch.ones(4)
    assert abs(float(NonSaturating().d(one, one)) - 1.6265) < 5e-5
    assert abs(float(NonSaturating().g(None, one)) - 0.3133) < 5e-5


@pytest.mark.parametrize(
    ("loss", "d", "g"),
    [
        (Hinge(), (0.0 + 1.5) / 2 + (0.0 + 4.0) / 2, 0.5 * (2.0 - 3.0)),
        (Wasserstein(), 0.5 - 0.75, -0.5),
        (LeastSquares(), 0.5 * ((1 + 2.25) / 2 + (4 + 9) / 2), 0.5 * (9 + 4) / 2),
    ],
)
def test_losses_tell_reals_from_fakes(loss: AdversarialLoss, d: float, g: float) -> None:
    real, fake = torch.tensor([2.0, -0.5]), torch.tensor([-2.0, 3.0])
    assert abs(float(loss.d(real, fake)) - d) < 1e-6
    assert abs(float(loss.g(None, fake)) - g) < 1e-6


def test_relativistic_losses_by_hand() -> None:
    real, fake = torch.tensor([2.0, 0.0]), torch.tensor([1.0, -3.0])  # means 1 and -1
    pairing = (log(1 + exp(-1)) + log(1 + exp(-3))) / 2
    assert abs(float(RelativisticPairing().d(real, fake)) - pairing) < 1e-6
    swapped = (log(1 + exp(1)) + log(1 + exp(3))) / 2
    assert abs(float(RelativisticPairing().g(real, fake)) - swapped) < 1e-6
    average = (log(1 + exp(-3)) + log(1 + exp(-1))) / 2 + (log(1 + exp(0)) + log(1 + exp(-4))) / 2
    assert abs(float(RelativisticAverage().d(real, fake)) - average) < 1e-6
    swapped = (log(1 + exp(0)) + log(1 + exp(4))) / 2 + (log(1 + exp(3)) + log(1 + exp(1))) / 2
    assert abs(float(RelativisticAverage().g(real, fake)) - swapped) < 1e-6


@pytest.mark.parametrize("loss", [RelativisticPairing(), RelativisticAverage()])
def test_relativistic_losses_see_differences_alone(loss: AdversarialLoss) -> None:
    real, fake = torch.randn(2, 6)
    assert abs(float(loss.d(real + 5, fake + 5) - loss.d(real, fake))) < 1e-5
    with pytest.raises(ValueError, match=r"needs D\(x\) in G's step too"):
        loss.g(None, fake)


def test_a_relativistic_gan_shows_d_the_reals_in_gs_step() -> None:
    D = LinearCritic()
    GAN(mlps()[0], D, loss=RelativisticPairing()).g_loss(*batches(1)[0])
    assert D.forwards == 2


def test_minimax_is_a_zero_sum_game() -> None:
    real, fake = torch.randn(2, 5)
    fake.requires_grad_()
    (of_d,) = torch.autograd.grad(Minimax().d(real, fake), fake)
    (of_g,) = torch.autograd.grad(Minimax().g(None, fake), fake)
    assert torch.equal(of_d, -of_g)


LOSSES = [Minimax(), NonSaturating(), LeastSquares(), Hinge(), Wasserstein(), RelativisticPairing()]


@pytest.mark.parametrize("loss", [*LOSSES, RelativisticAverage()])
def test_each_step_moves_the_logits_its_players_way(loss: AdversarialLoss) -> None:
    real, fake = (torch.full((3,), 0.1, requires_grad=True) for _ in range(2))
    loss.d(real, fake).backward()
    assert real.grad is not None
    assert fake.grad is not None
    assert (real.grad < 0).all()  # descent raises D(x)
    assert (fake.grad > 0).all()  # and lowers D(G(z))
    fake.grad = None
    loss.g(real, fake).backward()
    assert (fake.grad < 0).all()


def test_reconstruction_losses() -> None:
    prediction, target = torch.tensor([1.0, 3.0]), torch.tensor([0.0, 1.0])
    assert float(L1()(prediction, target)) == 1.5
    assert float(L1(2.0)(prediction, target)) == 3.0
    assert float(MSE()(prediction, target)) == 2.5
    assert float(MSE(0.5)(prediction, target)) == 1.25


# --- weights ------------------------------------------------------------------------------------------------


def test_l1_of_the_weights_is_a_term_with_the_gradient_of_the_signs() -> None:
    G, D = mlps()
    module = GAN(G, D, d_weight_terms=[WeightL1(0.5)], g_weight_terms=[WeightL1(2.0)])
    batch = batches(1)[0]
    kernels = [p for p in D.parameters() if p.ndim > 1]
    term = module.d_loss(*batch)["d/weight_l1"]
    assert abs(term.item() - 0.5 * sum(float(p.detach().abs().sum()) for p in kernels)) < 1e-4
    term.backward()
    assert all(p.grad is not None and torch.equal(p.grad, 0.5 * p.sign()) for p in kernels)
    assert all(p.grad is None for p in D.parameters() if p.ndim == 1)
    of_g = sum(float(p.detach().abs().sum()) for p in G.parameters() if p.ndim > 1)
    assert abs(module.g_loss(*batch)["g/weight_l1"].item() - 2 * of_g) < 1e-3
    with pytest.raises(ValueError, match="d_weight_terms: each may stand once, got weight_l1, weight_l1"):
        GAN(G, D, d_weight_terms=[WeightL1(), WeightL1()])
    with pytest.raises(ValueError, match="g_weight_terms: each may stand once, got weight_l1, weight_l1"):
        GAN(G, D, g_weight_terms=[WeightL1(), WeightL1()])


def test_weight_clip_boxes_d_alone_after_each_of_its_steps(tmp_path: Path) -> None:
    seen: list[float] = []

    class Watching(GAN):
        def g_loss(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
            seen.append(max(float(p.detach().abs().max()) for p in self.D.parameters()))
            return super().g_loss(x, y)

    module = Watching(*mlps(), weight_clip=0.01)
    trainer(tmp_path, max_steps=3).fit(module, datamodule=Finite(batches(3)))
    assert [abs(value - 0.01) < 1e-9 for value in seen] == [True] * 3
    assert max(float(p.detach().abs().max()) for p in module.G.parameters()) > 0.1
    with pytest.raises(ValueError, match="weight_clip must be above 0, got 0"):
        GAN(*mlps(), weight_clip=0)


def test_gs_step_sees_so_many_fakes_for_each_real() -> None:
    class Counting(LinearCritic):
        def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
            self.n = len(x)
            return super().forward(x, y)

    D = Counting()
    GAN(mlps()[0], D, g_batch_factor=2).g_loss(*batches(1, 8)[0])
    assert D.n == 16
    with pytest.raises(ValueError, match="g_batch_factor must be 1 or more, and 1 under a relativistic loss, got 2"):
        GAN(*mlps(), loss=RelativisticPairing(), g_batch_factor=2)

"""Loss and penalty values derived by hand."""

from math import exp, log
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from toys import SHAPE, Finite, batches, dcgans, mlps, trainer

from lightning_modules.gan import GAN
from lightning_modules.losses.adversarial import AdversarialLoss, Hinge, NonSaturating, Wasserstein
from lightning_modules.losses.penalties import R1, R2, GradientPenalty, Penalty
from lightning_modules.losses.reconstruction import L1, MSE
from lightning_modules.networks.base import Discriminator
from lightning_modules.networks.mlp import MLPDiscriminator

# --- adversarial losses -------------------------------------------------------------------------------------

ONES = [torch.ones(4), torch.ones(2, 3, 3)]  # logits of images, and of patches


@pytest.mark.parametrize("one", ONES)
@pytest.mark.parametrize(
    ("loss", "d", "g"),
    [
        (Hinge(), 2.0, -1.0),
        (NonSaturating(), log(1 + exp(-1)) + log(1 + exp(1)), log(1 + exp(-1))),  # 1.6265 and 0.3133
        (Wasserstein(), 0.0, -1.0),
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
    ],
)
def test_losses_tell_reals_from_fakes(loss: AdversarialLoss, d: float, g: float) -> None:
    real, fake = torch.tensor([2.0, -0.5]), torch.tensor([-2.0, 3.0])
    assert abs(float(loss.d(real, fake)) - d) < 1e-6
    assert abs(float(loss.g(None, fake)) - g) < 1e-6


@pytest.mark.parametrize("loss", [Hinge(), NonSaturating(), Wasserstein()])
def test_each_step_moves_the_logits_its_players_way(loss: AdversarialLoss) -> None:
    real, fake = torch.zeros(3, requires_grad=True), torch.zeros(3, requires_grad=True)
    loss.d(real, fake).backward()
    assert real.grad is not None
    assert fake.grad is not None
    assert (real.grad < 0).all()  # descent raises D(x)
    assert (fake.grad > 0).all()  # and lowers D(G(z))
    fake.grad = None
    loss.g(None, fake).backward()
    assert (fake.grad < 0).all()


def test_reconstruction_losses() -> None:
    prediction, target = torch.tensor([1.0, 3.0]), torch.tensor([0.0, 1.0])
    assert float(L1()(prediction, target)) == 1.5
    assert float(L1(2.0)(prediction, target)) == 3.0
    assert float(MSE()(prediction, target)) == 2.5
    assert float(MSE(0.5)(prediction, target)) == 1.25


# --- penalties ----------------------------------------------------------------------------------------------


class Linear(Discriminator):
    """D(x) = w.x, whose gradient is w at every x; counts its forward passes."""

    def __init__(self, norm: float = 3.0, shape: tuple[int, ...] = SHAPE) -> None:
        super().__init__()
        w = torch.arange(1.0, 1 + torch.Size(shape).numel()).view(shape)
        self.w = nn.Parameter(w * (norm / w.norm()))
        self.blocks = nn.Sequential()
        self.forwards = 0

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        self.forwards += 1
        return (x * self.w).flatten(1).sum(1)


def d_terms(D: Discriminator, *penalties: Penalty, **settings: bool) -> dict[str, float]:
    """D's terms on one batch, outside any trainer."""
    module = GAN(mlps()[0], D, penalties=penalties, **settings)
    return {name: float(value.detach()) for name, value in module.d_loss(*batches(1)[0]).items()}


@pytest.mark.parametrize("one_pass", [False, True])
def test_penalties_of_a_linear_critic(one_pass: bool) -> None:
    terms = d_terms(Linear(3.0), R1(0.5), R2(4.0), GradientPenalty(10.0), one_pass=one_pass)
    assert terms.keys() == {"d/adv", "d/r1", "d/r2", "d/gp"}
    assert abs(terms["d/r1"] - 0.5 / 2 * 9) < 1e-5
    assert abs(terms["d/r2"] - 4.0 / 2 * 9) < 1e-5
    assert abs(terms["d/gp"] - 10 * (3 - 1) ** 2) < 1e-4


def test_the_penalty_of_a_linear_critic_has_the_gradient_gamma_w() -> None:
    D = Linear(3.0)
    module = GAN(mlps()[0], D, penalties=[R1(0.5)])
    module.d_loss(*batches(1)[0])["d/r1"].backward()
    assert D.w.grad is not None
    assert (D.w.grad - 0.5 * D.w).abs().max() < 1e-6


@pytest.mark.parametrize("norm", [0.25, 1.0, 5.0])
def test_gradient_penalty_does_not_depend_on_x(norm: float) -> None:
    D = Linear(norm)
    for scale in (0.0, 1.0, 100.0):
        x = scale * torch.randn(4, *SHAPE)
        assert abs(GradientPenalty(2.0)(D, x, -x, None).item() - 2 * (norm - 1) ** 2) < 1e-4
    assert abs(GradientPenalty(2.0, target=0.0)(D, x, -x, None).item() - 2 * norm**2) < 1e-4


def test_lazy_penalties_are_scaled_and_wait_their_turn(tmp_path: Path) -> None:
    class Terms(GAN):
        def __init__(self) -> None:
            super().__init__(mlps()[0], Linear(3.0), penalties=[R1(0.5, every=3), R2(0.5)])
            self.terms: list[dict[str, float]] = []
            self.d_optimizer = lambda p: torch.optim.SGD(p, lr=0.0)

        def guard_terms(self, terms: dict[str, Tensor]) -> None:  # type: ignore[override]
            self.terms.append({name: float(value.detach()) for name, value in terms.items()})

    module = Terms()
    trainer(tmp_path, max_steps=5).fit(module, datamodule=Finite(batches(5)))
    of_d = [terms for terms in module.terms if "d/adv" in terms]
    assert ["d/r1" in terms for terms in of_d] == [True, False, False, True, False]
    assert all(abs(terms["d/r2"] - 0.25 * 9) < 1e-5 for terms in of_d)
    assert all(abs(terms["d/r1"] - 3 * 0.25 * 9) < 1e-5 for terms in (of_d[0], of_d[3]))


class Revealing(Discriminator):
    """D(x) = |x|^2 / 2, whose gradient is x itself: it reveals where the penalty looked."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential()
        self.seen = torch.empty(0)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        self.seen = x.detach()
        return x.square().flatten(1).sum(1) / 2


def test_gradient_penalty_mixes_each_sample_by_its_own_factor() -> None:
    D, real, fake = Revealing(), torch.zeros(64, 1, 2, 2), torch.ones(64, 1, 2, 2)
    value = GradientPenalty(1.0)(D, real, fake, None).item()
    alpha = D.seen.flatten(1)
    assert (alpha == alpha[:, :1]).all()  # one factor for all of a sample's pixels
    assert len(alpha[:, 0].unique()) == 64
    assert 0 <= float(alpha.min()) < 0.1
    assert 0.9 < float(alpha.max()) <= 1
    assert abs(value - float((2 * alpha[:, 0] - 1).square().mean())) < 1e-5  # |x^| of four pixels is 2 alpha


def test_gradient_penalty_at_a_vanishing_gradient_has_finite_gradients() -> None:
    D = Linear(0.0)
    value = GradientPenalty(1.0)(D, torch.rand(4, *SHAPE), torch.rand(4, *SHAPE), None)
    assert value.item() == 1.0
    value.backward()
    assert D.w.grad is not None
    assert torch.isfinite(D.w.grad).all()


@pytest.mark.parametrize(
    ("penalties", "one_pass", "forwards"),
    [
        ([], False, 2),
        ([R1()], False, 2),
        ([R1(), R2()], False, 2),
        ([R1(), R2()], True, 1),
        ([GradientPenalty()], False, 3),
        ([R1(), GradientPenalty()], True, 2),
    ],
)
def test_r1_and_r2_cost_no_forward(penalties: list[Penalty], one_pass: bool, forwards: int) -> None:
    D = Linear()
    d_terms(D, *penalties, one_pass=one_pass)
    assert D.forwards == forwards


@pytest.mark.parametrize("penalty", [R1(1.0), R2(1.0), GradientPenalty(1.0)])
def test_penalties_run_in_full_precision_under_autocast(penalty: Penalty) -> None:
    module = GAN(*mlps(), penalties=[penalty])

    def term(seed: int = 0) -> Tensor:
        torch.manual_seed(seed)
        return module.d_loss(*batches(1)[0])[f"d/{penalty.name}"]

    exact = term().item()
    with torch.autocast("cpu", torch.bfloat16):
        # G's own fakes are rounded, and with them where R2 and GP look: only R1 is to be exact
        assert abs(term().item() / exact - 1) < (1e-6 if penalty.name == "r1" else 0.05)
        assert term().dtype == torch.float32
    penalty.autocast = True
    with torch.autocast("cpu", torch.bfloat16):
        assert abs(term().item() / exact - 1) > 1e-5


def test_penalties_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="R1: weight must not be negative, got -1"):
        R1(-1)
    with pytest.raises(ValueError, match="GradientPenalty: every must be 1 or more, got 0"):
        GradientPenalty(every=0)
    with pytest.raises(ValueError, match="penalties: each may stand once, got r1, r1"):
        GAN(*mlps(), penalties=[R1(), R1()])


@pytest.mark.parametrize("penalty", [R1(), R2(), GradientPenalty()])
@pytest.mark.parametrize("D", [dcgans(size=16, batch_norm=False)[1], MLPDiscriminator((1, 16, 16), width=8)])
def test_every_weight_of_d_gets_a_gradient_from_each_penalty(penalty: Penalty, D: Discriminator) -> None:
    D.zero_grad()
    module = GAN(mlps(shape=(1, 16, 16))[0], D, penalties=[penalty])
    module.d_loss(*batches(1, 8, (1, 16, 16))[0])[f"d/{penalty.name}"].backward()
    for name, parameter in D.named_parameters():
        if name.endswith("weight"):
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name

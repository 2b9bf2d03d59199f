"""Penalty values derived by hand, and where each penalty looks."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from toys import SHAPE, Finite, LinearCritic, batches, dcgans, mlps, trainer

from lightning_modules.gan import GAN
from lightning_modules.losses.penalties import DRAGAN, R1, R2, GradientPenalty, Penalty
from lightning_modules.networks.base import Discriminator
from lightning_modules.networks.mlp import MLPDiscriminator


def d_terms(D: Discriminator, *penalties: Penalty, **settings: bool) -> dict[str, float]:
    """D's terms on one batch, outside any trainer."""
    module = GAN(mlps()[0], D, penalties=penalties, **settings)
    return {name: float(value.detach()) for name, value in module.d_loss(*batches(1)[0]).items()}


@pytest.mark.parametrize("one_pass", [False, True])
def test_penalties_of_a_linear_critic(one_pass: bool) -> None:
    terms = d_terms(LinearCritic(3.0), R1(0.5), R2(4.0), GradientPenalty(10.0), one_pass=one_pass)
    assert terms.keys() == {"d/adv", "d/r1", "d/r2", "d/gp"}
    assert abs(terms["d/r1"] - 0.5 / 2 * 9) < 1e-5
    assert abs(terms["d/r2"] - 4.0 / 2 * 9) < 1e-5
    assert abs(terms["d/gp"] - 10 * (3 - 1) ** 2) < 1e-4


def test_the_penalty_of_a_linear_critic_has_the_gradient_gamma_w() -> None:
    D = LinearCritic(3.0)
    module = GAN(mlps()[0], D, penalties=[R1(0.5)])
    module.d_loss(*batches(1)[0])["d/r1"].backward()
    assert D.w.grad is not None
    assert (D.w.grad - 0.5 * D.w).abs().max() < 1e-6


@pytest.mark.parametrize("norm", [0.25, 1.0, 5.0])
def test_gradient_penalty_does_not_depend_on_x(norm: float) -> None:
    D = LinearCritic(norm)
    for scale in (0.0, 1.0, 100.0):
        x = scale * torch.randn(4, *SHAPE)
        assert abs(GradientPenalty(2.0)(D, x, -x, None).item() - 2 * (norm - 1) ** 2) < 1e-4
    assert abs(GradientPenalty(2.0, target=0.0)(D, x, -x, None).item() - 2 * norm**2) < 1e-4


@pytest.mark.parametrize("places", [1, 4, 16])
def test_of_patches_an_images_logit_is_their_mean(places: int) -> None:
    x = torch.randn(3, 5, dtype=torch.double, requires_grad=True)
    w = torch.arange(5.0, dtype=torch.double)
    logit = x @ w
    patches = logit[:, None, None].expand(-1, places, places)  # which all say the same
    assert R1(2.0)(patches, x).item() == pytest.approx(R1(2.0)(logit, x).item()) == pytest.approx(30.0)
    one_place = torch.zeros(3, places, places, dtype=torch.double).index_put(
        (torch.arange(3), torch.tensor(0), torch.tensor(0)), logit
    )
    assert R1(2.0)(one_place, x).item() == pytest.approx(30.0 / places**4)


def test_lazy_penalties_are_scaled_and_wait_their_turn(tmp_path: Path) -> None:
    class Terms(GAN):
        def __init__(self) -> None:
            super().__init__(mlps()[0], LinearCritic(3.0), penalties=[R1(0.5, every=3), R2(0.5)])
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


def test_dragan_looks_between_a_real_and_its_perturbation() -> None:
    D, real = Revealing(), torch.cat([torch.full((32, 1, 2, 2), -1.0), torch.full((32, 1, 2, 2), 1.0)])
    value = DRAGAN(1.0)(D, real, torch.full_like(real, 9.0), None).item()
    step = (D.seen - real) / (0.5 * float(real.std()))
    assert float(step.min()) >= 0
    assert 0.5 < float(step.max()) < 1
    assert len(step.flatten().unique()) == step.numel()  # other noise in each pixel
    norms = D.seen.flatten(1).norm(dim=1)
    assert abs(value - float((norms - 1).square().mean())) < 1e-5


@pytest.mark.parametrize("norm", [0.5, 3.0])
def test_dragan_of_a_linear_critic(norm: float) -> None:
    x = torch.randn(4, *SHAPE)
    assert abs(DRAGAN()(LinearCritic(norm), x, x, None).item() - 10 * (norm - 1) ** 2) < 1e-3


def test_gradient_penalty_at_a_vanishing_gradient_has_finite_gradients() -> None:
    D = LinearCritic(0.0)
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
    D = LinearCritic()
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


@pytest.mark.parametrize("penalty", [R1(), R2(), GradientPenalty(), DRAGAN()])
@pytest.mark.parametrize("D", [dcgans(size=16, batch_norm=False)[1], MLPDiscriminator((1, 16, 16), width=8)])
def test_every_weight_of_d_gets_a_gradient_from_each_penalty(penalty: Penalty, D: Discriminator) -> None:
    D.zero_grad()
    module = GAN(mlps(shape=(1, 16, 16))[0], D, penalties=[penalty])
    module.d_loss(*batches(1, 8, (1, 16, 16))[0])[f"d/{penalty.name}"].backward()
    for name, parameter in D.named_parameters():
        if name.endswith("weight"):
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name

"""Unrolling: against hand-written derivatives on scalar games, against the optimizers it imitates, and D as it was."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from toys import (
    SHAPE,
    Z_DIM,
    Finite,
    Told,
    ToldGAN,
    batches,
    batches_with_noise,
    dcgans,
    distance,
    mlps,
    same,
    sgd,
    trainer,
    weights,
)

from lightning_modules.gan import GAN
from lightning_modules.losses.adversarial import (
    AdversarialLoss,
    Minimax,
    NonSaturating,
    RelativisticPairing,
    Wasserstein,
)
from lightning_modules.losses.penalties import R1
from lightning_modules.networks.base import Discriminator, Generator
from lightning_modules.networks.mlp import MLPDiscriminator
from lightning_modules.unrolled import UnrolledGAN, twin_of, with_weights

THETA, W, MEAN, LR = 0.7, 0.4, 1.5, 0.3


class Constant(Generator):
    """G(z) = theta."""

    def __init__(self) -> None:
        super().__init__()
        self.z_dim, self.out_shape = 1, (1,)
        self.theta = nn.Parameter(torch.tensor(THETA, dtype=torch.double))

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.theta.expand(len(z), 1)


class Slope(Discriminator):
    """D(x) = w x."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential()
        self.w = nn.Parameter(torch.tensor(W, dtype=torch.double))

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return (self.w * x).flatten()


class InDouble(UnrolledGAN):
    """Without the cast to fp32, and with D's optimizer at hand outside of any trainer."""

    def __init__(self, opt: Callable[[Any], Optimizer], loss: AdversarialLoss, unroll: int) -> None:
        super().__init__(Constant(), Slope(), unroll=unroll, loss=loss)
        self.opt = opt(self.D.parameters())

    def trained_optimizers(self) -> list[Optimizer]:
        return [self.opt]

    def slope(self) -> float:
        """d g_loss / d theta."""
        x = torch.tensor([[MEAN - 1], [MEAN + 1]], dtype=torch.double)
        self.g_loss(x, torch.zeros(2))["g/adv"].backward()
        return self.G.theta.grad.item()  # type: ignore[union-attr, operator]


def test_one_step_of_a_wasserstein_game_by_hand() -> None:
    # L_D = w (theta - m), so w_1 = w - lr (theta - m); L_G = -L_D at w_1, its slope -w_1 + lr (theta - m)
    found = InDouble(sgd(LR), Wasserstein(), 1).slope()
    assert found == pytest.approx(-(W - LR * (THETA - MEAN)) + LR * (THETA - MEAN), abs=1e-6)
    assert InDouble(sgd(LR), Wasserstein(), 0).slope() == pytest.approx(-W, abs=1e-6)


def test_two_steps_of_a_wasserstein_game_by_hand() -> None:
    found = InDouble(sgd(LR), Wasserstein(), 2).slope()  # w_2 = w - 2 lr (theta - m)
    assert found == pytest.approx(-(W - 2 * LR * (THETA - MEAN)) + 2 * LR * (THETA - MEAN), abs=1e-6)


def after_steps(theta: float, unroll: int) -> tuple[InDouble, Tensor]:
    """The game after so many steps of D by torch's own optimizer against fakes at ``theta``, and the reals."""
    module = InDouble(sgd(LR), NonSaturating(), 0)
    x = torch.tensor([[MEAN - 1], [MEAN + 1]], dtype=torch.double)
    for _ in range(unroll):
        module.opt.zero_grad()
        module.loss.d(module.D(x), module.D(torch.full_like(x, theta))).backward()
        module.opt.step()
    return module, x


@pytest.mark.parametrize("unroll", [1, 3])
@pytest.mark.parametrize("loss", [Minimax(), NonSaturating()])
def test_curved_games_against_finite_differences(unroll: int, loss: AdversarialLoss) -> None:
    def direct(theta: float) -> float:
        """G's loss on fakes at ``theta`` under the D that met those at THETA."""
        module, x = after_steps(THETA, unroll)
        return loss.g(None, module.D(torch.full_like(x, theta))).item()

    def reaction(theta: float) -> float:
        """D's objective, negated, on reals and fakes at THETA under the D that met those at ``theta``."""
        module, x = after_steps(theta, unroll)
        return -loss.d(module.D(x), module.D(torch.full_like(x, THETA))).item()

    step = 1e-4
    expected = sum((part(THETA + step) - part(THETA - step)) / (2 * step) for part in (direct, reaction))
    assert InDouble(sgd(LR), loss, unroll).slope() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("loss", [Wasserstein(), Minimax(), NonSaturating()])
@pytest.mark.parametrize("unroll", [0, 1, 3])
def test_fakes_that_match_the_data_stay_where_they_are(unroll: int, loss: AdversarialLoss) -> None:
    module = InDouble(sgd(LR), loss, unroll)
    with torch.no_grad():
        module.G.theta.fill_(MEAN)
        module.D.w.fill_(0.0)
    assert module.slope() == pytest.approx(0.0, abs=1e-9)


def test_the_logged_loss_is_gs_own() -> None:
    x, y = torch.tensor([[MEAN - 1], [MEAN + 1]], dtype=torch.double), torch.zeros(2)
    module, _ = after_steps(THETA, 2)
    expected = module.loss.g(None, module.D(torch.full_like(x, THETA))).item()
    assert InDouble(sgd(LR), NonSaturating(), 2).g_loss(x, y)["g/adv"].item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("make", [sgd(0.1), lambda p: Adam(p, lr=0.01, betas=(0.5, 0.9))], ids=["SGD", "Adam"])
@pytest.mark.parametrize("before", [0, 3])
def test_a_twin_steps_as_its_optimizer(make: Callable[[Any], Optimizer], before: int) -> None:
    torch.manual_seed(0)
    net = nn.Linear(3, 2)
    x = torch.randn(5, 5, 3)
    opt = make(net.parameters())

    def loss(i: int) -> Tensor:
        return (net(x[i]) - 1).square().mean()

    def step(i: int) -> None:
        opt.zero_grad()
        loss(i).backward()
        opt.step()

    for i in range(before):
        step(i)
    named = dict(net.named_parameters())
    twin, ahead = twin_of(opt, named), {name: weight.detach().requires_grad_() for name, weight in named.items()}
    for i in (3, 4):
        value = with_weights(net, ahead, lambda i=i: loss(i))  # type: ignore[misc]
        gradients = torch.autograd.grad(value, list(ahead.values()), create_graph=True)
        ahead = twin.step(ahead, dict(zip(ahead, gradients, strict=True)))
    untouched = weights(net)
    for i in (3, 4):
        step(i)
    assert distance({name: weight.detach() for name, weight in ahead.items()}, weights(net)) < 1e-6
    assert distance(untouched, weights(net)) > 1e-3


def test_adam_gives_no_nan_where_a_weight_has_no_gradient() -> None:
    weight = nn.Parameter(torch.tensor([1.0, 2.0]))
    twin = twin_of(Adam([weight]), {"w": weight})
    scale = torch.tensor(3.0, requires_grad=True)
    moved = twin.step({"w": weight}, {"w": scale * torch.tensor([0.0, 1.0])})["w"]
    (slope,) = torch.autograd.grad(moved.sum(), scale)
    assert slope.isfinite()


def test_no_step_ahead_is_the_plain_gan(tmp_path: Path) -> None:
    found = []
    for module in (GAN(*mlps()), UnrolledGAN(*mlps(), unroll=0)):
        trainer(tmp_path, max_steps=3).fit(module, datamodule=Finite(batches(3)))
        found.append(weights(module))
    assert same(*found)


def test_looking_ahead_with_a_still_d_is_the_plain_gradient(tmp_path: Path) -> None:
    found = []
    still: dict[str, Any] = {"d_optimizer": sgd(0.0), "g_optimizer": sgd()}
    for module in (GAN(*mlps(), **still), UnrolledGAN(*mlps(), unroll=3, **still)):
        trainer(tmp_path, max_steps=1).fit(module, datamodule=Finite(batches(1)))
        found.append(weights(module.G))
    assert distance(*found) < 1e-7


@pytest.mark.parametrize("loss", [NonSaturating(), RelativisticPairing()])
def test_d_is_as_it_was_batch_norm_and_all(tmp_path: Path, loss: AdversarialLoss) -> None:
    class Watching(UnrolledGAN):
        def g_loss(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
            before = weights(self.D)
            terms = super().g_loss(x, y)
            self.unchanged = same(before, weights(self.D))
            return terms

    G, D = dcgans()
    module = Watching(G, D, unroll=2, loss=loss, penalties=[R1(1.0)])
    before = weights(G)
    trainer(tmp_path, max_steps=2).fit(module, datamodule=Finite(batches(2)))
    assert module.unchanged
    assert all(parameter.requires_grad for parameter in D.parameters())
    assert distance(before, weights(G)) > 1e-5


def test_d_judges_as_many_at_once_ahead_as_in_its_own_step() -> None:
    G, D = dcgans()
    module, sizes, (x, y) = UnrolledGAN(G, D, unroll=2, one_pass=True), [], batches(1)[0]
    module.trained_optimizers = lambda: [torch.optim.Adam(D.parameters())]  # type: ignore[method-assign]
    D.register_forward_hook(lambda _, given, __: sizes.append(len(given[0])))
    module.d_loss(x, y)
    module.g_loss(x, y)
    both, alone = 2 * len(x), len(x)
    assert sizes == [both, both, both, alone, both]  # its own step, two ahead, G's question, how D reacts


def test_frozen_blocks_of_d_stay_where_they_are_in_the_look_ahead_too() -> None:
    module = UnrolledGAN(*mlps(), unroll=2, freeze_d=1, d_optimizer=sgd())
    opts = module.configure_optimizers()
    module.trained_optimizers = lambda: opts  # type: ignore[method-assign]
    (x, y), before = batches(1)[0], weights(module.D)
    fake = module.G(module.G.sample_z(len(x))).detach()
    ahead = {name: weight.detach() for name, weight in module.look_ahead(x, fake, y, y).items()}
    for _ in range(2):
        opts[0].zero_grad()
        module.adversary(x, fake, y, y).backward()
        opts[0].step()
    assert distance(before | ahead, weights(module.D)) < 1e-6
    assert distance(before, weights(module.D)) > 1e-3


class ToldUnrolled(ToldGAN, UnrolledGAN):
    """An unrolled GAN whose noise comes with the batch."""


def told_players() -> tuple[Told, MLPDiscriminator]:
    torch.manual_seed(0)
    return Told(SHAPE, Z_DIM, width=8, tanh=True), MLPDiscriminator(SHAPE, width=8)


def test_it_looks_ahead(tmp_path: Path) -> None:
    found = []
    for unroll in (0, 1, 5):
        module = ToldUnrolled(*told_players(), unroll=unroll, d_optimizer=sgd(), g_optimizer=sgd())
        trainer(tmp_path, max_steps=2).fit(module, datamodule=Finite(batches_with_noise(2)))
        found.append(weights(module.G))
    assert distance(found[0], found[1]) > 1e-6
    assert distance(found[1], found[2]) > 1e-6


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"d_optimizer": lambda p: AdamW(p)}, "knows no twin of AdamW: make d_optimizer SGD or Adam"),
        ({"d_optimizer": lambda p: SGD(p, lr=0.1, momentum=0.9)}, "knows no SGD with momentum"),
        ({"d_optimizer": lambda p: Adam(p, weight_decay=0.1)}, "knows no Adam with weight_decay"),
    ],
)
def test_other_optimizers_are_refused(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    module = UnrolledGAN(*mlps(), unroll=1, **settings)
    with pytest.raises(ValueError, match=message):
        trainer(tmp_path, max_steps=1).fit(module, datamodule=Finite(batches(1)))


def test_what_cannot_be_unrolled_is_refused() -> None:
    with pytest.raises(ValueError, match="unroll must not be negative, got -1"):
        UnrolledGAN(*mlps(), unroll=-1)
    for clip in ({"weight_clip": 0.5}, {"d_clip": 1.0}):
        with pytest.raises(ValueError, match="unrolling knows no weight_clip and no d_clip"):
            UnrolledGAN(*mlps(), unroll=1, **clip)  # type: ignore[arg-type]

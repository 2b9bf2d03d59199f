"""ProGAN: the schedule and the fade by hand, networks that join without a seam, forgotten moments, exact resume."""

from pathlib import Path
from typing import Any

import pytest
import torch
from resuming import ends_alike
from torch.nn.functional import avg_pool2d, interpolate
from toys import dcgans, distance, trainer, weights

from datamodules.digits import Digits
from lightning_modules.callbacks.clock import Clock
from lightning_modules.ema import EMASettings
from lightning_modules.losses.adversarial import Wasserstein
from lightning_modules.networks.progan import ProGANDiscriminator, ProGANGenerator
from lightning_modules.networks.resolutions import Widths
from lightning_modules.progan import Growth, ProGAN, as_sharp

WIDTHS = Widths(32, 8)


def networks(size: int = 16) -> tuple[ProGANGenerator, ProGANDiscriminator]:
    torch.manual_seed(0)
    return ProGANGenerator(size, 1, 6, WIDTHS), ProGANDiscriminator(size, 1, WIDTHS)


def progan(**settings: Any) -> ProGAN:
    return ProGAN(*networks(8), growth=Growth(0.016, 0.016), **settings)


def test_sizes_are_the_published_ones() -> None:
    with torch.device("meta"):
        nets = (ProGANGenerator(1024), ProGANDiscriminator(1024))
    assert [sum(w.numel() for w in net.parameters()) for net in nets] == [23_079_115, 23_087_249]


@pytest.mark.parametrize(
    ("kimg", "growth"),
    [(0, 0), (600, 0), (900, 0.5), (1200, 1), (1799.9, 1), (1950, 1.25), (3600, 3), (9999, 3)],
)
def test_the_published_schedule(kimg: float, growth: float) -> None:
    assert Growth().at(int(kimg * 1000), 4) == pytest.approx(growth)


def test_networks_join_without_a_seam_and_fade_in_between() -> None:
    G, D = networks()
    z = torch.randn(4, 6)
    x = torch.randn(4, 1, 16, 16)
    made, judged = {}, {}
    for growth in (0.0, 1e-6, 0.25, 1.0 - 1e-6, 1.0, 1.0 + 1e-6, 2.0):
        G.growth = D.growth = growth
        made[growth], judged[growth] = G(z), D(x)
    for near, far in ((1e-6, 0.0), (1.0 - 1e-6, 1.0), (1.0 + 1e-6, 1.0)):
        assert torch.allclose(made[near], made[far], atol=1e-4)
        assert torch.allclose(judged[near], judged[far], atol=1e-4)
    assert torch.allclose(made[0.25], 0.75 * made[0.0] + 0.25 * made[1.0], atol=1e-5)
    small = avg_pool2d(x, 2)  # D at 8 px: both ways to the features of 4 px, mixed
    old, new = D.colours[0](avg_pool2d(small, 2)), D.blocks[1](D.colours[1](small))
    assert torch.allclose(judged[0.25], D.verdict(D.epilogue(0.75 * old + 0.25 * new)), atol=1e-5)
    assert not torch.allclose(judged[0.0], judged[1.0], rtol=1e-2)
    for growth, side in ((0.0, 4), (1.0, 8)):
        coarse = avg_pool2d(made[growth], 16 // side)
        assert torch.allclose(interpolate(coarse, size=(16, 16)), made[growth], atol=1e-5)
        assert not torch.allclose(made[growth], made[2.0], rtol=1e-2)


def test_d_sees_no_more_detail_than_it_has_grown_for() -> None:
    _, D = networks()
    x = torch.randn(4, 1, 16, 16)
    for growth in (0.0, 0.3, 1.0, 1.6, 2.0):
        D.growth = growth
        seen = as_sharp(x, growth, 3)
        if growth == int(growth):
            assert torch.allclose(D(seen), D(x), atol=1e-5)
        assert torch.allclose(as_sharp(seen, growth, 3), seen, atol=1e-6) == (growth == int(growth))
    half = as_sharp(x, 1.5, 3)
    blurred = interpolate(avg_pool2d(x, 2), scale_factor=2)
    assert torch.allclose(half, (x + blurred) / 2, atol=1e-6)


def test_what_has_not_grown_has_no_gradient_and_all_has_in_the_end() -> None:
    G, D = networks()
    for growth, everything in ((1.0, False), (1.5, True), (2.0, False)):
        G.growth = D.growth = growth
        G.zero_grad()
        D.zero_grad()
        D(G(torch.randn(4, 6))).sum().backward()
        moved = {name for net in (G, D) for name, weight in net.named_parameters() if weight.grad is not None}
        still = {name for net in (G, D) for name, _ in net.named_parameters()} - moved
        assert all(name.startswith("colours") for name in still) == (growth > 1)  # of coarser images
        assert not [name for name in still if name.startswith(("colours.1", "colours.2")) and everything]


def test_how_far_it_has_grown_is_in_the_state() -> None:
    G, other = networks()[0], networks()[0]
    G.growth = 0.4
    other.load_state_dict(G.state_dict())
    assert other.growth == 0.4
    z = torch.randn(2, 6)
    assert torch.equal(G(z), other(z))


def test_all_grow_and_moments_are_forgotten_at_both_ends_of_a_fade(tmp_path: Path) -> None:
    module = progan(ema=EMASettings(decay=0.5))
    steps: list[list[int]] = []

    class Watched(ProGAN):
        def finish_step(self) -> None:
            super().finish_step()
            found = [{int(state["step"]) for state in opt.state.values()} for opt in self.trained_optimizers()]
            steps.append([max(one) for one in found])

    module.__class__ = Watched
    trainer(tmp_path, Clock(g_steps=10, validations=0)).fit(module, datamodule=Digits(size=8, batch_size=4))
    # 4 batches of 4 images are 0.016 kimg; the fade begins after the first image beyond them, and ends 4 batches later
    assert [one[0] for one in steps] == [1, 2, 3, 4, 5, 1, 2, 3, 1, 2]
    assert {net.growth for net in module.growing} == {1.0}
    assert len(module.growing) == 3


def test_a_run_cut_off_in_a_fade_ends_as_the_whole_one(tmp_path: Path) -> None:
    make, data = lambda: progan(ema=EMASettings(decay=0.5)), lambda: Digits(size=8, batch_size=4)
    module = ends_alike(tmp_path, make, data, cuts=[7], steps=10)
    assert distance(weights(progan().G), weights(module.G)) > 1e-3


def test_drift_keeps_scores_near_zero() -> None:
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([2.0])
    assert Wasserstein(drift=0.1).d(real, fake).item() == pytest.approx(0.0 + 0.1 * 5)
    with pytest.raises(ValueError, match="drift must not be negative"):
        Wasserstein(drift=-1.0)


def test_players_that_do_not_grow_alike_cost_one_sentence() -> None:
    G, D = networks(16)
    for pair in ((G, networks(8)[1]), dcgans(size=16), (G, dcgans(size=16)[1])):
        with pytest.raises(ValueError, match="ProGAN's players grow together"):
            ProGAN(*pair)
    with pytest.raises(ValueError, match="growth: give a stable_kimg"):
        Growth(1.0, 0.0)
    assert D.levels == 3

"""Contextual attention and the two-stage network on it: a slow reference, textures that go on, what holes may say."""

import math
from typing import Any

import pytest
import torch
from test_inpainting import Both
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch.optim import Adam

from datamodules.damage import Holed
from datamodules.functional.masks import centre_box
from datamodules.holes import Thick, draw_holes
from lightning_modules.inpainting import Inpainting, InpaintingGAN
from lightning_modules.losses.reconstruction import L1, MSE
from lightning_modules.networks.base import TwoStageFiller
from lightning_modules.networks.contextual_attention import ContextualAttention
from lightning_modules.networks.fillings import MeanFill
from lightning_modules.networks.gated_refine import RefinedGatedNetwork
from lightning_modules.restoration_gan import InpaintingRestorationGAN


def box(side: int, top: int, height: int, left: int = 0, width: int | None = None) -> Tensor:
    """A hole, bool [1, 1, side, side]."""
    hole = torch.zeros(1, 1, side, side, dtype=torch.bool)
    hole[:, :, top : top + height, left : left + (width or side)] = True
    return hole


def slow(attention: ContextualAttention, x: Tensor, hole: Tensor) -> Tensor:
    """One image [C, H, W] and its hole [H, W]: the module docstring's equations, place after place."""
    rate, k, half = attention.rate, attention.kernel // 2, attention.propagation // 2
    (C, H, W), margin = x.shape, (attention.rate + 1) // 2
    places = [(i, j) for i in range(H // rate) for j in range(W // rate)]
    around = [(a, b) for a in range(-k, k + 1) for b in range(-k, k + 1)]

    def patch(i: int, j: int) -> Tensor:
        values = torch.zeros(len(around), C)
        for n, (a, b) in enumerate(around):
            if (i + a, j + b) in places:
                values[n] = x[:, (i + a) * rate, (j + b) * rate]
        return values.flatten()

    def known(i: int, j: int) -> bool:
        inside = [(i + a, j + b) for a, b in around if (i + a, j + b) in places]
        return not any(hole[r * rate + u, c * rate + v] for r, c in inside for u in range(rate) for v in range(rate))

    patches = {place: patch(*place) for place in places}
    of = {place: known(*place) for place in places}
    cosine = {
        (p, q): float(patches[p] @ patches[q] / patches[p].norm().clamp(min=1e-4) / patches[q].norm().clamp(min=1e-4))
        if of[q]
        else 0.0
        for p in places
        for q in places
    }
    total, count = torch.zeros(C, H, W), torch.zeros(H, W)
    steps = [(a, b) for a in range(-half, half + 1) for b in range(-half, half + 1)]
    for p in places:
        score = {
            q: sum(cosine.get(((p[0] + a, p[1] + b), (q[0] + a, q[1] + b)), 0.0) for a, b in steps)
            for q in places
            if of[q]
        }
        whole = sum(math.exp(attention.scale * value) for value in score.values())
        for q, value in score.items():
            weight = math.exp(attention.scale * value) / whole
            for u in range(-margin, rate + margin):
                for v in range(-margin, rate + margin):
                    (r, c), (s, t) = ((place[0] * rate + u, place[1] * rate + v) for place in (p, q))
                    if 0 <= r < H and 0 <= c < W and 0 <= s < H and 0 <= t < W and not hole[s, t]:
                        total[:, r, c] += weight * x[:, s, t]
                        count[r, c] += weight
    return total / count.clamp(min=1e-9)


@pytest.mark.parametrize(
    ("settings", "shape"),
    [({"scale": 2.0}, (8, 10)), ({"rate": 1}, (4, 5)), ({"rate": 1, "kernel": 1, "propagation": 1}, (4, 4))],
)
def test_attention_is_the_papers_equations(settings: dict[str, Any], shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    attention, x = ContextualAttention(**settings), torch.randn(2, 2, *shape)
    hole = torch.zeros(2, 1, *shape, dtype=torch.bool)
    hole[0, :, : shape[0] // 4, 1:3] = hole[1, :, -1:, -1:] = True  # another one in each image of the batch
    made = attention(x, hole)
    for n in range(2):
        right = slow(attention, x[n], hole[n, 0])
        assert right.abs().max() > 0.1
        assert torch.allclose(made[n], right, atol=1e-5), n


def texture(period: int, side: int) -> Tensor:
    torch.manual_seed(0)
    return torch.rand(1, 3, period, period).repeat(1, 1, side // period, side // period)


@pytest.mark.parametrize(("rate", "period"), [(1, 4), (2, 4), (2, 8)])
def test_a_periodic_texture_goes_on_through_a_hole(rate: int, period: int) -> None:
    x, hole = texture(period, 32), box(32, 12, 8, 10, 8)
    faint = torch.where(hole, 0.1 * x, x)  # a coarse answer of the right phase, and nothing like its colours
    made = ContextualAttention(rate=rate)(faint, hole)
    assert (faint - x)[hole.expand_as(x)].abs().mean() > 0.3
    assert torch.allclose(made, x, atol=2e-3)  # known places too: 10 is no infinite scale


def test_only_known_patches_are_looked_at_and_the_rows_sum_to_one() -> None:
    torch.manual_seed(0)
    attention, x = ContextualAttention(scale=1.0), torch.randn(1, 2, 16, 16)
    hole = box(16, 4, 3, 4, 2)  # of places in rows 2 and 3, column 2
    weights = attention.weights(x, hole)[0]
    near = torch.zeros(8, 8, dtype=torch.bool)
    near[1:5, 1:4] = True
    assert (weights[:, near.flatten()] == 0).all()
    assert (weights[:, ~near.flatten()] > 0).all()
    assert torch.allclose(weights.sum(1), torch.ones(64))


def test_what_is_in_the_hole_is_copied_nowhere() -> None:
    torch.manual_seed(0)
    attention, x, hole = ContextualAttention(rate=1), torch.randn(1, 2, 16, 16), box(16, 6, 4, 6, 4)
    other = torch.where(hole, torch.randn_like(x) * 100, x)
    far = ~box(16, 3, 10, 3, 10).expand_as(x)  # their patch of 3, its neighbours' and the pasted one's reach 3 px
    made, again = attention(x, hole), attention(other, hole)
    assert torch.allclose(made[far], again[far], atol=1e-6)
    assert again.abs().max() <= x[~hole.expand_as(x)].abs().max()
    assert not torch.allclose(made, again, atol=1e-2)  # in the hole they say which patch is wanted
    x.requires_grad_()
    values = attention.pasted(x, hole, attention.weights(x.detach(), hole))
    values.square().sum().backward()
    assert torch.equal(x.grad != 0, ~hole.expand_as(x))


def test_without_a_hole_every_patch_is_known_and_with_nothing_else_the_answer_is_zero() -> None:
    torch.manual_seed(0)
    x, nothing = torch.randn(2, 2, 8, 8), torch.zeros(2, 1, 8, 8, dtype=torch.bool)
    for rate in (1, 2):
        assert torch.allclose(ContextualAttention(rate=rate, scale=1e3)(x, nothing), x, atol=1e-5)  # each finds itself
    hole = nothing.clone()
    hole[1] = True
    x.requires_grad_()
    made = ContextualAttention()(x, hole)
    made.square().sum().backward()
    assert made[0].abs().sum() > 1
    assert (made[1] == 0).all()
    assert x.grad[0].abs().sum() > 0
    assert (x.grad[1] == 0).all()
    hole[0, :, ::4, ::4] = True  # much is known, but no patch whole
    assert (ContextualAttention().weights(x, hole) == 0).all()
    assert (ContextualAttention()(x, hole) == 0).all()


def test_gradients_are_right_and_half_precision_does_not_blur_them() -> None:
    torch.manual_seed(0)
    attention, x, hole = ContextualAttention(scale=3.0), torch.randn(1, 2, 8, 8), box(8, 0, 2, 0, 2)
    way, step = torch.randn_like(x), 1e-2

    def value(at: Tensor) -> Tensor:
        return attention(at, hole).square().sum()

    x.requires_grad_()
    (gradient,) = torch.autograd.grad(value(x), x)
    slope = (value(x.detach() + step * way) - value(x.detach() - step * way)) / (2 * step)
    assert (gradient * way).sum().item() == pytest.approx(slope.item(), rel=2e-3)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(attention(x, hole), ContextualAttention(scale=3.0)(x, hole))
        assert attention(x, hole).dtype == torch.float32
    assert torch.equal(attention(x, hole), attention(x.detach(), hole))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"kernel": 4}, "kernel is 4: give an odd number of places"),
        ({"propagation": 0}, "propagation is 0: give an odd number"),
        ({"rate": 0}, "rate is 0 and scale 10.0: give a rate of 1 or more"),
        ({"rate": 3}, "at rate 3 takes maps of its multiples, not of 8 x 8"),
    ],
)
def test_bad_settings_cost_one_sentence(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ContextualAttention(**settings)(torch.rand(1, 1, 8, 8), box(8, 0, 2))


# --- two stages ---------------------------------------------------------------------------------------------


def small(**settings: Any) -> RefinedGatedNetwork:
    torch.manual_seed(0)
    return RefinedGatedNetwork(width=4, dilations=(2,), rate=1, **settings)


def test_the_second_stage_sees_the_coarse_image_in_the_hole_alone() -> None:
    net, y, hole = small(), torch.rand(1, 3, 32, 32), box(32, 8, 8, 8, 8)
    coarse, refined = net.stages(y, hole)
    assert torch.equal(coarse, net.coarse(y, hole))
    assert torch.equal(refined, net(y, hole))
    assert torch.equal(net(y.masked_fill(hole, 0.7), hole), refined)  # what is in the hole is not seen
    for where, same in ((hole, False), (~hole, True)):
        net.coarse.forward = lambda y, hole, where=where: torch.where(where, 1 - coarse, coarse)
        assert torch.equal(net(y, hole), refined) == same
    with pytest.raises(ValueError, match="multiples of 8, not of 36 x 36"):
        RefinedGatedNetwork(width=2)(torch.rand(1, 3, 36, 36), box(36, 8, 8))


def test_both_branches_reach_the_answer_and_every_parameter_gets_a_gradient() -> None:
    net, y, hole = small(), torch.rand(2, 3, 32, 32), box(32, 8, 8, 8, 8).expand(2, -1, -1, -1)
    (net(y, hole) - torch.rand_like(y)).square().sum().backward()  # of the refined image alone: the coarse one learns
    for name, value in net.named_parameters():
        assert value.grad is not None, name
        assert value.grad.abs().sum() > 0, name
    right = net(y, hole)
    for branch in (net.made, net.copied):
        hook = branch.register_forward_hook(lambda module, given, made: 0 * made)
        assert not torch.equal(net(y, hole), right)
        hook.remove()


class Twice(TwoStageFiller):
    """The coarse image is w, the refined one w + 0.1, everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(0.5))

    def stages(self, y: Tensor, hole: Tensor) -> tuple[Tensor, Tensor]:
        coarse = self.w.expand_as(y[:, :3])
        return coarse, coarse + 0.1


def quarter() -> Holed:
    """x = 0.2 in the hole, a quarter of the image, and 0.8 elsewhere."""
    hole = centre_box(8, 8)
    x = torch.where(hole, 0.2, 0.8).expand(1, 3, 8, 8)
    return Holed(x, x * ~hole, hole)


def test_the_losses_look_at_both_images_and_d_at_the_refined_one() -> None:
    found = {name: term.item() for name, term in Inpainting(Twice(), losses=[MSE()]).terms(*quarter()).items()}
    assert found == pytest.approx({
        "mse": 0.25 * 0.16 + 0.75 * 0.04, "hole_l1": 6 * 0.4 / 4, "valid_l1": 0.2 * 3 / 4,
        "coarse_mse": 0.09, "coarse_hole_l1": 6 * 0.3 / 4, "coarse_valid_l1": 0.3 * 3 / 4,
    })  # fmt: skip
    whole: Any = {"losses": [L1()], "hole_losses": [], "valid_losses": []}
    module, D = InpaintingGAN(Twice(), Both(), **whole), Both()
    x, y, hole = quarter()
    terms = module.g_loss(x, y, hole)
    shown = torch.where(hole, 0.6, 0.8).expand_as(x)
    assert terms["g/adv"].item() == pytest.approx(module.loss.g(None, D(shown, hole.float())).item())
    assert {name: term.item() for name, term in terms.items() if name != "g/adv"} == pytest.approx(
        {"g/l1": 0.25 * 0.4 + 0.75 * 0.2, "g/coarse_l1": 0.3}
    )
    several = InpaintingRestorationGAN(Twice(), Both(), z_dim=2, **whole).g_loss(x, y, hole)
    assert several["g/coarse_l1"].item() == pytest.approx(0.3)


@pytest.mark.slow
def test_two_stages_learn_four_images_by_heart() -> None:
    x = interpolate(torch.rand(4, 3, 2, 2, generator=torch.Generator().manual_seed(0)), size=16, mode="nearest")
    hole = draw_holes(Thick(0.1, 0.4), 4, 16, 0)
    batch = Holed(x, x * ~hole, hole)
    torch.manual_seed(0)
    module = Inpainting(RefinedGatedNetwork(width=8, dilations=(2,), rate=1))
    optimizer = Adam(module.parameters(), lr=5e-3)
    for _ in range(160):
        optimizer.zero_grad()
        sum(module.terms(*batch).values()).backward()
        optimizer.step()
    assert (module.restore(batch) - x).abs().mean() < (MeanFill()(batch.y, hole) - x).abs().mean() / 3

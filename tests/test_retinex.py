"""RetinexNet: its losses by hand, its layers, two phases that never mix, resume across them, what it learns."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import place
from resuming import ends_alike
from test_cyclegan import flat
from test_low_light import dark, made
from test_low_light_families import SIDE, Pairs, pairs
from torch import Tensor, nn
from torch.optim import Adam, AdamW
from toys import distance, trainer, weights

from lightning_modules.ema import EMASettings
from lightning_modules.losses.reconstruction import L1, MSE
from lightning_modules.losses.retinex import (
    Composition,
    CrossComposition,
    InvariableReflectance,
    Layers,
    Smoothness,
    smoothness,
)
from lightning_modules.networks.base import Network
from lightning_modules.networks.retinex import Decomposition, Relighting
from lightning_modules.retinex import InEachPhase, Retinex
from lightning_modules.schedules import Linear

PARTS = {"decomposition": Decomposition, "relighting": Relighting}


class Split(Network):
    """R = a image, L = b everywhere."""

    def __init__(self, a: float = 2.0, b: float = 1.0) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.tensor(a)), nn.Parameter(torch.tensor(b))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        return self.a * image, self.b.expand(len(image), 1, *image.shape[2:])


class Times(Network):
    """L' = w L + the first channel of R."""

    def __init__(self, w: float = 3.0) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(w))

    def forward(self, R: Tensor, L: Tensor) -> Tensor:
        return self.w * L + R[:, :1]


def small(**settings: Any) -> Retinex:
    torch.manual_seed(0)
    return Retinex(Decomposition(4, 2), Relighting(4), **settings)


# --- losses ------------------------------------------------------------------------------------------------------


def test_smoothness_by_hand_where_reflectance_is_flat_and_where_it_has_an_edge() -> None:
    L, R = torch.zeros(1, 1, 4, 4), torch.full((1, 3, 4, 4), 0.2)
    L[..., 2:] = 0.8  # one step to the right in each row: of four pixels one
    for one in (L, 1 - L):  # rises and falls alike
        assert smoothness(one, R).item() == pytest.approx(0.8 / 4)
    R[:, 1, :, 2:] = 0.7  # green rises by 0.5 there, grey by 0.587 of it, which 3x3 px share with two columns beside
    edge = math.exp(-10 * 0.587 * 0.5 / 3)
    for one in (R, 1 - R):
        assert smoothness(L, one).item() == pytest.approx(0.2 * edge)
    assert smoothness(L, R, 0.0).item() == pytest.approx(0.2)
    turned = smoothness(L.transpose(2, 3), R.transpose(2, 3))
    assert turned.item() == pytest.approx(0.2 * edge)
    assert smoothness(L.transpose(2, 3), R).item() == pytest.approx(0.2)  # an edge to the right excuses no step down
    assert smoothness(R[:, :1] * 0 + 0.3, R).item() == 0


def test_each_loss_of_the_decomposition_by_hand() -> None:
    level = torch.tensor(1.0).expand(1, 1, 4, 4)
    bright = Layers(0.8 * level.expand(1, 3, 4, 4), 0.9 * level.expand(1, 3, 4, 4), 0.8 * level)
    low = Layers(0.1 * level.expand(1, 3, 4, 4), 0.5 * level.expand(1, 3, 4, 4), 0.3 * level)
    assert Composition()(bright, low).item() == pytest.approx(abs(0.72 - 0.8) + abs(0.15 - 0.1), rel=1e-5)
    crossed = abs(0.5 * 0.8 - 0.8) + abs(0.9 * 0.3 - 0.1)
    assert CrossComposition()(bright, low).item() == pytest.approx(0.001 * crossed, rel=1e-5)
    assert CrossComposition(2.0)(low, bright).item() == pytest.approx(2 * crossed, rel=1e-5)
    assert InvariableReflectance()(bright, low).item() == pytest.approx(0.01 * 0.4, rel=1e-5)
    L = torch.zeros(1, 1, 4, 4)
    L[..., 2:] = 1.0
    stepped = low._replace(L=L)
    assert Smoothness()(bright, stepped).item() == pytest.approx(0.1 * 0.25)
    assert Smoothness()(stepped, stepped).item() == pytest.approx(2 * 0.1 * 0.25)


def test_terms_of_both_phases_by_hand() -> None:
    x, y = flat(0.8), flat(0.2)  # R = 1.6 and 0.4, L = 1
    module = Retinex(Split(), Times(), losses=[L1(), MSE(2.0)])
    found = {name: term.item() for name, term in module.decomposition_terms(x, y).items()}
    by_hand = {
        "composition": (1.6 - 0.8) + (0.4 - 0.2),
        "cross_composition": 0.001 * ((0.8 - 0.4) + (1.6 - 0.2)),
        "reflectance": 0.01 * (1.6 - 0.4),
        "smoothness": 0.0,
    }
    assert found == pytest.approx(by_hand, rel=1e-5)
    answer = 0.4 * (3 + 0.4)
    found = {name: term.item() for name, term in module.relighting_terms(x, y).items()}
    by_hand = {"relit_l1": answer - 0.8, "relit_mse": 2 * (answer - 0.8) ** 2, "relit_smoothness": 0.0}
    assert found == pytest.approx(by_hand, rel=1e-5)
    assert module(y)[0, 0, 0, 0].item() == pytest.approx(answer)
    y[..., 8:] = 0.6  # R steps by 0.8, and so does L' = 3 L + R: 3 mean |dL'| exp(-10 mean |d grey R|)
    edge = 3 * (0.8 / 16) * math.exp(-10 * 0.8 / 3)
    assert module.relighting_terms(x, y)["relit_smoothness"].item() == pytest.approx(edge, rel=1e-4)


# --- networks ----------------------------------------------------------------------------------------------------


def test_the_published_layers_have_444613_weights() -> None:
    sizes = [sum(p.numel() for p in net.parameters()) for net in (Decomposition(), Relighting())]
    first, inner, last = 4 * 81 * 64 + 64, 64 * 9 * 64 + 64, 64 * 9 * 4 + 4
    assert sizes == [first + 5 * inner + last, (4 * 9 * 64 + 64) + 6 * inner + (192 * 64 + 64) + (64 * 9 + 1)]
    assert sum(sizes) == 444_613


def test_the_decomposition_sees_the_largest_channel_beside_the_others() -> None:
    torch.manual_seed(0)
    net, image = Decomposition(4), torch.rand(2, 3, 9, 7)
    seen: list[Tensor] = []
    net.layers[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    R, L = net(image)
    assert torch.equal(seen[0][:, 0], image.max(1).values)
    assert torch.equal(seen[0][:, 1:], image)
    assert (R.shape, L.shape) == (image.shape, (2, 1, 9, 7))
    assert 0 < min(R.min(), L.min()) < max(R.max(), L.max()) < 1


def test_every_scale_of_the_relighting_counts_at_any_size() -> None:
    torch.manual_seed(0)
    net = Relighting(4)
    R, L = torch.rand(1, 3, 13, 10), torch.rand(1, 1, 13, 10)
    whole = net(R, L)
    for i in range(3):  # what each scale hands to the fusion
        columns = slice(4 * i, 4 * i + 4)
        kept = net.fusion.weight.data[:, columns].clone()
        net.fusion.weight.data[:, columns] = 0
        assert (net(R, L) - whole).abs().max() > 1e-3
        net.fusion.weight.data[:, columns] = kept
    assert torch.equal(net(R, L), whole)
    assert not torch.equal(net(R, L / 2), whole)
    assert not torch.equal(net(R / 2, L), whole)
    for layer in net.up:  # without them what is left is what the skips hand over
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)
    assert (net(R, L) - net(R.flip(3), L)).abs().max() > 1e-3


# --- phases ------------------------------------------------------------------------------------------------------


def test_each_phase_gives_a_gradient_to_all_of_its_network_and_none_to_the_other() -> None:
    x, y = pairs(1)[0]
    phases = {"decomposition": "decomposition_terms", "relighting": "relighting_terms"}
    for mine in phases:
        module = small()
        terms = module.decomposition_terms if mine == "decomposition" else module.relighting_terms
        torch.stack(list(terms(x, y).values())).sum().backward()
        for name, parameter in module.network.named_parameters():
            if name.startswith(mine):
                assert parameter.grad is not None, name
                assert parameter.grad.abs().sum() > 0, name
            else:
                assert parameter.grad is None, name


class Watching(Retinex):
    """Notes what each step has moved."""

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        super().on_train_batch_start(batch, batch_idx)
        self.before = weights(self.network)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        super().on_train_batch_end(outputs, batch, batch_idx)
        still = {name for name, value in weights(self.network).items() if torch.equal(value, self.before[name])}
        moved = [part for part in PARTS if not any(name.startswith(part) for name in still)]
        whole = [part for part in PARTS if all(n in still for n in self.before if n.startswith(part))]
        self.moves = [*getattr(self, "moves", []), (moved, whole)]


@pytest.mark.parametrize(("share", "first"), [(0.5, 3), (1 / 3, 2), (0.9, 6)])
def test_one_network_learns_and_then_the_other_while_the_first_is_held_still(
    tmp_path: Path, share: float, first: int
) -> None:
    module = small(share=share, optimizer=lambda p: AdamW(p, lr=1e-3, weight_decay=0.5))  # decay would move it too
    module.__class__ = Watching
    trainer(tmp_path, max_steps=6).fit(module, datamodule=Pairs(pairs(6)))
    assert module.moves == [(["decomposition"], ["relighting"])] * first + [(["relighting"], ["decomposition"])] * (
        6 - first
    )


def test_the_schedule_runs_through_in_each_phase(tmp_path: Path) -> None:
    schedule = InEachPhase(Linear(), 0.25)
    assert [schedule.factor(p) for p in (0, 0.125, 0.25, 0.625, 1)] == [1, 0.5, 1, 0.5, 0]
    rates: list[float] = []

    class Rates(Retinex):
        def on_before_optimizer_step(self, optimizer: Any) -> None:
            rates.append(optimizer.param_groups[0]["lr"])

    module = Rates(Split(), Times(), schedule=Linear(), optimizer=lambda p: AdamW(p, lr=1.0))
    trainer(tmp_path, max_steps=4).fit(module, datamodule=Pairs(pairs(4)))
    assert rates == [1, 0.5, 1, 0.5]


@pytest.mark.usefixtures(place.__name__, made.__name__)
def test_runs_that_were_cut_off_in_either_phase_end_as_the_whole_one(tmp_path: Path) -> None:
    make = lambda: small(schedule=Linear(), ema=EMASettings(decay=0.5))  # noqa: E731
    module = ends_alike(
        tmp_path, make, lambda: dark(patch=SIDE), cuts=[1, 2, 3], steps=4, looks=2
    )  # 2 begins the second
    for part in PARTS:
        before, after = (
            {n: v for n, v in weights(one).items() if n.startswith(f"network.{part}")} for one in (make(), module)
        )
        assert distance(before, after) > 1e-4


# --- what it learns and shows ------------------------------------------------------------------------------------


def test_it_learns_four_images_by_heart(tmp_path: Path) -> None:
    torch.manual_seed(1)
    x = torch.nn.functional.interpolate(0.2 + 0.7 * torch.rand(4, 3, 4, 4), scale_factor=4.0)
    y = 0.6 * x.square()
    torch.manual_seed(0)
    module = Retinex(Decomposition(16, 1), Relighting(16), optimizer=lambda p: Adam(p, lr=5e-3))

    def off() -> Tensor:  # what is left of y by R L, and of x by R L'
        R, L, relit = module.network.layers(y)
        return torch.stack([(R * L - y).abs().mean(), (R * relit - x).abs().mean()]).detach()

    before = off()
    trainer(tmp_path, max_steps=110).fit(module, datamodule=Pairs([(x, y)] * 110))
    after = off()
    assert after[0] < 0.7 * before[0]
    assert after[1] < (y - x).abs().mean() / 3


def test_pictures_show_both_layers_and_the_new_light(tmp_path: Path) -> None:
    module, data = small(), Pairs(pairs(1))
    trainer(tmp_path).validate(module, datamodule=data, verbose=False)
    shown = module.panels()["restored"] / 255
    assert shown.shape == (2, 6, 3, SIDE, SIDE)
    x, y = data.pairs()[0].pairs[1]
    R, L, relit = module.network.layers(y)
    for picture, image in zip(shown[1], (y, R, L, relit, R * relit, x), strict=True):
        assert torch.allclose(picture, image[0].detach().clamp(0, 1).expand(3, -1, -1), atol=0.003)


def test_bad_settings_cost_one_sentence(tmp_path: Path) -> None:
    for share in (0.0, 1.0):
        with pytest.raises(ValueError, match=r"share is .: the first phase takes a part of the run between 0 and 1"):
            small(share=share)
    with pytest.raises(ValueError, match="decomposition_losses: each may stand once, got composition, composition"):
        small(decomposition_losses=[Composition(), Composition()])
    with pytest.raises(ValueError, match="losses: each may stand once, got l1, l1"):
        small(losses=[L1(), L1()])
    with pytest.raises(ValueError, match="steepness is -1: give 0 or more"):
        Smoothness(steepness=-1.0)
    with pytest.raises(ValueError, match="layers is 0: give 1 or more"):
        Decomposition(layers=0)
    with pytest.raises(ValueError, match=r"two phases need the run's length: give clock\.g_steps"):
        trainer(tmp_path, max_epochs=1).fit(small(), datamodule=Pairs(pairs(1)))

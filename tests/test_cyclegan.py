"""CycleGAN: its terms by hand, who learns when and from what, resume with the histories, ranks, answers both ways."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from resuming import ends_alike
from test_ranks import WORLD, both, strategy
from test_translation import side_by_side, unpaired
from torch import Tensor, nn
from toys import Finite, distance, sgd, trainer, weights

from datamodules.pairs import PairLoader, PairSet
from lightning_modules.callbacks.clock import Clock
from lightning_modules.callbacks.fidelity import FidelityScores
from lightning_modules.cyclegan import CycleGAN
from lightning_modules.ema import EMASettings
from lightning_modules.losses.adversarial import RelativisticAverage, Wasserstein
from lightning_modules.networks.base import Discriminator, Network
from lightning_modules.networks.patchgan import PatchGAN
from lightning_modules.networks.translator import Translator


class Gain(Network):
    """w times the image."""

    def __init__(self, w: float) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(w))

    def forward(self, y: Tensor) -> Tensor:
        return self.w * y


class Mean(Discriminator):
    """v times the mean."""

    def __init__(self, v: float) -> None:
        super().__init__()
        self.v, self.blocks = nn.Parameter(torch.tensor(v)), nn.Sequential()

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.v * x.mean((1, 2, 3))


def flat(*levels: float) -> Tensor:
    return torch.tensor(levels)[:, None, None, None].expand(-1, 3, 16, 16).clone()


def by_hand(**settings: Any) -> CycleGAN:
    return CycleGAN(Gain(0.5), Gain(3.0), Mean(2.0), Mean(-1.0), **settings)


def pairs(count: int, n: int = 2, side: int = 16) -> list[tuple[Tensor, Tensor]]:
    stream = torch.Generator().manual_seed(count)
    return list(zip(*(2 * torch.rand(2, count, n, 3, side, side, generator=stream) - 1), strict=True))


def small(**settings: Any) -> CycleGAN:
    torch.manual_seed(0)
    nets = [Translator(1, width=4), Translator(1, width=4), *(PatchGAN(3, 0, 1, 4, "instance") for _ in range(2))]
    return CycleGAN(*nets, **{"history": 4, **settings})  # type: ignore[arg-type]


def test_the_terms_by_hand() -> None:
    x, y = flat(0.4), flat(0.8)  # G(y) = 0.4, F(x) = 1.2; D_x(G(y)) = 0.8, D_y(F(x)) = -1.2
    module = by_hand(cycle_weight=10.0, identity_weight=2.0)
    found = {name: term.item() for name, term in module.g_loss(x, y).items()}
    assert found == pytest.approx(
        {
            "g/adv": (0.8 - 1) ** 2,
            "g/adv_y": (-1.2 - 1) ** 2,
            "g/cycle": 10 * abs(0.5 * 1.2 - 0.4),
            "g/cycle_y": 10 * abs(3 * 0.4 - 0.8),
            "g/identity": 2 * abs(0.5 * 0.4 - 0.4),
            "g/identity_y": 2 * abs(3 * 0.8 - 0.8),
        },
        rel=1e-5,
    )
    found = {name: term.item() for name, term in module.d_loss(x, y).items()}  # histories show what is new as they fill
    by = {"d/adv": (2 * 0.4 - 1) ** 2 + 0.8**2, "d/adv_y": (-0.8 - 1) ** 2 + 1.2**2}
    assert found == pytest.approx(by, rel=1e-5)


def test_no_weight_no_term_and_any_loss() -> None:
    module = by_hand(loss=Wasserstein(), identity_weight=0.0)
    found = module.g_loss(flat(0.4), flat(0.8))
    assert set(found) == {"g/adv", "g/adv_y", "g/cycle", "g/cycle_y"}
    assert found["g/adv"].item() == pytest.approx(-0.8)


class Order(CycleGAN):
    """Notes who moved in which update."""

    def update(self, opt: Any, loss_fn: Any, batch: Any) -> None:
        before = weights(self)
        super().update(opt, loss_fn, batch)
        moved = {name.split(".")[0] for name, value in weights(self).items() if not torch.equal(value, before[name])}
        self.moves = [*getattr(self, "moves", []), (loss_fn.__name__, "".join(sorted(moved)))]


def test_g_and_f_learn_first_and_d_from_what_they_made(tmp_path: Path) -> None:
    module = small()
    module.__class__ = Order
    run = trainer(tmp_path, Clock(g_steps=2, validations=0))
    run.fit(module, datamodule=Finite(pairs(2)))
    assert module.moves == [("g_loss", "G"), ("d_loss", "D")] * 2
    assert (run.global_step, module.g_step, module.images_seen) == (2, 2, 4)
    assert [len(history) for history in module.histories] == [4, 4]
    assert module._made == []


def test_each_network_learns_and_d_never_through_g(tmp_path: Path) -> None:
    before = weights(small())
    module = small(d_optimizer=sgd(), g_optimizer=sgd())
    trainer(tmp_path, max_steps=1).fit(module, datamodule=Finite(pairs(1)))
    still = [name for name, value in weights(module).items() if torch.equal(value, before[name])]
    assert [name for name in still if not name.endswith("bias")] == []  # instance norm takes a bias before it away


def test_micro_batches_equal_one_batch(tmp_path: Path) -> None:
    found = []
    for micro_batch in (None, 1):
        module = small(micro_batch=micro_batch, history=0, d_optimizer=sgd(), g_optimizer=sgd())
        trainer(tmp_path, max_steps=1).fit(module, datamodule=Finite(pairs(1)))
        found.append(weights(module))
    assert distance(*found) < 1e-5


def test_a_run_that_was_cut_off_ends_as_the_whole_one_histories_and_all(tmp_path: Path) -> None:
    files = side_by_side(tmp_path)
    make = lambda: small(ema=EMASettings(decay=0.9))  # noqa: E731
    module = ends_alike(tmp_path, make, lambda: unpaired(files), cuts=[5], steps=8)
    one, other = (history.images for history in module.histories)
    assert one is not None
    assert other is not None
    assert one.shape == (4, 3, 16, 16)
    assert not torch.equal(one, other)


class OnRankOne(CycleGAN):
    """As the second of two ranks has it."""

    global_rank = 1


def on_a_share(rank: int, folder: Path) -> dict[str, Any]:
    module = small(history=3)
    share = [(x[rank::WORLD], y[rank::WORLD]) for x, y in pairs(4)]
    run = trainer(folder, max_steps=4, devices=WORLD, strategy=strategy())
    run.fit(module, datamodule=Finite(share))
    run.save_checkpoint(folder / "both.ckpt")
    return {"weights": weights(module), "held": module.histories[0].images, "seen": module.images_seen}


def test_ranks_are_one_network_with_histories_of_their_own(tmp_path: Path) -> None:
    one, two = both(on_a_share, tmp_path)
    assert distance(one["weights"], two["weights"]) == 0
    assert one["seen"] == two["seen"] == 8
    assert not torch.equal(one["held"], two["held"])
    saved = torch.load(tmp_path / "both.ckpt", weights_only=True)
    assert torch.equal(saved["histories"][0], torch.stack([one["held"], two["held"]]))
    for kind, held in ((CycleGAN, one["held"]), (OnRankOne, two["held"])):
        again = small(history=3)
        again.__class__ = kind
        again.on_load_checkpoint(saved)
        assert torch.equal(again.histories[0].images, held)  # type: ignore[arg-type]


# --- answers ------------------------------------------------------------------------------------------------


class Shown(Finite):
    """One set of pairs to look at."""

    def pairs(self) -> list[PairSet]:
        return [PairSet("two", 1, [(flat(0.4), flat(0.2)), (flat(-0.2), flat(0.6))])]

    def val_dataloader(self) -> list[PairLoader]:  # type: ignore[override]
        return [PairLoader(data) for data in self.pairs()]


def test_both_directions_are_scored_and_pictured(tmp_path: Path) -> None:
    module = by_hand()
    scores = FidelityScores(colour="rgb", shave=0, distances=False)
    trainer(tmp_path, scores).validate(module, datamodule=Shown(pairs(1)), verbose=False)
    found: dict[str, float] = scores.history[-1]["metrics"]  # type: ignore[assignment]
    there = [20 * math.log10(2 / difference) for difference in (0.3, 0.5)]  # G(y) = 0.1 and 0.3
    back = [20 * math.log10(2 / difference) for difference in (0.8, 1.2)]  # F(x) = 1, clamped from 1.2, and -0.6
    assert found["two/psnr@rgb"] == pytest.approx(sum(there) / 2, abs=0.05)
    assert found["two/back/psnr@rgb"] == pytest.approx(sum(back) / 2, abs=0.05)
    sheet = module.panels()["restored"]
    assert sheet.shape == (2, 6, 3, 16, 16)
    levels = (sheet[0, :, 0, 0, 0].float() / 127.5 - 1).tolist()  # y, G(y), F(G(y)), x, F(x), G(F(x))
    assert levels == pytest.approx([0.2, 0.1, 0.3, 0.4, 1.0, 0.6], abs=0.01)


def test_the_module_itself_makes_x_of_y() -> None:
    module = by_hand(ema=EMASettings(decay=0.5))
    assert module(flat(0.8))[0, 0, 0, 0].item() == pytest.approx(0.4)
    assert module.predict_step((flat(0.4), flat(0.8)), 0)[0, 0, 0, 0].item() == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_critic": 2}, "players learn in turn, once a step"),
        ({"loss": RelativisticAverage()}, "no relativistic loss"),
        ({"cycle_weight": -1}, "cycle_weight and identity_weight are 0 or more, got -1 and 5"),
        ({"history": -1}, "history is -1"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        by_hand(**settings)

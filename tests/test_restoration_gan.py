"""G(z, y): its terms by hand, noise beside y, restorations that differ only where they may, resume, one sentence."""

from pathlib import Path
from typing import Any

import pytest
import torch
from test_inpainting import Both, quarter
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.optim import Adam
from toys import Finite, trainer

from datamodules.damage import Holed
from lightning_modules.augment.diff_augment import DiffAugment, Translation
from lightning_modules.losses.reconstruction import L1
from lightning_modules.losses.regularisers import Consistency
from lightning_modules.networks.base import Filler, Network
from lightning_modules.networks.dncnn import DnCNN
from lightning_modules.networks.gated_conv import GatedNetwork
from lightning_modules.networks.patchgan import PatchGAN
from lightning_modules.restoration_gan import InpaintingRestorationGAN, RestorationGAN
from lightning_modules.restoring import PICTURES
from lightning_modules.restoring_gan import RestoringGAN
from lightning_modules.tools.restoration import Restorer
from lightning_modules.tools.tiles import Tiling


class Shift(Network):
    """G(z, y) = y + a z, z one map."""

    def __init__(self, a: float = 0.1) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(a))

    def forward(self, y: Tensor) -> Tensor:
        assert y.shape[1] == 4
        return y[:, :3] + self.a * y[:, 3:]


class ShiftFill(Filler):
    """The same of an image with a hole."""

    def __init__(self, a: float = 0.1) -> None:
        super().__init__()
        self.shift = Shift(a)

    def forward(self, y: Tensor, hole: Tensor) -> Tensor:
        return self.shift(y)


class Told(RestorationGAN):
    """Draws what it is told: 1, then -3, and so on."""

    values = (1.0, -3.0)
    drawn = 0

    def draw_z(self, y: Tensor) -> Tensor:
        self.drawn += 1
        return torch.full((len(y), self.z_dim), self.values[(self.drawn - 1) % 2])


class ToldFill(InpaintingRestorationGAN, Told):
    """The same with holes."""


def flat(value: float, channels: int = 3) -> Tensor:
    return torch.full((2, channels, 4, 4), value)


class Mean(Both):
    """D(x, y) = 2 mean x."""

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.v * x.mean((1, 2, 3))


def test_the_terms_by_hand() -> None:
    module = Told(Shift(), Mean(), z_dim=1, losses=[L1()], diversity_weight=0.5, adversarial_weight=0.1)
    found = {name: term.item() for name, term in module.g_loss(flat(0.6), flat(0.2)).items()}
    # G is 0.2 + 0.1 = 0.3 and then 0.2 - 0.3 = -0.1; 0.4 apart for a z that is 4 apart
    verdict = softplus(-torch.tensor(0.6)).item()
    assert found == pytest.approx({"g/adv": 0.1 * verdict, "g/l1": 0.3, "g/diversity": 0.5 / (0.1 + 1e-5)}, rel=1e-5)
    module = Told(Shift(), Mean(), z_dim=1, diversity_weight=0.0)
    assert set(module.g_loss(flat(0.6), flat(0.2))) == {"g/adv"}
    assert module.drawn == 1


def test_fillings_are_compared_in_the_hole() -> None:
    first, second = flat(0.5), flat(0.5)
    hole = torch.zeros(2, 1, 4, 4, dtype=torch.bool)
    hole[:, :, :2] = True
    second[:, :, 0] = 0.3  # of half the hole
    second[:, :, 3] = 9.0
    module = InpaintingRestorationGAN(ShiftFill(), Both(), z_dim=1)
    assert module.difference(first, second, hole).item() == pytest.approx(0.1)
    assert module.difference(first, second, ~hole).item() == pytest.approx(8.5 / 2)
    terms = ToldFill(ShiftFill(), Both(), z_dim=1).g_loss(*quarter(2))
    assert set(terms) == {"g/adv", "g/hole_l1", "g/valid_l1", "g/diversity"}
    assert terms["g/diversity"].item() == pytest.approx(1 / (0.1 + 1e-5), rel=1e-4)


def test_diversity_is_felt_by_g() -> None:
    weak, strong = (Told(Shift(a), Mean(), z_dim=1, losses=[L1()]) for a in (0.01, 1.0))
    terms = [module.g_loss(flat(0.2), flat(0.2))["g/diversity"] for module in (weak, strong)]
    assert terms[0] > 50 * terms[1]
    terms[0].backward()
    assert weak.G.a.grad < 0  # the less z does, the more it is to do


def test_samples_are_of_one_y_and_differ() -> None:
    torch.manual_seed(0)
    module = RestorationGAN(Shift(), Mean(), z_dim=1)
    y = torch.rand(3, 3, 4, 4)
    many = module.sample_restorations(y, 400)
    assert many.shape == (400, 3, 3, 4, 4)
    assert many.std(0).mean().item() == pytest.approx(0.1, rel=0.1)
    assert (many.mean(0) - y).abs().max() < 0.03
    assert torch.allclose((many - y).std((2, 3, 4)), torch.zeros(400, 3), atol=1e-6)  # a map has one value
    assert not many.requires_grad
    torch.manual_seed(0)
    x, y, hole = quarter(2)
    filled = InpaintingRestorationGAN(ShiftFill(), Both(), z_dim=1).sample_restorations(y, 5, hole)
    assert torch.equal(filled.std(0) > 0, hole.expand_as(x))


def test_an_image_is_restored_alike_at_every_validation() -> None:
    module, batch = RestorationGAN(Shift(), Mean(), z_dim=1), (flat(0.5)[:1], flat(0.2)[:1])
    first, again, other = (module.validation_step(batch, i) for i in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert module.examples(2)["y"].shape == (2, 4, 48, 48)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"z_dim": 0}, "z_dim is 0: give 1 map"), ({"diversity_weight": -1.0}, "diversity_weight is -1.0: give 0 or")],
)
def test_bad_settings_cost_one_sentence(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        RestorationGAN(Shift(), Mean(), **settings)


def spread_after_training(folder: Path, weight: float, seed: int) -> float:
    """How much answers to one input differ in the hole after 60 steps with the term of this weight."""
    torch.manual_seed(seed)
    x = torch.rand(8, 3, 1, 1).expand(-1, -1, 16, 16).contiguous()
    hole = torch.zeros(8, 1, 16, 16, dtype=torch.bool)
    hole[:, :, 4:12, 4:12] = True
    players: Any = {"g_optimizer": lambda p: Adam(p, lr=5e-3), "adversarial_weight": 0.001}
    G, D = GatedNetwork(5, 8, (2,)), PatchGAN(3, 1, 1, 4)
    module = InpaintingRestorationGAN(G, D, z_dim=2, diversity_weight=weight, **players)
    data = Finite([Holed(x, x * ~hole, hole)] * 60)
    data.value_range = (0.0, 1.0)
    trainer(folder, max_steps=60).fit(module, datamodule=data)
    return float(module.sample_restorations(x * ~hole, 8, hole).std(0)[hole.expand_as(x)].mean())


def test_with_the_term_g_uses_z_more(tmp_path: Path) -> None:
    """On average over three runs: single ones of so few steps differ by seed and by processor, up to 60 times."""
    without, with_it = (
        sum(spread_after_training(tmp_path / f"{weight}-{seed}", weight, seed) for seed in range(3)) / 3
        for weight in (0.0, 0.05)
    )
    assert with_it > 2 * without
    assert with_it > 0.1


def test_a_gan_can_say_that_it_reads_grey() -> None:
    torch.manual_seed(0)
    module = RestoringGAN(DnCNN(channels=1, depth=3, width=4), PatchGAN(1, 1, 1, 4), [L1()], colour="grey")
    restorer = Restorer(module.evaluated, module.colour)
    picture = restorer.picture(torch.full((1, 1, 32, 32), 90, dtype=torch.uint8), Tiling(None, 0))
    assert picture.shape == (1, 1, 32, 32)
    assert module.restore((*[torch.rand(2, 1, 16, 16)] * 2,)).shape == (2, 1, 16, 16)
    assert module.examples(2)["y"].shape[:2] == (2, 1)


@pytest.mark.parametrize("settings", [{"augment": DiffAugment([Translation()])}, {"regularisers": [Consistency()]}])
def test_what_moves_an_image_beside_its_condition_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="PatchGAN sees of an image, and not the image that is its condition"):
        RestoringGAN(DnCNN(channels=1, depth=3, width=4), PatchGAN(1, 1, 1, 4), **settings)
    RestoringGAN(DnCNN(channels=1, depth=3, width=4), PatchGAN(1, 0, 1, 4), **settings)


def test_a_map_of_logits_has_no_consistency() -> None:
    G, D = DnCNN(channels=1, depth=3, width=4), PatchGAN(1, 0, 1, 4)
    module, x = RestoringGAN(G, D, regularisers=[Consistency()]), torch.rand(2, 1, 16, 16)
    with pytest.raises(ValueError, match="one logit an image, and this D gives a map"):
        module.d_loss(x, x)


def test_what_is_drawn_after_a_look_does_not_depend_on_its_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    module = RestorationGAN(Shift(), Mean(), z_dim=1)
    monkeypatch.setattr(module, "seed_answer", lambda *_: torch.manual_seed(0))
    after = []
    for i in (0, PICTURES):  # of the first batches pictures are kept
        module.validation_step((flat(0.6), flat(0.2)), i)
        after.append(torch.rand(1))
    assert after[0] == after[1]

"""Inpainting's families: terms by hand, composed answers, scores of holes, resume, overfit, one sentence."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from resuming import ends_alike
from test_inpainting_data import images, pictures
from torch import Tensor, nn
from torch.nn.functional import interpolate, softplus
from torch.optim import Adam
from toys import Finite, distance, trainer, weights

from datamodules.damage import Holed
from datamodules.functional.masks import centre_box
from datamodules.holes import CentreBox, Free, Thick, draw_holes
from experiments.errors import UserError
from experiments.restore_networks import restoring
from lightning_modules.callbacks.fidelity import FidelityScores
from lightning_modules.inpainting import Inpainting, InpaintingGAN
from lightning_modules.losses.reconstruction import L1, MSE
from lightning_modules.networks.base import Discriminator, Filler
from lightning_modules.networks.fillings import MeanFill
from lightning_modules.networks.gated_conv import GatedNetwork
from lightning_modules.networks.partial_conv import PartialConvUNet
from lightning_modules.networks.patchgan import PatchGAN


class Flat(Filler):
    """G(y, hole) = w, everywhere."""

    def __init__(self, w: float = 0.5) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(w))

    def forward(self, y: Tensor, hole: Tensor) -> Tensor:
        return self.w.expand_as(y)


class Both(Discriminator):
    """D(x, y) = v (mean x + 10 mean y)."""

    def __init__(self, v: float = 2.0) -> None:
        super().__init__()
        self.v, self.blocks = nn.Parameter(torch.tensor(v)), nn.Sequential()

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        assert y is not None
        assert y.shape[1] == 1
        return self.v * (x.mean((1, 2, 3)) + 10 * y.mean((1, 2, 3)))


def quarter(n: int = 1, side: int = 8) -> Holed:
    """x = 0.2 in the hole, a quarter of the image, and 0.8 elsewhere."""
    hole = centre_box(side, side).expand(n, 1, side, side)
    x = torch.where(hole, 0.2, 0.8).expand(n, 3, side, side)
    return Holed(x, x * ~hole, hole)


def test_the_terms_of_one_player_by_hand() -> None:
    batch = quarter()  # the network's 0.5 is wrong by 0.3 everywhere
    found = {name: term.item() for name, term in Inpainting(Flat()).terms(*batch).items()}
    assert found == pytest.approx({"hole_l1": 6 * 0.3 / 4, "valid_l1": 0.3 * 3 / 4})
    module = Inpainting(Flat(), losses=[MSE(2.0)], hole_losses=[L1(1.0), MSE(4.0)], valid_losses=[])
    found = {name: term.item() for name, term in module.terms(*batch).items()}
    assert found == pytest.approx({"mse": 2 * 0.09, "hole_l1": 0.3 / 4, "hole_mse": 0.09})
    with pytest.raises(ValueError, match="hole_losses: each may stand once, got l1, l1"):
        Inpainting(Flat(), hole_losses=[L1(), L1()])


def test_the_terms_of_two_players_by_hand() -> None:
    x, y, hole = quarter()  # the composed image is 0.5 in a quarter and 0.8 elsewhere; D is told the hole: 10 / 4
    module = InpaintingGAN(Flat(), Both(), adversarial_weight=0.1, hole_losses=[MSE(4.0)], valid_losses=[])
    real, fake = (torch.tensor(2 * (mean + 2.5)) for mean in (0.65, 0.725))
    expected = (softplus(-real) + softplus(fake)).item()
    assert module.d_loss(x, y, hole)["d/adv"].item() == pytest.approx(expected, rel=1e-5)
    found = {name: term.item() for name, term in module.g_loss(x, y, hole).items()}
    assert found == pytest.approx({"g/adv": 0.1 * softplus(-fake).item(), "g/hole_mse": 0.09}, rel=1e-5)


def test_no_gradient_comes_from_known_pixels_where_no_loss_looks() -> None:
    x, _, hole = quarter()
    answer = torch.full_like(x, 0.5, requires_grad=True)
    module = Inpainting(Flat(), valid_losses=[])
    torch.stack(list(module.compare_filled(answer, x, hole).values())).sum().backward()
    assert torch.equal(answer.grad != 0, hole.expand_as(x))
    other = torch.full_like(x, 0.5, requires_grad=True)
    module = Inpainting(Flat(), hole_losses=[])
    torch.stack(list(module.compare_filled(other, x, hole).values())).sum().backward()
    assert torch.equal(other.grad != 0, ~hole.expand_as(x))


def test_the_answer_keeps_known_pixels_and_knows_no_others() -> None:
    x, y, hole = quarter()
    for module in (Inpainting(Flat()), InpaintingGAN(Flat(), Both())):
        answer = module.restore((x, y, hole))
        assert torch.equal(answer, torch.where(hole, 0.5, 0.8).expand_as(x))
        assert torch.equal(module.restore((torch.zeros_like(x), y, hole)), answer)  # x is not looked at
        assert {name: tuple(part.shape) for name, part in module.examples(2).items()} == {
            "y": (2, 3, 48, 48), "hole": (2, 1, 48, 48),
        }  # fmt: skip
    with pytest.raises(ValueError, match="Inpainting fills holes: choose a data module with some, such as HoledImages"):
        Inpainting(Flat()).terms(x, y)


def test_a_picture_alone_is_not_restored() -> None:
    with pytest.raises(UserError, match="Inpainting fills holes, and a picture alone names none"):
        restoring(Inpainting(MeanFill()))


def test_patches_that_the_network_cannot_fill_are_refused_before_training(tmp_path: Path) -> None:
    data = images(pictures(tmp_path), patch=36)
    with pytest.raises(ValueError, match=r"multiples of 8, not of 36 x 36: set data\.init_args\.patch"):
        Inpainting(PartialConvUNet(3, 2)).check_data(data)


def test_holes_are_scored_by_themselves(tmp_path: Path) -> None:
    data = images(pictures(tmp_path), test_holes=[CentreBox(), Free(0.1, 0.2)])
    scores = FidelityScores("rgb", 0)
    trainer(tmp_path, scores).validate(Inpainting(MeanFill()), datamodule=data, verbose=False)
    found = scores.history[-1]["metrics"]
    assert {name for name in found if "psnr" in name} == {
        f"test-{kind}/psnr@rgb{part}" for kind in ("centre", "free10-20") for part in ("", "-hole")
    }
    x, y, hole = data.on_after_batch_transfer(data.pairs()[0].pairs[0], 0)
    made = (MeanFill()(y, hole) * 255).round()
    error = ((made - (x * 255).round())[hole.expand_as(x)] ** 2).mean()
    first = 10 * torch.log10(255**2 / error)
    assert found["test-centre/psnr@rgb-hole"] == pytest.approx(first.item(), abs=1.0)  # of two images of noise
    whole, inside = (found[f"test-centre/psnr@rgb{part}"] for part in ("", "-hole"))
    assert whole - inside == pytest.approx(10 * np.log10(4), abs=0.02)  # a quarter of the pixels is wrong


def small(**settings: Any) -> InpaintingGAN:
    torch.manual_seed(0)
    return InpaintingGAN(GatedNetwork(width=4, dilations=(2,)), PatchGAN(3, 1, 1, 4), **settings)


def test_a_run_that_was_cut_off_ends_as_the_whole_one(tmp_path: Path) -> None:
    root = pictures(tmp_path)
    module = ends_alike(tmp_path, small, lambda: images(root), cuts=[2], steps=4)
    assert distance(weights(small()), weights(module)) > 1e-4


def test_micro_batches_split_the_holes_too() -> None:
    x = torch.rand(4, 3, 8, 8)
    hole = draw_holes(Free(0.2, 0.5), 4, 8, 0)
    batch = Holed(x, x * ~hole, hole)
    module = InpaintingGAN(Flat(), Both())
    parts = [module.g_loss(*(part[i : i + 2] for part in batch)) for i in (0, 2)]
    for name, whole in module.g_loss(*batch).items():
        assert whole.item() == pytest.approx(sum(part[name].item() for part in parts) / 2, rel=1e-5)


@pytest.mark.parametrize("two", [False, True])
def test_it_learns_four_images_by_heart(tmp_path: Path, two: bool) -> None:
    torch.manual_seed(0)
    x = interpolate(torch.rand(4, 3, 2, 2), size=16, mode="nearest")
    hole = draw_holes(Thick(0.1, 0.4), 4, 16, 0)
    batch = Holed(x, x * ~hole, hole)
    if two:
        players: Any = {"g_optimizer": lambda p: Adam(p, lr=5e-3), "adversarial_weight": 0.01}
        module: Any = InpaintingGAN(GatedNetwork(width=8, dilations=(2,)), PatchGAN(3, 1, 1, 4), **players)
    else:
        module = Inpainting(PartialConvUNet(3, 8), optimizer=lambda p: Adam(p, lr=1e-2))
    before = (MeanFill()(batch.y, hole) - x).abs().mean()
    data = Finite([batch] * 120)
    data.value_range = (0.0, 1.0)
    trainer(tmp_path, max_steps=120).fit(module, datamodule=data)
    assert (module.restore(batch) - x).abs().mean() < before / 3

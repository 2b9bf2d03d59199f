"""pix2pix: its terms by hand, noise at test that is the same at every validation, resume, L1 alone, set distances."""

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from resuming import ends_alike
from test_cyclegan import Gain, flat, pairs
from test_translation import paired, side_by_side
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.optim import Adam
from toys import Finite, distance, same, trainer, weights

from datamodules.pairs import PairLoader, PairSet
from lightning_modules.callbacks.clock import Clock
from lightning_modules.callbacks.fidelity import FidelityScores
from lightning_modules.losses.reconstruction import MSE
from lightning_modules.metrics.fidelity.distances import SetDistances
from lightning_modules.metrics.sliced_wasserstein import SlicedWasserstein
from lightning_modules.networks.base import Discriminator
from lightning_modules.networks.patchgan import PatchGAN
from lightning_modules.networks.unet import UNet
from lightning_modules.pix2pix import Pix2Pix, Translation


class Both(Discriminator):
    """D(x, y) = v (mean x + 10 mean y)."""

    def __init__(self, v: float = 2.0) -> None:
        super().__init__()
        self.v, self.blocks = nn.Parameter(torch.tensor(v)), nn.Sequential()

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        assert y is not None
        return self.v * (x.mean((1, 2, 3)) + 10 * y.mean((1, 2, 3)))


def small(**settings: Any) -> Pix2Pix:
    torch.manual_seed(0)
    G = UNet(6, width=2)  # the shallowest that drops out
    return Pix2Pix(G, PatchGAN(3, 3, 1, 4), **settings)


def test_examples_are_large_enough_for_the_network() -> None:
    for depth, side in ((4, 48), (6, 64), (7, 128)):
        module = Pix2Pix(UNet(depth, width=2), PatchGAN(3, 3, 1, 4))
        (example,) = module.examples(2).values()
        assert isinstance(example, torch.Tensor)
        assert module.eval()(example).shape == (2, 3, side, side)


def test_the_terms_by_hand() -> None:
    x, y = flat(0.4), flat(0.2)  # G(y) = 0.1; D(x, y) = 2 (0.4 + 2), D(G(y), y) = 2 (0.1 + 2)
    module = Pix2Pix(Gain(0.5), Both())
    real, fake = torch.tensor([4.8]), torch.tensor([4.2])
    assert module.d_loss(x, y)["d/adv"].item() == pytest.approx((softplus(-real) + softplus(fake)).item(), rel=1e-5)
    found = {name: term.item() for name, term in module.g_loss(x, y).items()}
    assert found == pytest.approx({"g/adv": softplus(-fake).item(), "g/l1": 100 * 0.3}, rel=1e-5)
    other = Pix2Pix(Gain(0.5), Both(), losses=[MSE(2.0)], adversarial_weight=0.5).g_loss(x, y)
    assert {name: term.item() for name, term in other.items()} == pytest.approx(
        {"g/adv": 0.5 * softplus(-fake).item(), "g/mse": 2 * 0.09}, rel=1e-5
    )


def test_l1_alone_is_the_same_family_without_d() -> None:
    module = Translation(Gain(0.5))
    assert module.terms(flat(0.4), flat(0.2))["l1"].item() == pytest.approx(0.3)
    assert module.value_range == Pix2Pix.value_range == (-1.0, 1.0)


class Look(L.Callback):
    def __init__(self) -> None:
        self.answers: list[Tensor] = []

    def on_validation_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *args: Any, **kwargs: Any) -> None:
        self.answers.append(outputs.clone())


class Pairs(Finite):
    """One set of two pairs to look at."""

    def pairs(self) -> list[PairSet]:
        x, y = pairs(1, 2, 64)[0]
        return [PairSet("two", 1, [(x[i : i + 1], y[i : i + 1]) for i in range(2)])]

    def val_dataloader(self) -> list[PairLoader]:  # type: ignore[override]
        return [PairLoader(data) for data in self.pairs()]


def test_noise_at_test_is_keyed_by_the_pair(tmp_path: Path) -> None:
    look, data = Look(), Pairs(pairs(1, 2, 64))
    run = trainer(tmp_path, look)
    module = small()
    for _ in range(2):
        run.validate(module, datamodule=data, verbose=False)
    first, second, first_again, second_again = look.answers
    assert torch.equal(first, first_again)
    assert torch.equal(second, second_again)
    x, y = data.pairs()[0].pairs[0]
    assert not torch.equal(module(y), module(y))
    module.validation_step((x, y), 0)
    module.validation_step((x, y), 1)
    assert not torch.equal(*(image[1] for image in module._shown))


def test_looking_changes_no_weight(tmp_path: Path) -> None:
    ends = []
    for validations in (0, 2):
        module = small()
        callbacks = [Clock(g_steps=4, validations=validations), FidelityScores("rgb", 0, distances=True)]
        trainer(tmp_path, *callbacks).fit(module, datamodule=Pairs(pairs(4, 2, 64)))
        ends.append(weights(module))
    assert same(*ends)


def test_a_run_that_was_cut_off_ends_as_the_whole_one(tmp_path: Path) -> None:
    files = side_by_side(tmp_path, side=64)
    module = ends_alike(tmp_path, small, lambda: paired(files, load=72, patch=64), cuts=[2], steps=4)
    assert distance(weights(small()), weights(module)) > 1e-4


def test_it_learns_four_images_by_heart(tmp_path: Path) -> None:
    torch.manual_seed(0)
    x = nn.functional.interpolate(torch.rand(4, 3, 4, 4) * 1.6 - 0.8, size=32, mode="nearest")
    y = torch.randn(4, 3, 32, 32).sign()
    players: Any = {"g_optimizer": lambda p: Adam(p, lr=3e-3, betas=(0.5, 0.999))}
    module = Pix2Pix(UNet(4, width=8), PatchGAN(3, 3, 1, 4), **players)
    before = (module.restore((x, y)) - x).abs().mean()
    trainer(tmp_path, max_steps=120).fit(module, datamodule=Finite([(x, y)] * 120))
    assert (module.restore((x, y)) - x).abs().mean() < before / 4


# --- distances of sets --------------------------------------------------------------------------------------


def test_set_distances_are_those_of_the_metrics_and_0_for_the_same_images() -> None:
    torch.manual_seed(0)
    made, right = torch.randint(256, (2, 6, 3, 32, 32), dtype=torch.uint8)
    metric = SetDistances()
    for start in (0, 2, 4):
        metric.update(made[start : start + 2], right[start : start + 2])
    texture = SlicedWasserstein(right)
    texture.update(made)
    assert metric.as_floats()["swd"] == float(texture.compute()["swd"]) > 0
    assert metric.as_floats()["spectrum"] > 0
    perfect = SetDistances()
    perfect.update(right, right[torch.randperm(6)])
    assert perfect.as_floats() == {"swd": 0.0, "spectrum": pytest.approx(0.0, abs=1e-9)}


def test_sets_of_many_sizes_have_no_distance() -> None:
    metric = SetDistances()
    metric.update(*torch.zeros(2, 1, 3, 32, 32, dtype=torch.uint8))
    with pytest.raises(ValueError, match="images of 16 x 24 px among others: sets of one size have a distance"):
        metric.update(*torch.zeros(2, 1, 3, 24, 16, dtype=torch.uint8))


def test_the_callback_scores_error_texture_and_spectrum(tmp_path: Path) -> None:
    scores = FidelityScores("rgb", 0, distances=True)
    trainer(tmp_path, scores).validate(small(), datamodule=Pairs(pairs(1, 2, 64)), verbose=False)
    assert {name.split("@")[0] for name in scores.history[-1]["metrics"]} == {  # type: ignore[index]
        "two/psnr", "two/ssim", "two/mae", "two/swd", "two/spectrum",
    }  # fmt: skip

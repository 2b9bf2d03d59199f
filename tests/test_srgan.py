"""SRGAN and ESRGAN: two players on one clock, terms and networks by hand, resume, warm start, one sentence."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from resuming import ends_alike
from test_super_resolution import Gain
from torch import Tensor, nn
from toys import Finite, distance, sgd, trainer, weights

from datamodules.functional.quantise import to_uint8
from datamodules.super_resolution import SuperResolutionImages
from lightning_modules.adversarial import Terms
from lightning_modules.callbacks.clock import Clock
from lightning_modules.ema import EMASettings
from lightning_modules.losses.adversarial import RelativisticAverage
from lightning_modules.losses.reconstruction import L1, MSE
from lightning_modules.networks.base import Discriminator
from lightning_modules.networks.edsr import SRResNet
from lightning_modules.networks.rrdb import RRDBNet
from lightning_modules.networks.srgan import SRGANDiscriminator
from lightning_modules.restoring import CROP
from lightning_modules.srgan import SRGAN
from lightning_modules.super_resolution import SuperResolution


class Mean(Discriminator):
    """D(x) = v times the mean of x."""

    def __init__(self, v: float = 2.0) -> None:
        super().__init__()
        self.v, self.blocks = nn.Parameter(torch.tensor(v)), nn.Sequential()

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.v * x.mean((1, 2, 3))


def tiny(seed: int = 0) -> tuple[SRResNet, SRGANDiscriminator]:
    torch.manual_seed(seed)
    return SRResNet(scale=2, blocks=1, width=4), SRGANDiscriminator(size=16, width=2, dense=4)


def levels(x: list[float], y: list[float]) -> tuple[Tensor, Tensor]:
    """Grey patches of these levels, and small ones."""
    return tuple(torch.tensor(v)[:, None, None, None].expand(-1, 1, n, n).contiguous() for v, n in ((x, 4), (y, 2)))  # type: ignore[return-value]


def patches(count: int = 6) -> Finite:
    noise = torch.Generator().manual_seed(0)
    data = Finite(
        [(torch.rand(4, 3, 16, 16, generator=noise), torch.rand(4, 3, 8, 8, generator=noise)) for _ in range(count)]
    )
    data.value_range = (0.0, 1.0)
    return data


# --- the two players ----------------------------------------------------------------------------------------


class Recording(SRGAN):
    """Writes down who plays, and asserts that only the player learns."""

    order = ""

    def d_loss(self, x: Tensor, y: Tensor) -> Terms:
        assert not any(p.requires_grad for p in self.G.parameters())
        self.order += "D"
        return super().d_loss(x, y)

    def g_loss(self, x: Tensor, y: Tensor) -> Terms:
        assert not any(p.requires_grad for p in self.D.parameters())
        self.order += "G"
        return super().g_loss(x, y)


@pytest.mark.parametrize(("n_critic", "round_"), [(1, "DG"), (3, "DDDG")])
def test_d_and_g_alternate_on_one_clock(tmp_path: Path, n_critic: int, round_: str) -> None:
    module = Recording(*tiny(), losses=[MSE()], n_critic=n_critic, loss=RelativisticAverage())
    before = weights(module.G), weights(module.D)
    run = trainer(tmp_path, Clock(g_steps=2, validations=0))
    run.fit(module, datamodule=patches(4))  # an epoch of 4 batches ends inside a round of 3
    assert module.order == round_ * 2
    assert run.global_step == 2 * n_critic
    assert (module.g_step, module.images_seen) == (2, 8 * n_critic)
    for then, net in zip(before, (module.G, module.D), strict=True):
        for name, _ in net.named_parameters():
            assert not torch.equal(then[name], net.state_dict()[name]), name


def softplus(t: float) -> float:
    return math.log1p(math.exp(t))


def test_the_terms_by_hand() -> None:
    x, y = levels([0.5, 0.7], [0.4, 0.8])  # D: 1.0 and 1.4; G: 0.2 and 0.4, D of them: 0.4 and 0.8
    module = SRGAN(Gain(), Mean(), losses=[L1(3.0), MSE()], adversarial_weight=0.1)
    assert module.d_loss(x, y)["d/adv"].item() == pytest.approx(
        (softplus(-1.0) + softplus(-1.4) + softplus(0.4) + softplus(0.8)) / 2, rel=1e-6
    )
    found = {name: term.item() for name, term in module.g_loss(x, y).items()}
    assert found == pytest.approx(
        {"g/adv": 0.1 * (softplus(-0.4) + softplus(-0.8)) / 2, "g/l1": 3 * 0.3, "g/mse": 0.09}, rel=1e-5
    )


def test_the_relativistic_average_by_hand() -> None:
    x, y = levels([0.5, 0.7], [0.4, 0.8])
    module = SRGAN(Gain(), Mean(), loss=RelativisticAverage(), adversarial_weight=5e-3)
    real, fake = (1.0, 1.4), (0.4, 0.8)  # means 1.2 and 0.6
    d = sum(softplus(0.6 - r) for r in real) / 2 + sum(softplus(f - 1.2) for f in fake) / 2
    g = sum(softplus(1.2 - f) for f in fake) / 2 + sum(softplus(r - 0.6) for r in real) / 2
    assert module.d_loss(x, y)["d/adv"].item() == pytest.approx(d, rel=1e-6)
    terms = module.g_loss(x, y)
    assert terms["g/adv"].item() == pytest.approx(5e-3 * g, rel=1e-6)
    (slope,) = torch.autograd.grad(terms["g/adv"], module.G.w)
    sigmoid = [1 / (1 + math.exp(-t)) for t in (0.8, 0.4, 0.4, 0.8)]  # of 1.2 - f, then r - 0.6
    per_fake = [-s / 2 - (sigmoid[2] + sigmoid[3]) / 2 / 2 for s in sigmoid[:2]]  # D(G) reaches both sums
    by_hand = 5e-3 * sum(p * 2 * level for p, level in zip(per_fake, (0.4, 0.8), strict=True))
    assert slope.item() == pytest.approx(by_hand, rel=1e-5)


def test_restore_is_the_evaluated_g_of_y(tmp_path: Path) -> None:
    module = SRGAN(*tiny(), losses=[MSE()], ema=EMASettings(decay=0.9))
    data = patches(2)
    trainer(tmp_path, max_steps=2).fit(module, datamodule=data)
    x, y = data.train[0]
    assert module.ema is not None
    with torch.no_grad():
        averaged, raw = module.ema.net(y, 2), module.G.eval()(y, 2)
    assert torch.equal(module.restore((x, y)), averaged)
    assert torch.equal(module.predict_step((x, y), 0), averaged)
    assert (averaged - raw).abs().max() > 1e-5
    grey = module.restore((x[:, :1], y))  # a grey image among colours: the three answers' mean
    assert torch.allclose(grey, averaged.mean(1, keepdim=True))


def test_pictures_are_y_the_answer_and_x() -> None:
    module = SRGAN(Gain(1.0), Mean())
    assert module.panels() == {}
    shapes = [(1, 3, 8, 12), (1, 1, 10, 8), (1, 3, 8, 8), (1, 3, 8, 8), (1, 3, 8, 8)]
    sets = [(torch.rand(shape), torch.rand(*shape[:2], shape[2] // 2, shape[3] // 2)) for shape in shapes]
    for number in (0, 1):
        for i, batch in enumerate(sets):
            module.validation_step(batch, i, number)
    sheet = module.panels()["restored"]
    assert sheet.shape == (4, 3, 3, 8, 8)
    assert torch.equal(sheet[0, 2], to_uint8(sets[0][0][0, :, :, 2:10], (0.0, 1.0)))
    assert torch.equal(sheet[1, 2, 0], to_uint8(sets[1][0][0, 0, 1:9], (0.0, 1.0)))
    assert torch.equal(sheet[:, 0], sheet[:, 1])  # y with its pixels repeated is what a gain of 1 answers
    assert torch.equal(sheet[2, 0, :, ::2, ::2], to_uint8(sets[2][1][0], (0.0, 1.0)))
    assert CROP > 8


# --- data, resume, warm start -------------------------------------------------------------------------------


def files(root: Path) -> dict[str, Any]:
    """Arguments of the data module for noise images below ``root``."""
    rng = np.random.default_rng(0)
    for path, side in {
        "T/a.png": 24,
        "T/b.png": 20,
        "S/image_SRF_2/a_HR.png": 24,
        "S/image_SRF_2/a_LR.png": 12,
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(root / path)
    return {"scales": [2], "benchmarks": ["S"], "train": ["T"], "patch": 16, "batch_size": 4, "root": str(root)}


def test_a_run_that_was_cut_off_ends_as_the_whole_one(tmp_path: Path) -> None:
    settings = files(tmp_path / "data")

    def make() -> SRGAN:
        return SRGAN(*tiny(), losses=[MSE()], n_critic=2, ema=EMASettings(decay=0.9))

    module = ends_alike(tmp_path, make, lambda: SuperResolutionImages(**settings), cuts=[3], steps=3)
    assert module.global_step == 6


def trained(folder: Path, module: SuperResolution) -> str:
    run = trainer(folder, max_steps=2)
    run.fit(module, datamodule=patches(2))
    run.save_checkpoint(folder / "first.ckpt")
    return str(folder / "first.ckpt")


@pytest.mark.parametrize("average", [None, EMASettings(decay=0.5)])
def test_g_starts_with_every_weight_of_the_network_trained_before(
    tmp_path: Path, average: EMASettings | None, capsys: pytest.CaptureFixture[str]
) -> None:
    first = SuperResolution(tiny(1)[0], losses=[MSE()], optimizer=sgd(), ema=average)
    path = trained(tmp_path, first)
    G, D = tiny(2)
    own = weights(D)
    module = SRGAN(G, D, init_from=path, ema=average, d_optimizer=sgd(0.0), g_optimizer=sgd(0.0))
    module.trainer = trainer(tmp_path)
    module.load_matching(path)
    assert distance(weights(module.G), weights(first.network)) == 0  # batch statistics too
    assert distance(weights(module.D), own) == 0
    assert distance(weights(module.evaluated), weights(first.evaluated)) == 0
    lines = capsys.readouterr().out.splitlines()
    taken = len(G.state_dict()) * (1 if average is None else 2)
    assert f"init_from {path}: {taken} of {taken + len(own)} tensors taken" in lines
    assert not [line for line in lines if "unused" in line or ": G." in line]


# --- mistakes -----------------------------------------------------------------------------------------------


def test_one_sentence_says_what_does_not_fit(tmp_path: Path) -> None:
    settings = files(tmp_path / "data")
    for module, sentence in {
        SRGAN(
            Gain(scales=[4]), Mean()
        ): "Gain knows the scale 4, the data module gives 2 too: set data.init_args.scales",
        SRGAN(Gain(), SRGANDiscriminator(size=20, width=2, dense=2)): (
            "SRGANDiscriminator judges patches of 3x20x20, the data module gives 3x16x16: set size and channels"
        ),
        SRGAN(*tiny(), init_from="none.ckpt"): "init_from: there is no checkpoint at none.ckpt",
    }.items():
        with pytest.raises((ValueError, FileNotFoundError)) as error:
            trainer(tmp_path, Clock(g_steps=1)).fit(module, datamodule=SuperResolutionImages(**settings))
        assert sentence in str(error.value)
    generation = Finite([(torch.rand(2, 3, 16, 16), torch.rand(2, 3, 8, 8))])
    with pytest.raises(ValueError, match=r"SRGAN works on values in \(0\.0, 1\.0\)"):
        trainer(tmp_path, Clock(g_steps=1)).fit(SRGAN(*tiny()), datamodule=generation)


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="adversarial_weight must be above 0, got 0"):
        SRGAN(*tiny(), adversarial_weight=0)
    with pytest.raises(ValueError, match="losses: each may stand once, got l1, l1"):
        SRGAN(*tiny(), losses=[L1(), L1(2.0)])
    with pytest.raises(ValueError, match="scale is 5: images are enlarged by 3 or a power of two"):
        RRDBNet(scale=5)

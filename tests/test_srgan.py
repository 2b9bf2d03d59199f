"""SRGAN and ESRGAN: two players on one clock, terms and networks by hand, warm start, interpolation, one sentence."""

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from command_line import place
from PIL import Image
from safetensors.torch import save_file
from test_bad_input import refused
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torchvision.models.vgg import cfgs, make_layers
from toys import Finite, distance, same, sgd, trainer, weights

from datamodules.functional.quantise import to_uint8
from datamodules.super_resolution import SuperResolutionImages
from experiments.cli import main
from lightning_modules.adversarial import Terms
from lightning_modules.callbacks.checkpoints import Checkpoints
from lightning_modules.callbacks.clock import Clock
from lightning_modules.callbacks.fidelity import FidelityScores
from lightning_modules.ema import EMASettings
from lightning_modules.losses.adversarial import RelativisticAverage
from lightning_modules.losses.perceptual import Perceptual
from lightning_modules.losses.reconstruction import L1, MSE
from lightning_modules.metrics.extractors import SHIPPED, load_extractor
from lightning_modules.metrics.fidelity.detail import detail
from lightning_modules.metrics.fidelity.protocol import Pair
from lightning_modules.networks.base import Discriminator, Upscaler
from lightning_modules.networks.classifier_features import ClassifierFeatures
from lightning_modules.networks.cnn import CNN
from lightning_modules.networks.edsr import SRResNet
from lightning_modules.networks.rrdb import RRDB, DenseBlock, RRDBNet
from lightning_modules.networks.srgan import SRGANDiscriminator
from lightning_modules.networks.vgg import LAYERS, VGG19Features, layers_up_to
from lightning_modules.restoring import CROP
from lightning_modules.srgan import SRGAN
from lightning_modules.super_resolution import SuperResolution
from lightning_modules.tools.interpolate import blend, interpolated


class Gain(Upscaler):
    """x = w y, its pixels repeated."""

    def __init__(self, w: float = 0.5, scales: list[int] | None = None) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(w))
        self.scales = None if scales is None else tuple(scales)

    def forward(self, y: Tensor, scale: int) -> Tensor:
        return self.w * interpolate(y, scale_factor=scale)


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


class CutOff(L.Callback):
    def __init__(self, at: int | None) -> None:
        self.at = at

    def on_train_batch_start(self, trainer: L.Trainer, *args: Any) -> None:
        if trainer.global_step == self.at:
            raise RuntimeError("cut off")


def test_a_run_that_was_cut_off_ends_as_the_whole_one(tmp_path: Path) -> None:
    settings = files(tmp_path / "data")
    ends = []
    for name, cuts in {"whole": [None], "cut": [3, None]}.items():
        folder = tmp_path / name
        last = folder / "checkpoints" / "last.ckpt"
        for cut in cuts:
            module = SRGAN(*tiny(), losses=[MSE()], n_critic=2, ema=EMASettings(decay=0.9))
            run = trainer(folder, Clock(g_steps=3, validations=2), Checkpoints(every_steps=1), CutOff(cut))
            data = SuperResolutionImages(**settings)
            try:
                run.fit(module, datamodule=data, ckpt_path=last if last.exists() else None)
            except RuntimeError:
                assert run.global_step == cut
        saved = torch.load(last, weights_only=True)
        ends.append({part: value for part, value in saved.items() if part not in ("loops", "callbacks")})
    assert ends[0]["global_step"] == 6
    assert same(*ends)


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


# --- networks -----------------------------------------------------------------------------------------------


def test_dense_blocks_that_add_nothing_leave_their_input() -> None:
    x = torch.randn(2, 8, 5, 6)
    block, group = DenseBlock(8, 4), RRDB(8, 4)
    for module in (block, *group.blocks):
        nn.init.zeros_(module.layers[-1].weight)  # type: ignore[union-attr, index, arg-type]
    assert torch.equal(block(x), x)
    assert torch.allclose(group(x), 1.2 * x)  # their answer is x, and a fifth of it is added


def test_a_dense_block_sees_all_before_by_hand() -> None:
    block = DenseBlock(1, 1, weight=0.5)
    with torch.no_grad():
        for layer in block.layers:
            layer.weight.zero_()  # type: ignore[operator, union-attr]
            layer.weight[:, :, 1, 1] = 1  # type: ignore[operator, index]
    # each answer is the sum of all before: 1, then 2, 4, 8, 16 times x
    assert torch.allclose(block(torch.full((1, 1, 3, 3), 3.0)), torch.full((1, 1, 3, 3), 3 + 0.5 * 16 * 3.0))
    # below 0 each answer is a fifth of that sum: -0.2, -0.24, ... all of them together with x are -1.2^4
    assert torch.allclose(block(torch.full((1, 1, 3, 3), -1.0)), torch.full((1, 1, 3, 3), -1 - 0.5 * 1.2**4))


def test_networks_are_as_large_as_published() -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in RRDBNet().parameters()) == 16_697_987
        D = SRGANDiscriminator()
    widths = [3, 64, 64, 128, 128, 256, 256, 512, 512]
    convolutions = sum(9 * a * b for a, b in pairwise(widths)) + 64 + 2 * sum(widths[2:])
    dense = 512 * 6 * 6 * 1024 + 1024 + 1024 + 1
    assert sum(p.numel() for p in D.parameters()) == convolutions + dense


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_every_weight_of_rrdbnet_gets_a_gradient(scale: int) -> None:
    torch.manual_seed(0)
    net = RRDBNet(scale, blocks=2, width=4, growth=3)
    x = net(torch.rand(2, 3, 6, 5), scale)
    assert x.shape == (2, 3, 6 * scale, 5 * scale)
    x.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


@pytest.mark.parametrize("size", [16, 20, 33])
def test_every_weight_of_d_gets_a_gradient_at_any_known_side(size: int) -> None:
    torch.manual_seed(0)
    D = SRGANDiscriminator(size=size, width=2, dense=5)
    logits = D(torch.rand(6, 3, size, size))
    assert logits.shape == (6,)
    (logits * torch.arange(6)).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in D.parameters())


# --- the perceptual term ------------------------------------------------------------------------------------


class Doubled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(2.0))
        self.dropout = nn.Dropout(0.5)
        self.seen = torch.float16

    def forward(self, x: Tensor) -> Tensor:
        self.seen = (self.w * torch.nn.functional.linear(x, torch.eye(x.shape[-1]))).dtype
        return self.dropout(self.w * x)


def test_the_perceptual_loss_by_hand() -> None:
    network = Doubled()
    prediction, target = (
        torch.full((2, 1, 4, 4), 0.75, requires_grad=True),
        torch.full((2, 1, 4, 4), 0.5, requires_grad=True),
    )
    assert Perceptual(network, factor=1.0)(prediction, target).item() == 0.25  # (2 * 0.25)^2
    loss = Perceptual(network, weight=3.0)
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(prediction, target)
    assert network.seen == torch.float32
    assert value.item() == pytest.approx(3 * 0.25 / 12.75**2, rel=1e-6)
    assert Perceptual(network, distance=L1(), factor=1.0)(prediction, target).item() == 0.5
    assert loss(prediction, prediction).item() == 0
    value.backward()
    assert target.grad is None
    assert network.w.grad is None
    assert prediction.grad is not None
    assert prediction.grad.abs().min() > 0
    assert not network.w.requires_grad


def vgg_file(path: Path, layer: str = "conv2_2") -> Path:
    """Random weights in torchvision's layout, up to ``layer``."""
    torch.manual_seed(0)
    state = nn.ModuleDict({"features": nn.Sequential(*layers_up_to(layer))}).state_dict()
    torch.save({**state, "classifier.6.bias": torch.zeros(1000)}, path)
    return path


def test_vgg19_is_torchvisions(tmp_path: Path) -> None:
    with torch.device("meta"):
        theirs = make_layers(cfgs["E"])
        ours = nn.Sequential(*layers_up_to(LAYERS[-1]))
    assert {n: p.shape for n, p in ours.named_parameters()} == {n: p.shape for n, p in theirs.named_parameters()}
    assert [type(layer) for layer in ours] == [type(layer) for layer in theirs][:-1]
    path = vgg_file(tmp_path / "vgg.pth")
    state = {k.removeprefix("features."): v for k, v in torch.load(path).items() if k.startswith("features.")}
    independent = make_layers(cfgs["E"][:5])
    independent.load_state_dict(state)
    x = torch.rand(2, 3, 16, 16)
    normed = (x - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[
        :, None, None
    ]
    after = VGG19Features(str(path), "conv2_2")
    before = VGG19Features(str(path), "conv2_2", before_relu=True)
    assert torch.allclose(after(x), independent(normed), atol=1e-6)
    assert torch.allclose(before(x), independent[:-1](normed), atol=1e-6)
    assert before(x).min() < 0 <= after(x).min()
    assert not any(p.requires_grad for p in after.parameters())
    assert torch.equal(after(x[:, :1]), after(x[:, :1].expand(-1, 3, -1, -1)))


def test_the_features_of_our_own_classifiers_carry_a_gradient() -> None:
    extractor = load_extractor("digits-cnn")
    card = extractor.card  # type: ignore[attr-defined]
    network = ClassifierFeatures(CNN(**card.init_args), str(SHIPPED / "digits-cnn.safetensors"))
    image = torch.randint(256, (3, card.channels, card.size, card.size), dtype=torch.uint8)
    x = (image / 255).requires_grad_()
    assert torch.allclose(network(x), extractor.extract(image).features, atol=1e-4)
    Perceptual(network)(x, torch.rand_like(x)).backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0


# --- network interpolation ----------------------------------------------------------------------------------


def saved(module: L.LightningModule, path: Path) -> Path:
    torch.save({"state_dict": module.state_dict(), "global_step": 1, "counters": {"g_step": 1}}, path)
    return path


def test_interpolation_begins_at_one_network_and_ends_at_the_other(tmp_path: Path) -> None:
    first, second = SuperResolution(tiny(1)[0], ema=EMASettings(decay=0.5)), SRGAN(*tiny(2))
    assert first.ema is not None
    nn.init.constant_(first.ema.net.first[0].bias, 5.0)  # type: ignore[union-attr, index, arg-type]
    a, b = saved(first, tmp_path / "a.ckpt"), saved(second, tmp_path / "b.ckpt")
    ours = SRGAN(*tiny(3))
    y = torch.rand(2, 3, 6, 6)
    for alpha, module in ((0.0, first), (1.0, second)):
        ours.load_state_dict(interpolated(a, b, alpha)["state_dict"])
        assert torch.equal(ours(y, 2), module(y, 2))  # the averaged network of the first
        assert distance(weights(ours.D), weights(second.D)) == 0
    blended = interpolated(a, b, 0.25)["state_dict"]
    name = "first.0.bias"
    expected = 0.75 * 5.0 + 0.25 * second.G.state_dict()[name]
    assert torch.allclose(blended[f"G.{name}"], expected)
    averaged = SRGAN(*tiny(4), ema=EMASettings(decay=0.5))
    blended = interpolated(a, saved(averaged, tmp_path / "c.ckpt"), 0.5)["state_dict"]
    assert torch.equal(blended[f"G.{name}"], blended[f"ema.net.{name}"])


def test_what_counts_is_not_interpolated() -> None:
    a, b = {"w": torch.tensor(1.0), "n": torch.tensor(3)}, {"w": torch.tensor(2.0), "n": torch.tensor(6)}
    assert blend(a, b, 0.75) == {"w": torch.tensor(1.75), "n": torch.tensor(6)}


@pytest.mark.usefixtures(place.__name__)
def test_interpolation_is_a_command(capfd: pytest.CaptureFixture[str]) -> None:
    saved(SuperResolution(tiny(1)[0]), Path("a.ckpt"))
    saved(SRGAN(*tiny(2)), Path("b.ckpt"))
    assert main(["interpolate", "a.ckpt", "b.ckpt", "--alpha", "0.8"]) == 0
    assert "interpolated-0.8.ckpt" in capfd.readouterr().out
    state = torch.load("interpolated-0.8.ckpt", weights_only=True)["state_dict"]
    assert same(state, interpolated("a.ckpt", "b.ckpt", 0.8)["state_dict"])
    saved(SuperResolution(RRDBNet(2, 1, 4, 4)), Path("c.ckpt"))
    for words, sentence in {
        ("a.ckpt", "b.ckpt", "--alpha", "0.8"): "interpolated-0.8.ckpt exists and is not overwritten",
        ("a.ckpt", "b.ckpt", "--alpha", "1.5"): "alpha is 1.5: give a number from 0",
        ("a.ckpt", "b.ckpt", "--alpha", "half"): "--alpha expects a number",
        ("a.ckpt", "b.ckpt"): "interpolate needs --alpha",
        ("a.ckpt", "--alpha", "0.5"): "interpolate needs two runs",
        ("a.ckpt", "none.ckpt", "--alpha", "0.5"): "there is no checkpoint at none.ckpt",
        ("a.ckpt", "tiny.yaml", "--alpha", "0.5"): "tiny.yaml is no checkpoint, or a damaged one",
        ("a.ckpt", "c.ckpt", "--alpha", "0.5"): "a.ckpt and c.ckpt are of different networks",
    }.items():
        assert sentence in refused(capfd, "interpolate", *words)


# --- fine detail --------------------------------------------------------------------------------------------


def seen(prediction: Tensor, target: Tensor) -> float:
    return detail(Pair(prediction, target, None)).item()


def test_detail_is_energy_above_half_of_nyquists_frequency() -> None:
    noise = 20 * torch.randn(1, 1, 64, 48, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert seen(noise + 100, noise) == pytest.approx(1, rel=1e-9)  # the mean is no detail
    assert seen(0.5 * noise, noise) == pytest.approx(0.25, rel=1e-3)
    assert seen(torch.full_like(noise, 9.0), torch.zeros_like(noise)) == 1
    column = torch.arange(48, dtype=torch.float64).expand(1, 1, 64, 48)
    waves = {f: 50 * torch.cos(2 * math.pi * f * column) for f in (0.15, 0.4)}
    assert seen(noise + waves[0.15], noise) == pytest.approx(1, abs=0.02)
    # a wave of amplitude 50 has a power of 50^2 / 2 beside noise of variance 400, of which a share lies above
    high = torch.hypot(torch.fft.fftfreq(64)[:, None], torch.fft.fftfreq(48)[None]) > 0.25
    assert seen(noise + waves[0.4], noise) == pytest.approx(1 + 1250 / (400 * high.float().mean().item()), rel=0.15)
    with pytest.raises(ValueError, match="no frequency above half of Nyquist's"):
        seen(torch.zeros(1, 1, 2, 1), torch.zeros(1, 1, 2, 1)[..., :0])


def test_detail_is_scored_where_asked_for(tmp_path: Path) -> None:
    data = SuperResolutionImages(**files(tmp_path / "data"))
    for asked in (False, True):
        scores = FidelityScores("rgb", 0, detail=asked)
        trainer(tmp_path, Clock(g_steps=1, validations=1), scores).fit(SRGAN(*tiny(), losses=[MSE()]), datamodule=data)
        assert ("S-x2/detail@rgb" in scores.history[0]["metrics"]) == asked


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


def test_settings_that_cannot_be_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="adversarial_weight must be above 0, got 0"):
        SRGAN(*tiny(), adversarial_weight=0)
    with pytest.raises(ValueError, match="losses: each may stand once, got l1, l1"):
        SRGAN(*tiny(), losses=[L1(), L1(2.0)])
    with pytest.raises(ValueError, match="scale is 5: RRDBNet enlarges threefold, or twofold again and again"):
        RRDBNet(scale=5)
    with pytest.raises(FileNotFoundError, match=r"The VGG19 weights none\.pth are no file: fetch https://.* leave the"):
        VGG19Features("none.pth")
    path = str(vgg_file(tmp_path / "vgg.pth", "conv1_2"))
    with pytest.raises(ValueError, match="does not hold the weights of torchvision's VGG19: fetch https://"):
        VGG19Features(path, "conv2_1")
    with pytest.raises(ValueError, match="VGG19 has no layer 'relu5': choose one of conv1_1, conv1_2"):
        VGG19Features(path, "relu5")
    save_file({"w": torch.zeros(2)}, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="does not hold the weights of this CNN: give it the init_args"):
        ClassifierFeatures(CNN(), str(tmp_path / "w.safetensors"))
    with pytest.raises(FileNotFoundError, match=r"The classifier's weights none\.safetensors are no file"):
        ClassifierFeatures(CNN(), "none.safetensors")

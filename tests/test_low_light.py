"""Low light: darkness by hand, keyed draws, layouts of real pairs, aligned scores, baselines without weights."""

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import place
from PIL import Image
from test_bad_input import refused
from test_super_resolution import said
from torch import Tensor

from datamodules.functional import degrade
from datamodules.low_light import Darkness, LowLightImages, LowLightPairs
from datamodules.paired_files import Namesakes
from experiments.cli import main
from lightning_modules.callbacks.fidelity import FidelityScores
from lightning_modules.metrics.fidelity.metrics import fidelity
from lightning_modules.metrics.fidelity.protocol import FidelityProtocol, aligned
from lightning_modules.networks.tone import Equalise, Gamma, MeanGamma

pytestmark = pytest.mark.usefixtures(place.__name__)
DARK = "low_light/dark_lowlight64"
HERE = ["--data.root", "data", "--data.test", "[mine/Made]", "--data.side", "16"]
EXACT = {"peak": (1e9, 1e9), "sigma": (0.0, 0.0)}  # as good as no noise


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def picture(seed: int, H: int = 24, W: int = 20) -> np.ndarray:
    return np.random.RandomState(seed).randint(40, 240, (H, W, 3)).astype(np.uint8)


@pytest.fixture
def made() -> Path:
    """Three images to test on in data/mine/Made, four to train on in data/mine/train."""
    for i, size in enumerate(((24, 20), (18, 30), (16, 16))):
        save(Path(f"data/mine/Made/{i}.png"), picture(i, *size))
    for i in range(4):
        save(Path(f"data/mine/train/{i}.png"), picture(10 + i, 24, 24))
    return Path("data/mine")


def dark(**settings: Any) -> LowLightImages:
    given = {"train": ["mine/train"], "test": ["mine/Made"], "shrink": [1.0], "patch": 12, "side": 16, "batch_size": 8}
    return LowLightImages(**{**given, "root": "data", **settings})


def drawn(data: Any, item: Tensor) -> tuple[Tensor, Tensor]:
    data.seed_augmentation(torch.device("cpu"))
    return data.draw(item)


# --- darkness ----------------------------------------------------------------------------------------------------


def test_gamma_and_gain_by_hand_as_bytes():
    darkness = Darkness(gamma=(2.0, 2.0), gain=(0.5, 0.5), **EXACT)
    x = torch.tensor([0, 51, 128, 255], dtype=torch.uint8).view(1, 1, 1, 4)
    by_hand = [0, 5, 32, 128]  # 255 / 2 (v / 255)^2 = 0, 5.1, 32.13, 127.5; the last one half up or down by the photons
    fixed = darkness.fixed(x, np.random.RandomState(0))
    assert fixed.dtype == torch.uint8
    assert (fixed.flatten() - torch.tensor(by_hand)).abs().max() <= 1
    assert fixed.flatten()[:3].tolist() == by_hand[:3]
    y = darkness.draw(x / 255) * 255
    assert torch.allclose(y, y.round(), atol=1e-4)
    assert y.flatten()[:3].round().tolist() == by_hand[:3]


def test_noise_has_the_variance_of_photons_and_read_out():
    darkness = Darkness((1.0, 1.0), (0.5, 0.5), (100.0, 100.0), (10.0, 10.0))
    x = torch.full((1, 1, 200, 200), 204, dtype=torch.uint8)  # 0.8 becomes 0.4
    by_hand = math.sqrt(0.4 / 100 + (10 / 255) ** 2 + 1 / 12 / 255**2)
    for y in (darkness.fixed(x, np.random.RandomState(0)) / 255, darkness.draw(x / 255)):
        assert y.std().item() == pytest.approx(by_hand, rel=0.02)
        assert y.mean().item() == pytest.approx(0.4, rel=0.01)


def test_every_patch_has_a_darkness_of_its_own_within_the_ranges():
    torch.manual_seed(0)
    x = torch.full((400, 1, 8, 8), 0.5)
    gains = Darkness(gamma=(1.0, 1.0), gain=(0.4, 1.0), **EXACT).draw(x).mean((1, 2, 3)) / 0.5
    assert 0.4 - 0.01 <= gains.min() < 0.42
    assert 0.98 < gains.max() <= 1.01
    assert gains.mean().item() == pytest.approx(0.7, abs=0.03)
    exponents = Darkness(gamma=(1.5, 3.5), gain=(1.0, 1.0), **EXACT).draw(x).mean((1, 2, 3)).log2().neg()
    assert 1.45 < exponents.min() < 1.6
    assert 3.4 < exponents.max() < 3.55


def test_one_peak_an_image_is_that_images_peak():
    torch.manual_seed(0)
    x = torch.full((2, 1, 100, 100), 0.5)
    few, many = degrade.poisson(x, torch.tensor([4.0, 400.0])).var((1, 2, 3)).tolist()
    assert few == pytest.approx(0.5 / 4, rel=0.06)
    assert many == pytest.approx(0.5 / 400, rel=0.06)


# --- test sets ---------------------------------------------------------------------------------------------------


def test_a_tests_darkness_is_the_images_own_and_the_seeds(made):
    (pairs,) = dark().pairs()
    assert (pairs.name, len(pairs)) == ("Made-dark0", 3)
    assert all(x.shape == y.shape == (1, 3, 16, 16) and y.dtype == torch.uint8 for x, y in pairs.pairs)
    (again,), (other,) = dark().pairs(), dark(test_seed=1).pairs()
    assert again.sha256 == pairs.sha256 != other.sha256
    assert other.name == "Made-dark1"
    save(made / "Made/00.png", picture(7))  # another image first: those behind it stay as dark as they were
    (more,) = dark().pairs()
    for (x, y), (same_x, same_y) in zip(pairs.pairs[1:], more.pairs[2:], strict=True):
        assert torch.equal(x, same_x)
        assert torch.equal(y, same_y)
    (plain,) = dark(darkness=Darkness(gamma=(1.0, 1.0), **EXACT)).pairs()
    gains = {round((y.double().mean() / x.double().mean()).item(), 2) for x, y in plain.pairs}
    assert len(gains) == 4  # each image has drawn its own


def test_a_fixed_draw_is_known_by_its_numbers():
    x = torch.full((1, 1, 1, 4), 128, dtype=torch.uint8)
    y = Darkness(peak=(200.0, 200.0)).fixed(x, np.random.RandomState(0))
    stream = np.random.RandomState(0)
    gamma, gain, _, sigma = (stream.uniform(*bounds) for bounds in ((1.5, 3.5), (0.4, 1.0), (200, 200), (0, 4)))
    level = np.full((1, 1, 1, 4), gain * (128 / 255) ** gamma)
    by_hand = stream.poisson(level * 200) / 200 + stream.normal(0, sigma / 255, level.shape)
    assert np.array_equal(y.numpy(), np.clip(by_hand * 255, 0, 255).round())
    assert gamma == pytest.approx(2.5976, abs=1e-4)  # on any machine


def test_tests_are_middle_squares_or_whole(made):
    x = dark().pairs()[0].pairs[2][0]
    assert np.array_equal(x[0].permute(1, 2, 0).numpy(), picture(2, 16, 16))
    save(made / "Made/1.png", np.pad(picture(2, 16, 16), ((0, 0), (3, 4), (0, 0))))  # 7 columns too wide
    assert np.array_equal(dark().pairs()[0].pairs[1][0][0].permute(1, 2, 0).numpy(), picture(2, 16, 16))
    assert [tuple(x.shape[2:]) for x, _ in dark(side=None).pairs()[0].pairs] == [(24, 20), (16, 23), (16, 16)]


def test_training_draws_are_a_function_of_seed_and_position(made):
    item = torch.tensor([0, 3, 1, 0])
    (x, y), again, other = (drawn(dark(seed=seed), item) for seed in (0, 0, 1))
    assert torch.equal(x, again[0])
    assert torch.equal(y, again[1])
    assert not torch.equal(y, other[1])
    assert torch.allclose((y * 255).round() / 255, y, atol=1e-6)  # bytes
    assert (y.mean((1, 2, 3)) < x.mean((1, 2, 3))).all()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"gamma": (3.0, 2.0)}, "gamma lies between 3 and 2: give two numbers above 0, low first"),
        ({"gain": (0.0, 1.0)}, "gain lies between 0 and 1: give two numbers above 0"),
        ({"sigma": (-1.0, 1.0)}, "sigma lies between -1 and 1: give two numbers 0 or more"),
    ],
)
def test_no_camera_has_such_a_darkness(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        Darkness(**settings)


def test_small_test_images_cost_one_sentence(made, capfd):
    said_now = refused(capfd, "test", DARK, *HERE[:4], "--data.side", "20")
    assert "1.png is 30 x 18: set data.init_args.side to 18 or less, or to null." in said_now


# --- real pairs --------------------------------------------------------------------------------------------------


def layout(folder: str, low: str, high: str, count: int = 3) -> None:
    for i in range(count):
        save(Path(f"data/{folder}/{low}/{i}.png"), picture(i) // 8)
        save(Path(f"data/{folder}/{high}/{i}.png"), picture(i))


@pytest.mark.parametrize(
    ("train", "test", "low", "high"), [("our485", "eval15", "low", "high"), ("a", "b", "in", "gt")]
)
def test_real_pairs_are_read_low_to_high_in_unit_range(train, test, low, high):
    layout(f"LOL/{train}", low, high)
    layout(f"LOL/{test}", low, high, 2)
    folders: dict[str, Any] = {"train": [f"LOL/{train}"], "test": [f"LOL/{test}"], "files": Namesakes(low, high)}
    data = LowLightPairs(**({} if low == "low" else folders), patch=8, batch_size=2, root="data")
    (pairs,) = data.pairs()
    assert (pairs.name, len(pairs)) == (f"LOL-{test}", 2)
    x, y = data.as_given(*pairs.pairs[1])
    assert np.array_equal((x[0] * 255).round().permute(1, 2, 0).numpy(), picture(1))
    assert np.array_equal((y[0] * 255).round().permute(1, 2, 0).numpy(), picture(1) // 8)
    x, y = drawn(data, torch.arange(3))
    assert torch.equal((x * 255).round().div(8, rounding_mode="floor"), (y * 255).round())  # the same place, as turned
    assert 0 <= y.min() <= y.max() < 0.13


# --- aligned scores ----------------------------------------------------------------------------------------------


def test_alignment_by_hand():
    x = torch.tensor([[50, 100, 150, 200]], dtype=torch.uint8).view(1, 1, 2, 2).expand(1, 3, 2, 2)
    half = x // 2
    found = aligned(half.double(), x.double())
    assert torch.allclose(found, x.double())
    bright, made = (
        torch.full((1, 3, 2, 2), 200.0),
        torch.tensor([10.0, 10, 10, 370]).view(1, 1, 2, 2).expand(1, 3, 2, 2),
    )
    assert aligned(made, bright).flatten()[:4].tolist() == [20, 20, 20, 255]  # means 200 and 100; clamped
    green, red = torch.zeros(2, 1, 3, 1, 1).unbind()
    green[0, 1], red[0, 0] = 100.0, 100.0
    assert aligned(green, red)[0, 1].item() == pytest.approx(100 * 0.299 / 0.587)
    black = torch.zeros(1, 3, 2, 2)
    assert torch.equal(aligned(black, bright), black)


def test_each_image_is_aligned_by_itself_before_the_shave():
    x = torch.full((2, 1, 13, 13), 100.0)
    made = x * torch.tensor([0.5, 0.8]).view(2, 1, 1, 1)
    made[0, 0, 0] = 90.0  # a border that the shave leaves out counts for the mean
    found = fidelity(made / 255, x / 255, FidelityProtocol("grey", 1, aligned=True))
    mean = (50 * 12 + 90) / 13
    assert found["mae@grey-shave1-aligned"] == pytest.approx((100 - 100 * 50 / mean) / 255 / 2, abs=1e-9)


def test_names_tell_aligned_scores_apart():
    assert FidelityProtocol("rgb", 2, aligned=True).name == "rgb-shave2-aligned"
    with pytest.raises(ValueError, match="Aligned images are compared in their channels: set colour to rgb or grey"):
        FidelityScores(aligned=True)
    assert FidelityProtocol().name == "rgb"


def test_the_callback_scores_both(made, capsys):
    assert main(["test", DARK, *HERE]) == 0
    scores = said(capsys)
    names = {f"{name}@rgb{end}" for name in ("psnr", "ssim") for end in ("", "-aligned")}
    assert set(scores) == {f"test/Made-dark0/{name}" for name in (*names, "mae@rgb", "swd", "spectrum")}
    pairs = dark().pairs()[0].pairs
    for end, protocol in (("", FidelityProtocol()), ("-aligned", FidelityProtocol(aligned=True))):
        by_hand = np.mean([fidelity(y, x, protocol)[f"psnr@rgb{end}"] for x, y in pairs])
        assert scores[f"test/Made-dark0/psnr@rgb{end}"] == pytest.approx(by_hand, abs=1e-3)
    assert scores["test/Made-dark0/psnr@rgb-aligned"] > scores["test/Made-dark0/psnr@rgb"] + 1


# --- baselines ---------------------------------------------------------------------------------------------------


def test_gamma_by_hand_and_by_the_mean():
    y = torch.tensor([0.0, 0.25, 1.0]).view(1, 1, 1, 3)
    assert Gamma(0.5)(y).flatten().tolist() == pytest.approx([0, 0.5, 1])
    dim = torch.stack([torch.full((3, 2, 2), 0.25), torch.full((3, 2, 2), 0.8)])
    assert torch.allclose(MeanGamma(0.5)(dim), torch.full((2, 3, 2, 2), 0.5), atol=1e-5)
    rough = torch.rand(5, 3, 20, 20, generator=torch.Generator().manual_seed(0)) ** 3
    assert torch.allclose(MeanGamma(0.4)(rough).mean((1, 2, 3)), torch.tensor(0.4), atol=1e-5)
    assert torch.equal(MeanGamma()(torch.zeros(1, 3, 2, 2)), torch.zeros(1, 3, 2, 2))


def slowly(levels: np.ndarray) -> np.ndarray:
    """Equalised, pixel by pixel."""
    flat = np.sort(levels.ravel())
    share = np.searchsorted(flat, levels, side="right") / flat.size
    least = np.mean(flat == flat[0])
    return (share - least) / (1 - least)


def test_equalisation_is_that_of_the_slow_route():
    levels = np.random.RandomState(0).randint(0, 60, (2, 3, 9, 7)).astype(np.uint8)
    found = Equalise(luma=False)(torch.from_numpy(levels) / 255)
    by_hand = np.stack([[slowly(channel) for channel in image] for image in levels])
    assert np.allclose(found.numpy(), by_hand, atol=1e-6)
    y = torch.tensor([10, 10, 20, 40]).view(1, 1, 1, 4) / 255  # shares up to each: 1/2, 1/2, 3/4, 1
    assert Equalise()(y).flatten().tolist() == pytest.approx([0, 0, 0.5, 1])
    flat = torch.full((1, 3, 4, 4), 0.3)
    assert torch.allclose(Equalise(luma=False)(flat), flat)


def test_equalising_luma_keeps_the_ratios_of_the_channels():
    y = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 0.2 + 0.02
    x = Equalise()(y)
    inside = (x < 1).all(1, keepdim=True) & (x > 0).all(1, keepdim=True)
    ratio = (x / y)[inside.expand_as(x)].view(3, -1)
    assert inside.sum() > 50
    assert torch.allclose(ratio, ratio[:1].expand(3, -1), rtol=1e-3)
    assert x.mean() > 3 * y.mean()


def test_the_rows_of_t91(capsys):
    if "ATELIER_DATA" not in os.environ:
        pytest.skip("ATELIER_DATA is not set: T91 is not here")
    assert main(["test", "low_light/gamma_lowlight64"]) == 0
    scores = said(capsys)
    assert scores["test/T91-dark0/psnr@rgb"] == pytest.approx(18.09, abs=0.005)
    assert scores["test/T91-dark0/psnr@rgb-aligned"] == pytest.approx(21.876, abs=0.005)

"""Denoising and deblocking: what the damage is by hand, the noisy rows of tables, DnCNN."""

import math
import os
from collections import Counter
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from command_line import place
from PIL import Image
from test_super_resolution import said
from torch import Tensor

from datamodules.denoising import BlindGaussian, Gaussian, NoisyCleanFolders, NoisyImages, Poisson
from datamodules.jpeg import JPEGImages
from experiments.cli import main
from lightning_modules.losses.reconstruction import MSE
from lightning_modules.metrics.fidelity.protocol import FidelityProtocol
from lightning_modules.metrics.fidelity.unclipped import UnclippedPSNR
from lightning_modules.networks.dncnn import DnCNN
from lightning_modules.reconstruction import ReconstructionModule

pytestmark = pytest.mark.usefixtures(place.__name__)
NOISY, JPEG = "denoising/noisy", "denoising/jpeg"
HERE = ["--data.root", "data", "--data.test", "[mine/Made]"]


def image(seed: int, H: int = 24, W: int = 20, channels: int = 1) -> np.ndarray:
    """Smooth and rough parts, uint8 [H, W] or [H, W, 3]."""
    noise = np.random.RandomState(seed)
    pixels = (noise.rand(H, W, channels) * 90 + np.linspace(20, 160, W)[None, :, None]).astype(np.uint8)
    return pixels[:, :, 0] if channels == 1 else pixels


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def made() -> Path:
    """Two grey images in data/mine/Made, four in data/mine/train, and two real pairs in data/mine/real."""
    for i, size in enumerate(((24, 20), (18, 30))):
        save(Path(f"data/mine/Made/{i}.png"), image(i, *size))
    for i in range(4):
        save(Path(f"data/mine/train/{i}.png"), image(10 + i, 24, 24))
    for i, kind in enumerate(("noisy", "clean")):
        save(Path(f"data/mine/real/{kind}/a.png"), image(20 + i, channels=3))
        save(Path(f"data/mine/real/{kind}/b.png"), image(30 + i, channels=3))
    return Path("data/mine")


def noisy(**settings: Any) -> NoisyImages:
    given = {"train": ["mine/train"], "test": ["mine/Made"], "shrink": [1.0], "patch": 12, "stride": 4, "batch_size": 8}
    return NoisyImages(**{**given, "root": "data", **settings})


def jpeg(**settings: Any) -> JPEGImages:
    given = {"train": ["mine/train"], "test": ["mine/Made"], "patch": 24, "stride": 8, "turns": "none"}
    return JPEGImages(**{**given, "root": "data", **settings})


def test_a_level_is_that_of_the_noise(made):
    torch.manual_seed(0)
    x = torch.full((1, 1, 200, 200), 0.5)
    assert ((Gaussian(10).draw(x) - x) * 255).std().item() == pytest.approx(10, rel=0.02)
    assert (Poisson(4).draw(x) - x).var().item() == pytest.approx(0.5 / 4, rel=0.03)
    data = noisy(test_noise=[Gaussian(15), Gaussian(2.5), Poisson(30)], noise=BlindGaussian())
    assert [pairs.name for pairs in data.pairs()] == ["Made-s15", "Made-s2.5", "Made-p30"]


# --- test images are the same everywhere -----------------------------------------------------------------------


def test_test_noise_is_kairs_and_begins_anew_for_each_image(made):
    (pairs,) = noisy(noise=Gaussian(25)).pairs()
    assert (pairs.name, len(pairs)) == ("Made-s25", 2)
    for i, (x, y) in enumerate(pairs.pairs):
        pixels = np.asarray(Image.open(made / f"Made/{i}.png"))
        np.random.seed(seed=0)  # as KAIR has it
        damaged = np.float32(pixels / 255.0)[:, :, None]
        damaged += np.random.normal(0, 25 / 255.0, damaged.shape)
        assert np.array_equal(x[0, 0].numpy(), pixels)
        assert y.dtype == torch.float32
        assert np.abs(y[0, 0].numpy() - damaged[:, :, 0]).max() < 2e-7  # two roundings to float32
        rest = (y - x / 255)[0, 0, 0, :3].tolist()
        assert rest == pytest.approx([0.17294631, 0.03923110, 0.09595470], abs=1e-6)  # known numbers, on any machine
    again, other = noisy(noise=Gaussian(25)).pairs()[0], noisy(noise=Gaussian(24)).pairs()[0]
    assert again.sha256 == pairs.sha256 != other.sha256


def test_colour_becomes_grey_before_the_noise(made):
    save(made / "Made/0.png", image(5, channels=3))
    (pairs,) = noisy(noise=Gaussian(0)).pairs()
    x, y = pairs.pairs[0]
    grey = np.asarray(Image.open(made / "Made/0.png").convert("L"))
    assert np.array_equal(x[0, 0].numpy(), grey)
    assert (y * 255 - x).abs().max() < 1e-4
    given_x, given_y = noisy(noise=Gaussian(0)).as_given(x, y)
    assert torch.equal(given_y, y)
    assert torch.allclose(given_x, y)


# --- training patches ------------------------------------------------------------------------------------------


def drawn(data: NoisyImages | JPEGImages | NoisyCleanFolders, item: Tensor) -> tuple[Tensor, Tensor]:
    data.seed_augmentation(torch.device("cpu"))
    return data.draw(item)


def test_training_noise_is_a_function_of_seed_and_position(made):
    item = torch.tensor([0, 3, 1, 0])
    (x, y), again, other = (drawn(noisy(seed=seed), item) for seed in (0, 0, 1))
    assert torch.equal(x, again[0])
    assert torch.equal(y, again[1])
    assert not torch.equal(y - x, other[1] - other[0])
    assert ((y - x) * 255).std().item() == pytest.approx(25, rel=0.2)
    assert not torch.equal((y - x)[0], (y - x)[3])  # one place twice: other noise
    strong = drawn(noisy(noise=Gaussian(120)), item)[1]
    assert strong.min() < -0.1  # not clamped
    assert strong.max() > 1.1


class Seen(L.Callback):
    """Keeps what each step was given."""

    def __init__(self) -> None:
        self.batches: list[tuple[Tensor, Tensor]] = []

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.batches.append((batch[0].clone(), batch[1].clone()))


def train(module: ReconstructionModule, data: Any, steps: int, ckpt: str | None = None) -> tuple[Seen, L.Trainer]:
    seen = Seen()
    trainer = L.Trainer(
        accelerator="cpu", max_steps=steps, max_epochs=-1, callbacks=[seen], logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0, limit_val_batches=0,
    )  # fmt: skip
    trainer.fit(module, datamodule=data, ckpt_path=ckpt)
    return seen, trainer


def small() -> ReconstructionModule:
    torch.manual_seed(0)
    return ReconstructionModule(DnCNN(3, 4), [MSE()])


def test_a_resumed_run_sees_the_same_patches_and_noise_and_ends_the_same(made):
    whole, one, two = small(), small(), small()
    data = [noisy(noise=BlindGaussian(), test_noise=[Gaussian()]) for _ in range(3)]
    seen, _ = train(whole, data[0], 6)
    _, trainer = train(one, data[1], 4)
    trainer.save_checkpoint("four.ckpt")
    rest, _ = train(two, data[2], 6, "four.ckpt")
    assert len(rest.batches) == 2
    for (x, y), (again_x, again_y) in zip(seen.batches[4:], rest.batches, strict=True):
        assert torch.equal(x, again_x)
        assert torch.equal(y, again_y)
    assert len({float(y.sum()) for _, y in seen.batches}) == 6
    for a, b in zip(whole.state_dict().values(), two.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_sizes_and_qualities_make_the_training_set(made):
    data = noisy(shrink=[1.0, 0.5], patch=12, stride=4)
    assert len(data.by_scale[0]) == 4 * (4 * 4 + 1)
    sizes = jpeg(qualities=[10, 20, 90], shrink=[1.0, 0.7], patch=16).training_pairs()[1]
    assert Counter(pair.x.shape[2:] for pair in sizes) == {(24, 24): 12, (17, 17): 12}
    left = jpeg(qualities=[10, 20, 90], shrink=[1.0, 0.7], patch=18).training_pairs()[1]
    assert Counter(pair.x.shape[2:] for pair in left) == {(24, 24): 12}


# --- JPEG ------------------------------------------------------------------------------------------------------


def through_a_file(pixels: np.ndarray, quality: int) -> np.ndarray:
    Image.fromarray(pixels).save("one.jpg", quality=quality)
    return np.asarray(Image.open("one.jpg"))


def test_jpeg_pairs_are_pillows_own_files(made):
    data = jpeg(qualities=[10, 20])
    sets = data.pairs()
    assert [pairs.name for pairs in sets] == ["Made-q10", "Made-q20"]
    for quality, pairs in zip((10, 20), sets, strict=True):
        for i, (x, y) in enumerate(pairs.pairs):
            pixels = np.asarray(Image.open(made / f"Made/{i}.png"))
            assert np.array_equal(x[0, 0].numpy(), pixels)
            assert np.array_equal(y[0, 0].numpy(), through_a_file(pixels, quality))
    assert not torch.equal(sets[0].pairs[0][1], sets[1].pairs[0][1])
    save(made / "Made/0.png", image(5, channels=3))
    x, y = jpeg(qualities=[10], colour="rgb").pairs()[0].pairs[0]
    colour = through_a_file(image(5, channels=3), 10)
    assert np.array_equal(y[0].permute(1, 2, 0).numpy(), colour)
    assert x.shape == y.shape == (1, 3, 24, 20)


def test_training_patches_of_a_jpeg_are_cut_from_the_whole_images_file(made):
    data = jpeg(qualities=[10], test_qualities=[20])
    x, y = drawn(data, torch.arange(4))
    for i in range(4):
        pixels = np.asarray(Image.open(made / f"train/{i}.png"))
        assert np.array_equal((x[i, 0] * 255).round().numpy(), pixels)
        assert np.array_equal((y[i, 0] * 255).round().numpy(), through_a_file(pixels, 10))
    assert [pairs.name for pairs in data.pairs()] == ["Made-q20"]


# --- what damaged images score ---------------------------------------------------------------------------------


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return 10 * math.log10(255**2 / np.mean((a.astype(np.float64) - b) ** 2))


def test_the_identity_scores_what_numpy_says(made, capsys):
    levels = '[{"class_path": "Gaussian", "init_args": {"sigma": 60}}]'
    assert main(["test", NOISY, *HERE, "--data.test_noise", levels]) == 0
    scores, clamped, floats = said(capsys), [], []
    for i in range(2):
        x = np.asarray(Image.open(made / f"Made/{i}.png"))
        y = x + np.random.RandomState(0).normal(0, 60, x.shape)
        clamped.append(psnr(x, np.clip(y, 0, 255).round()))
        floats.append(psnr(x, y))
    assert scores["test/Made-s60/psnr@grey"] == pytest.approx(np.mean(clamped), abs=2e-3)  # ties may round otherwise
    assert scores["test/Made-s60/psnr@grey-unclipped"] == pytest.approx(np.mean(floats), abs=1e-4)
    assert np.mean(clamped) > np.mean(floats) + 0.1
    assert main(["test", JPEG, *HERE, "--data.qualities", "[10]"]) == 0
    scores = said(capsys)
    pixels = [np.asarray(Image.open(made / f"Made/{i}.png")) for i in range(2)]
    by_hand = np.mean([psnr(x, through_a_file(x, 10)) for x in pixels])
    assert scores["test/Made-q10/psnr@grey"] == pytest.approx(by_hand, abs=1e-4)


def test_the_noisy_row_of_bsd68(capsys):
    if "ATELIER_DATA" not in os.environ:
        pytest.skip("ATELIER_DATA is not set: BSD68 is not here")
    assert main(["test", NOISY, "--data.test_noise", "[{class_path: Gaussian, init_args: {sigma: 25}}]"]) == 0
    scores = said(capsys)
    assert scores["test/BSD68-s25/psnr@grey"] == pytest.approx(20.50, abs=0.005)
    assert scores["test/BSD68-s25/psnr@grey-unclipped"] == pytest.approx(20.19, abs=0.005)


def test_unclipped_scores_are_of_the_value_range_and_without_the_border():
    x = torch.zeros(1, 1, 6, 6)
    y = x.clone()
    y[..., 2:4, 2:4] = 4.0  # in [-1, 1] twice the whole range
    metric = UnclippedPSNR(FidelityProtocol("grey", shave=2))
    metric.update(y, x, (-1.0, 1.0))
    assert metric.as_floats() == {"psnr@grey-shave2-unclipped": pytest.approx(-20 * math.log10(2))}
    whole = UnclippedPSNR(FidelityProtocol("grey"))
    whole.update(y, x)
    assert whole.as_floats()["psnr@grey-unclipped"] == pytest.approx(-10 * math.log10(16 * 4 / 36))

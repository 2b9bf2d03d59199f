"""Patches: every turn of every place by hand, grids complete, draws resumable; one sentence for what cannot be cut."""

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from PIL import Image
from torch import Tensor

from datamodules.denoising import BlindGaussian, Gaussian, NoisyImages
from datamodules.functional.resize import bicubic_by
from datamodules.holes import CentreBox
from datamodules.inpainting import HoledImages
from datamodules.matting import MattingCompositions
from datamodules.pairs import PairDataModule
from datamodules.patches import Canvas, Grid, Pair, Patches, Places
from datamodules.style import StyledImages
from datamodules.super_resolution import SuperResolutionImages
from datamodules.translation import UnpairedImages
from lightning_modules.losses.reconstruction import L1
from lightning_modules.networks.dncnn import DnCNN
from lightning_modules.reconstruction import ReconstructionModule


def images(channels: int = 3) -> list[Tensor]:
    noise = torch.Generator().manual_seed(0)
    sizes = ((20, 17), (21, 19), (33, 12), (12, 40))
    return [torch.randint(256, (1, channels, *size), generator=noise, dtype=torch.uint8) for size in sizes]


def turned(patch: Tensor, turn: int) -> Tensor:
    patch = patch.flip(1) if turn & 1 else patch
    patch = patch.flip(2) if turn & 2 else patch
    return patch.transpose(1, 2) if turn & 4 else patch


@pytest.mark.parametrize("channels", [1, 3])
def test_a_cut_is_the_slice_turned(channels):
    whole = images(channels)
    image = torch.arange(4).repeat_interleave(8 * 9)
    turn = torch.arange(8).repeat_interleave(9).repeat(4)
    top, left = torch.arange(3).repeat_interleave(3).repeat(32), torch.arange(3).repeat(96)
    found = Canvas(whole).cut(Places(image, top, left), 9, turn)
    for n, patch in enumerate(found):
        t, s = int(top[n]), int(left[n])
        assert torch.equal(patch, turned(whole[image[n]][0, :, t : t + 9, s : s + 9], int(turn[n])))


def test_the_eight_turns_are_all_there_are():
    square = torch.arange(9, dtype=torch.uint8).view(1, 1, 3, 3)
    zero = torch.zeros(8, dtype=torch.int64)
    found = Canvas([square]).cut(Places(zero, zero, zero), 3, torch.arange(8))
    by_rotation = [turned.rot90(k, (1, 2)) for turned in (square[0], square[0].flip(2)) for k in range(4)]
    assert {tuple(patch.flatten().tolist()) for patch in found} == {tuple(p.flatten().tolist()) for p in by_rotation}


def test_a_grid_has_every_place_once():
    grid = Grid(torch.tensor([[7, 9], [4, 4], [10, 5]]), side=4, stride=3)
    expected = [(0, t, s) for t in (0, 3) for s in (0, 3)] + [(1, 0, 0)] + [(2, t, 0) for t in (0, 3, 6)]
    assert len(grid) == len(expected)
    found = torch.stack(grid.places(torch.arange(len(grid))), dim=1)
    assert [tuple(row) for row in found.tolist()] == expected


def test_a_place_without_a_grid_lies_anywhere_and_nowhere_else():
    data = Patches("x", [Pair("a", images()[0], None)], scale=1, side=15, turns="none")
    torch.manual_seed(0)
    x, y = data.cut(torch.zeros(500, dtype=torch.int64))
    assert y is None
    expected = {images()[0][0, :, t : t + 15, s : s + 15].sum().item() for t in range(6) for s in range(3)}
    assert {patch.sum().item() for patch in x} == expected


def test_both_of_a_pair_are_of_one_place_and_turned_alike():
    large = torch.arange(24 * 30, dtype=torch.int64).view(1, 1, 24, 30).remainder(251).to(torch.uint8)
    pairs = [Pair("a", large, large[:, :, ::3, ::3])]
    for stride in (None, 6):
        data = Patches("x", pairs, scale=3, side=12, stride=stride)
        torch.manual_seed(1)
        x, y = data.cut(torch.randint(len(data), (64,)))
        assert y is not None
        assert all(
            any(torch.equal(a[:, i::3, j::3], b) for i in (0, 2) for j in (0, 2)) for a, b in zip(x, y, strict=True)
        )


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"side": 10, "scale": 3}, "patch is 10: set data.init_args.patch to a multiple of the scale, 3"),
        ({"side": 9, "stride": 4, "scale": 3}, "stride is 4"),
        ({"side": 9, "stride": 0, "scale": 3}, "stride is 0"),
        ({"side": 15, "scale": 1}, "c is 12 x 33, smaller than a patch of 15"),
    ],
)
def test_what_cannot_be_cut_is_one_sentence(settings, sentence):
    pairs = [Pair(name, image, None) for name, image in zip("abcd", images(), strict=True)]
    with pytest.raises(ValueError, match=sentence):
        Patches("x", pairs, **settings)


def test_grey_among_colour_is_one_sentence():
    pairs = [Pair("a", images()[0], None), Pair("b", images(1)[1], None)]
    with pytest.raises(ValueError, match="b has 1 channels and a 3"):
        Patches("x", pairs, scale=1, side=8)


# --- as a data module ---------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "train").mkdir()
    for i, image in enumerate(images()):
        Image.fromarray(image[0].permute(1, 2, 0).numpy()).save(tmp_path / "train" / f"{i}.png")
    return tmp_path


def module(folder, **settings) -> SuperResolutionImages:
    return SuperResolutionImages(scales=[2], train=["train"], patch=8, root=str(folder), **settings)


def test_more_devices_than_test_pairs_are_one_sentence(folder, monkeypatch):
    data = HoledImages(CentreBox(), train=[], test=["train"], side=8, patch=8, root=str(folder))
    assert [len(loader) for loader in data.test_dataloader()] == [4]
    monkeypatch.setattr(HoledImages, "world", 5)
    with pytest.raises(ValueError, match=r"train-centre has 4 pairs for 5 devices: set trainer\.devices to 4 or fewer"):
        data.test_dataloader()


def test_training_pairs_are_matlabs(folder):
    (pairs,) = module(folder).training_pairs().values()
    for pair, image in zip(pairs, images(), strict=True):
        H, W = (side // 2 * 2 for side in image.shape[2:])
        assert torch.equal(pair.x, image[:, :, :H, :W])
        assert torch.equal(pair.y, bicubic_by(pair.x, 0.5))


def test_a_batch_is_a_function_of_seed_and_position(folder):
    item = torch.tensor([0, 3, 1])
    drawn = []
    for seed in (0, 0, 1):
        data = module(folder, seed=seed, colour="luma")
        data.seed_augmentation(torch.device("cpu"))
        drawn.append(data.draw(item))
    (x, y), again, other = drawn
    assert torch.equal(x, again[0])
    assert torch.equal(y, again[1])
    assert not torch.equal(x, other[0])
    assert x.shape == (3, 1, 8, 8)
    assert y.shape == (3, 1, 4, 4)


def made(kind: str, folder: Path) -> PairDataModule:
    root: dict[str, Any] = {"root": str(folder), "batch_size": 4}
    patches = {"train": ["train"], "patch": 8, **root}
    if kind == "two scales":
        return SuperResolutionImages(scales=[2, 4], **patches)
    if kind == "noise":
        return NoisyImages(BlindGaussian(), [Gaussian()], stride=None, colour="rgb", **patches)
    if kind == "holes":
        return HoledImages(holes=CentreBox(), **patches)
    if kind == "unpaired":
        return UnpairedImages(["."], ["."], load=12, patch=8, **root)
    if kind == "styles":
        return StyledImages(["train/0.png"], ["train"], ["train/1.png"], side=12, patch=8, **root)
    parts = {"foregrounds": ["cut"], "backgrounds": ["train"], "test_backgrounds": ["train"]}
    return MattingCompositions(**parts, test_share=0.3, patch=8, **root)


@pytest.mark.parametrize("kind", ["two scales", "noise", "holes", "unpaired", "styles", "mattes"])
def test_batches_go_where_the_networks_are_whatever_holds_the_bytes(folder, kind, monkeypatch):
    for name in ("trainA", "trainB", "cut"):
        shutil.copytree(folder / "train", folder / name)
    for path in (folder / "cut").iterdir():
        Image.open(path).convert("RGBA").save(path)
    data, item = made(kind, folder), torch.tensor([0, 2, 1])
    assert data.device == "cpu"
    monkeypatch.setattr(PairDataModule, "target", torch.device("meta"))
    assert {part.device.type for part in data.draw(item)} == {"meta"}


@pytest.mark.gpu
def test_a_step_on_a_gpu_with_bytes_held_by_the_cpu(folder):
    family = ReconstructionModule(
        DnCNN(channels=3, depth=3, width=4), [L1()], optimizer=partial(torch.optim.Adam, lr=1e-4)
    )
    run = L.Trainer(accelerator="gpu", devices=1, max_steps=2, logger=False, enable_checkpointing=False)
    run.fit(family, datamodule=made("noise", folder))
    assert run.global_step == 2


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["two scales", "holes"])
def test_a_batch_made_on_the_cpu_goes_to_the_gpu_without_waiting(folder, kind, monkeypatch):
    data, item = made(kind, folder), torch.tensor([0, 2, 1])
    monkeypatch.setattr(PairDataModule, "target", torch.device("cuda"))
    data.draw(item)  # what is made once is made here
    torch.cuda.set_sync_debug_mode("error")
    try:
        assert {part.device.type for part in data.draw(item)} == {"cuda"}
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_an_epoch_on_a_grid_is_every_patch_once(folder):
    data = module(folder, stride=4, turns="none", colour="grey")
    sizes = ((20, 16), (20, 18), (32, 12), (12, 40))  # the images', cropped to a multiple of the scale
    by_hand = sum(((H - 8) // 4 + 1) * ((W - 8) // 4 + 1) for H, W in sizes)
    assert by_hand == len(data.by_scale[0]) == data.images_per_epoch


def test_several_scales_are_drawn_in_turn(folder):
    data = SuperResolutionImages(scales=[2, 3], train=["train"], patch=9, root=str(folder), colour="luma")
    torch.manual_seed(0)
    seen = {tuple(part.shape[-1] for part in data.draw(torch.tensor([0]))) for _ in range(20)}
    assert seen == {(8, 4), (9, 3)}
    with pytest.raises(ValueError, match="patches on a grid are of one scale"):
        _ = SuperResolutionImages(scales=[2, 3], train=["train"], patch=6, stride=6, root=str(folder)).by_scale


def test_training_without_folders_is_one_sentence(folder):
    with pytest.raises(ValueError, match="has no training images"):
        _ = SuperResolutionImages(scales=[2], root=str(folder)).by_scale
    with pytest.raises(FileNotFoundError, match="absent; set ATELIER_DATA"):
        _ = SuperResolutionImages(scales=[2], train=["nowhere"], root=str(folder)).by_scale


def test_a_grey_benchmark_stays_grey_among_colours(folder):
    data = module(folder, colour="rgb")
    x, y = data.as_given(images(1)[0], images(1)[0])
    assert (x.shape[1], y.shape[1]) == (1, 3)

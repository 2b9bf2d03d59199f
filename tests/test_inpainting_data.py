"""Images with holes: masks by hand and by slow loops, training batches, test sets, and one sentence."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Generator, nn

from datamodules.damage import Holed
from datamodules.functional import masks
from datamodules.functional.masks import centre_box, covered, turned, within
from datamodules.functional.quantise import from_uint8
from datamodules.holes import CentreBox, Free, Medium, RandomBox, Thick, Thin, draw_holes
from datamodules.inpainting import HoledImages


def stream(seed: int = 0) -> Generator:
    return torch.Generator().manual_seed(seed)


# --- masks --------------------------------------------------------------------------------------------------


def test_strokes_cover_what_a_loop_over_pixels_says() -> None:
    start, end = 24 * torch.rand(2, 6, 2, generator=stream()) - 2
    end[0] = start[0]  # a point
    width = torch.tensor([5.0, 1.0, 3.0, 0.5, 7.0, 2.0])
    hole = torch.zeros(20, 17, dtype=torch.bool)
    for i in range(20):
        for j in range(17):
            middle = torch.tensor([i + 0.5, j + 0.5])
            for a, b, w in zip(start, end, width, strict=True):
                along = ((middle - a) @ (b - a) / (b - a).square().sum().clamp(min=1e-12)).clamp(0, 1)
                hole[i, j] |= bool((middle - a - along * (b - a)).norm() <= w / 2)
    found = covered(start, end, width, 20, 17)
    assert found.shape == (1, 1, 20, 17)
    assert 0.1 < hole.float().mean() < 0.9
    assert torch.equal(found[0, 0], hole)


def test_holes_are_a_function_of_the_seed_and_keep_their_area() -> None:
    for kind in (Thin(), Medium(), Thick(), RandomBox(), Free(0.2, 0.3)):
        first, again, other = (draw_holes(kind, 12, 64, seed) for seed in (0, 0, 1))
        assert first.shape == (12, 1, 64, 64)
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
        assert len({hole.numpy().tobytes() for hole in first}) == 12
        share = first.float().mean((1, 2, 3))
        assert (share > kind.least).all()
        assert (share <= kind.most).all()


def test_thick_strokes_are_thicker_than_medium_and_those_than_thin_ones() -> None:
    def largest(kind: Any) -> float:  # share of missing pixels that are still missing 4 px further in
        hole = draw_holes(kind, 40, 64, 0).float()
        inner = -nn.functional.max_pool2d(-hole, 9, 1, 4)
        return float(inner.sum() / hole.sum())

    thin, medium, thick = map(largest, (Thin(), Medium(), Thick()))
    assert thin < 0.05 < medium < thick - 0.1


def test_strokes_follow_the_side() -> None:
    small, large = (masks.Strokes(4, 5, 50, 100)(side, side, stream()) for side in (64, 192))
    middles = large[..., 1::3, 1::3]
    assert (small == middles).float().mean() > 0.999


def test_boxes_are_of_the_right_sides_within_the_image() -> None:
    seen = set()
    for hole in draw_holes(RandomBox(), 60, 64, 0):
        rows, columns = (hole[0].any(axis).nonzero().flatten() for axis in (1, 0))
        assert hole.sum() == len(rows) * len(columns)
        assert 7 <= min(len(rows), len(columns)) <= max(len(rows), len(columns)) <= 38  # 30 and 150 px of 256
        seen |= {rows[0].item(), columns[0].item()}
    assert len(seen) > 20
    box = centre_box(8, 6)
    assert box[0, 0, 2:6, 1:4].all() or box[0, 0, 2:6, 2:5].all()
    assert box.sum() == 12


def test_turns_are_the_eight_of_the_square() -> None:
    mask = torch.zeros(1, 1, 3, 3, dtype=torch.bool)
    mask[..., 0, 1:] = True
    found = turned(mask.expand(8, 1, 3, 3), torch.arange(8))
    assert len({one.numpy().tobytes() for one in found}) == 8
    assert torch.equal(found[0], mask[0])
    assert torch.equal(found[1], mask[0].flip(1))
    assert torch.equal(found[2], mask[0].flip(2))
    assert torch.equal(found[4], mask[0].mT)


def test_an_area_that_no_hole_has_costs_one_sentence() -> None:
    with pytest.raises(ValueError, match="none of 1,000 holes in 16 x 16 px covers between 90 and 95 % of them"):
        within(lambda H, W, _: centre_box(H, W), 16, 16, stream(), 0.9, 0.95)


# --- data ---------------------------------------------------------------------------------------------------


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def pictures(root: Path) -> Path:
    """Below ``root``, three images to train on and two to test by."""
    for i in range(5):
        pixels = np.random.RandomState(i).randint(1, 256, (40, 50, 3), dtype=np.uint8)
        save(root / ("train" if i < 3 else "test") / f"{i}.png", pixels)
    return root


def images(root: Path, **settings: Any) -> HoledImages:
    given = {"train": ["train"], "test": ["test"], "side": 32, "patch": 32, "batch_size": 4, "root": str(root)}
    return HoledImages(**{**given, **settings})


def test_a_training_batch_is_patches_with_turned_holes_of_the_pool(tmp_path: Path) -> None:
    data = images(pictures(tmp_path), fill=(0.1, 0.2, 0.3), batch_size=16)
    drawn = []
    for _ in range(2):
        data.seed_augmentation(torch.device("cpu"))
        drawn.append(data.draw(torch.arange(16) % 3))
    assert all(torch.equal(a, b) for a, b in zip(*drawn, strict=True))
    x, y, hole = drawn[0]
    fill = torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1).expand_as(x)
    assert torch.equal(y, torch.where(hole, fill, x))
    assert hole.dtype == torch.bool
    assert data.pool.shape == (512, 1, 32, 32)
    pool = {one.numpy().tobytes() for turn in range(8) for one in turned(data.pool, torch.full((512,), turn))}
    shown = {one.numpy().tobytes() for one in hole}
    assert shown <= pool
    assert len(shown) == 16
    assert torch.equal(images(tmp_path).pool, data.pool)
    assert not torch.equal(images(tmp_path, seed=1).pool, data.pool)


def test_test_sets_hold_their_holes(tmp_path: Path) -> None:
    kinds = [CentreBox(), Free(0.0, 0.1), Free(0.1, 0.2)]
    data = images(pictures(tmp_path), test_holes=kinds, columns=(0.2, 1.0))
    sets = data.pairs()
    assert [one.name for one in sets] == ["test-centre", "test-free0-10", "test-free10-20"]
    image = np.asarray(Image.open(tmp_path / "test/3.png"))
    x, _, hole = sets[0].pairs[0]
    assert np.array_equal(x[0].permute(1, 2, 0).numpy(), image[4:36, 14:46])
    assert hole[0, 0, 8:24, 8:24].all()
    assert hole.sum() == 256
    batch = data.on_after_batch_transfer(sets[2].pairs[1], 2)
    assert isinstance(batch, Holed)
    assert torch.equal(batch.x, from_uint8(sets[2].pairs[1][0], (0.0, 1.0)))
    assert torch.equal(batch.y, batch.x * ~batch.hole)
    assert 0.1 < batch.hole.float().mean() <= 0.2
    assert not torch.equal(sets[2].pairs[0][2], sets[2].pairs[1][2])
    given = ({}, {"seed": 1}, {"test_seed": 1})
    hashes = [[one.sha256 for one in images(tmp_path, test_holes=kinds, **seeds).pairs()] for seeds in given]
    assert hashes[0] == hashes[1]  # runs of several seeds are tested on the same holes
    assert [a == b for a, b in zip(hashes[0], hashes[2], strict=True)] == [True, False, False]  # x alone is equal
    grey = images(tmp_path, test_holes=kinds, fill=(0.5, 0.4, 0.3)).pairs()
    assert [one.sha256 for one in grey] == hashes[0]  # what a hole is filled with is no matter of the data
    assert not torch.equal(grey[0].pairs[0][1], sets[0].pairs[0][1])


def test_masks_from_files(tmp_path: Path) -> None:
    for i in (1, 2):
        mask = np.zeros((32, 32), np.uint8)
        mask[:4, : 8 * i] = 255
        save(tmp_path / f"masks/{i}.png", mask)
    (one,) = images(pictures(tmp_path), masks=["masks"]).pairs()
    assert one.name == "test-masks"
    for i, (_, y, hole) in enumerate(one.pairs, start=1):
        assert hole[0, 0, :4, : 8 * i].all()
        assert hole.sum() == 32 * i
        assert (y[0, :, :4, : 8 * i] == 0).all()


def mask_of(value: int, side: int = 32) -> Callable[[Path], None]:
    pixels = np.zeros((side, side), np.uint8)
    pixels[:4] = value
    return lambda root: save(root / "masks/1.png", pixels)


@pytest.mark.parametrize(
    ("before", "settings", "words"),
    [
        (mask_of(255, 30), {"masks": ["masks"]}, "1.png is 30 x 30 and test images are cut to 32 x 32: give masks of"),
        (mask_of(9), {"masks": ["masks"]}, "other values than black and white: give a mask of 255"),
        (mask_of(0), {"masks": ["masks"]}, "has no missing pixels"),
        (None, {"side": 48}, "3.png is 50 x 40, smaller than a square of 48: set data.init_args.side below"),
        (None, {"columns": (0.0, 0.5)}, "3.png is 25 x 40, smaller than a square of 32"),
        (None, {"patch": 48}, "0.png is 50 x 40, smaller than a patch of 48"),
        (lambda root: (root / "none").mkdir(), {"test": ["none"]}, "none holds no images: put them there"),
        (None, {"test": []}, "test is none: set data.init_args.test"),
        (None, {"test_holes": [CentreBox(), CentreBox(0.3)]}, "test_holes is centre, centre"),
        (None, {"fill": (0.0, 0.0, 2.0)}, "fill is .*: set data.init_args.fill to three values from 0 to 1"),
        (None, {"columns": (0.5, 0.5)}, "columns is .*: set data.init_args.columns to shares"),
        (None, {"side": 0}, "side is 0: set data.init_args.side to 1 px or more"),
    ],
)
def test_bad_data_cost_one_sentence(tmp_path: Path, before: Any, settings: dict[str, Any], words: str) -> None:
    pictures(tmp_path)
    if before is not None:
        before(tmp_path)
    with pytest.raises(ValueError, match=words):
        images(tmp_path, **settings).setup("fit")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: CentreBox(1.0), "CentreBox's share is 1.0: give more than 0"),
        (lambda: Thin(0.3, 0.2), "area lies between 0.3 and 0.2: give shares from 0 to 1, least first"),
    ],
)
def test_holes_that_cannot_be_cost_one_sentence(make: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_photos_of_facades_are_the_left_halves() -> None:
    if "ATELIER_DATA" not in os.environ:
        pytest.skip("ATELIER_DATA is not set: the facades are not here")
    data = HoledImages(test_holes=[CentreBox()], train=(), columns=(0.0, 0.5), side=64)
    (one,) = data.pairs()
    assert (one.name, len(one), one.pairs[0][0].shape) == ("facades-test-centre", 106, (1, 3, 64, 64))

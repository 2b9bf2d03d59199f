"""Pairs and unpaired images for translation: halves, namesakes, directions, sizes, draws, and one sentence."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from datamodules.functional.quantise import to_uint8
from datamodules.paired_files import Namesakes, SideBySide, Unpaired
from datamodules.translation import TranslationPairs, UnpairedImages


def picture(seed: int, H: int = 24, W: int = 24) -> np.ndarray:
    return np.random.RandomState(seed).randint(0, 256, (H, W, 3), dtype=np.uint8)


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def side_by_side(root: Path, count: int = 4, side: int = 24) -> Path:
    """facades/train and facades/test below ``root``: A is picture i, B is picture 100 + i."""
    for split, first in (("train", 0), ("test", 50)):
        for i in range(first, first + count):
            pixels = np.concatenate([picture(i, side, side), picture(100 + i, side, side)], axis=1)
            save(root / f"facades/{split}/{i:03d}.png", pixels)
    return root


def paired(root: Path, **settings: Any) -> TranslationPairs:
    given = {"train": ["facades/train"], "test": ["facades/test"], "load": 20, "patch": 16, "batch_size": 2}
    return TranslationPairs(**{**given, "root": str(root), **settings})


def unpaired(root: Path, **settings: Any) -> UnpairedImages:
    given = {"train": ["facades/train"], "test": ["facades/test"], "files": SideBySide(), "load": 20, "patch": 16}
    return UnpairedImages(**{**given, "batch_size": 2, "root": str(root), **settings})


def drawn(data: Any, item: list[int]) -> tuple[Tensor, Tensor]:
    data.seed_augmentation(torch.device("cpu"))
    return data.draw(torch.tensor(item))


def resized(pixels: np.ndarray, side: int) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC))


def as_pixels(image: Tensor) -> np.ndarray:
    return to_uint8(image).permute(1, 2, 0).numpy()


@pytest.mark.parametrize(("direction", "x_first", "y_first"), [("AtoB", 100, 0), ("BtoA", 0, 100)])
def test_tests_are_whole_pairs_resized_as_pillow_does(
    tmp_path: Path, direction: Any, x_first: int, y_first: int
) -> None:
    data = paired(side_by_side(tmp_path), direction=direction)
    (pairs,) = data.pairs()
    assert (pairs.name, pairs.scale, len(pairs)) == ("facades-test", 1, 4)
    for i, batch in enumerate(pairs.pairs):
        x, y = data.as_given(*batch)
        assert x.shape == y.shape == (1, 3, 16, 16)
        assert -1 <= x.min() < -0.7 < 0.7 < x.max() <= 1
        assert np.array_equal(as_pixels(x[0]), resized(picture(x_first + 50 + i), 16))
        assert np.array_equal(as_pixels(y[0]), resized(picture(y_first + 50 + i), 16))


def places(patch: np.ndarray, image: np.ndarray) -> list[tuple[int, int, bool]]:
    """Where in ``image`` the patch was cut, and whether it was mirrored."""
    side = len(patch)
    return [
        (top, left, mirrored)
        for top in range(len(image) - side + 1)
        for left in range(image.shape[1] - side + 1)
        for mirrored in (False, True)
        if np.array_equal(patch[:, ::-1] if mirrored else patch, image[top : top + side, left : left + side])
    ]


def test_both_images_of_a_pair_are_cut_and_mirrored_alike_anywhere(tmp_path: Path) -> None:
    data = paired(side_by_side(tmp_path))
    x, y = drawn(data, [0, 1, 2, 3] * 20)
    found = []
    for i in range(80):
        (at_x,) = places(as_pixels(x[i]), resized(picture(100 + i % 4), 20))
        (at_y,) = places(as_pixels(y[i]), resized(picture(i % 4), 20))
        assert at_x == at_y
        found.append(at_x)
    tops, lefts, mirrored = (set(part) for part in zip(*found, strict=True))
    assert tops == lefts == set(range(5))
    assert mirrored == {False, True}


def test_unpaired_images_are_drawn_apart(tmp_path: Path) -> None:
    data = unpaired(side_by_side(tmp_path))
    x, y = drawn(data, [0, 1, 2, 3] * 20)
    sources = []
    for i in range(80):
        assert len(places(as_pixels(x[i]), resized(picture(100 + i % 4), 20))) == 1
        (source,) = (j for j in range(4) if places(as_pixels(y[i]), resized(picture(j), 20)))
        sources.append(source)
    assert sum(source == i % 4 for i, source in enumerate(sources)) < 40
    assert set(sources) == {0, 1, 2, 3}
    assert torch.equal(drawn(data, [0, 1])[1], drawn(data, [0, 1])[1])
    assert [len(pairs) for pairs in data.pairs()] == [4]  # the files of tests are pairs all the same


def test_images_of_two_folders(tmp_path: Path) -> None:
    for i in range(3):
        save(tmp_path / f"h/trainA/{i}.png", picture(i))
        save(tmp_path / f"h/testA/{i}.png", picture(10 + i))
    for i in range(2):
        save(tmp_path / f"h/trainB/z{i}.png", picture(20 + i))
        save(tmp_path / f"h/testB/z{i}.png", picture(30 + i))
    data = UnpairedImages(["h"], ["h"], load=24, patch=24, turns="none", root=str(tmp_path))
    x, y = drawn(data, [0, 1])
    assert np.array_equal(as_pixels(x[1]), picture(21))
    assert any(np.array_equal(as_pixels(y[0]), picture(i)) for i in range(3))
    (shown,) = data.shown
    assert [np.array_equal(pair[0][0].permute(1, 2, 0), picture(30 + i % 2)) for i, pair in enumerate(shown.pairs)] == [
        True
    ] * 3
    with pytest.raises(ValueError, match="h: of unpaired images none is right: set fidelity to null"):
        data.pairs()


def test_namesakes_and_sizes_as_they_are(tmp_path: Path) -> None:
    for i in range(2):
        save(tmp_path / f"lol/low/{i}.png", picture(i, 24, 30))
        save(tmp_path / f"lol/high/{i}.png", picture(10 + i, 24, 30))
    data = paired(tmp_path, train=["lol"], test=["lol"], files=Namesakes("low", "high"), load=None)
    (pairs,) = data.pairs()
    assert np.array_equal(pairs.pairs[1][0][0].permute(1, 2, 0), picture(11, 24, 30))
    assert np.array_equal(pairs.pairs[1][1][0].permute(1, 2, 0), picture(1, 24, 30))
    x, _ = drawn(data, [0])
    assert len(places(as_pixels(x[0]), picture(10, 24, 30))) == 1


def odd(root: Path) -> None:
    save(root / "facades/train/001.png", picture(0, 24, 49))


def alone(root: Path) -> None:
    save(root / "lol/low/b.png", picture(1))


def empty(root: Path) -> None:
    for path in (root / "facades/train").iterdir():
        path.unlink()


def broken(root: Path) -> None:
    (root / "facades/train/002.png").write_bytes(b"no image")


@pytest.mark.parametrize(
    ("harm", "settings", "sentence"),
    [
        (odd, {}, "001 is 49 px wide: two images side by side make an even number"),
        (alone, {"train": ["lol"], "files": Namesakes("low", "high")}, "low/b has no namesake in high"),
        (empty, {}, "facades/train holds no images"),
        (broken, {}, "002.png gives no image"),
        (None, {"train": ["nowhere"]}, "nowhere"),
        (None, {"load": 12}, "load is 12, less than a patch of 16: set data.init_args.load"),
        (None, {"test": []}, "test is none: set data.init_args.test"),
        (None, {"test": ["facades/test", "facades/test"]}, "each another"),
        (None, {"load": None, "patch": 32}, "is 24 x 24, smaller than a patch of 32"),
    ],
)
def test_what_makes_no_pairs_is_one_sentence(tmp_path: Path, harm: Any, settings: Any, sentence: str) -> None:
    side_by_side(tmp_path)
    save(tmp_path / "lol/low/a.png", picture(0))
    save(tmp_path / "lol/high/a.png", picture(1))
    if harm is not None:
        harm(tmp_path)
    with pytest.raises((ValueError, FileNotFoundError), match=sentence) as error:
        paired(tmp_path, **settings).setup("fit")
    assert "\n" not in str(error.value)


def test_unpaired_folders_that_are_absent_are_named(tmp_path: Path) -> None:
    save(tmp_path / "h/trainA/0.png", picture(0))
    with pytest.raises((ValueError, FileNotFoundError), match="trainB"):
        UnpairedImages(["h"], ["h"], files=Unpaired(), root=str(tmp_path)).setup("fit")

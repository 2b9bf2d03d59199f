"""Compositions and trimaps: by hand, against slow loops, fixed for tests; the sentences for bad files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import place
from PIL import Image
from torch import Tensor

from datamodules.functional.matting import composed, trimap
from datamodules.functional.quantise import UNIT, to_uint8
from datamodules.matting import MattingCompositions
from datamodules.trimaps import TrimapFolders, TrimapSuffixes

pytestmark = pytest.mark.usefixtures(place.__name__)


def slow_trimap(alpha: Tensor, erosion: int, dilation: int) -> Tensor:
    H, W = alpha.shape
    found = torch.full((H, W), 128, dtype=torch.uint8)
    for i in range(H):
        for j in range(W):

            def around(r: int, i: int = i, j: int = j) -> Tensor:
                return alpha[max(i - r, 0) : i + r + 1, max(j - r, 0) : j + r + 1]

            if bool((around(dilation) == 0).all()):
                found[i, j] = 0
            elif bool((around(erosion) == 255).all()):
                found[i, j] = 255
    return found


def test_a_trimap_by_loops_each_with_its_own_radii() -> None:
    alpha = torch.zeros(4, 1, 12, 14, dtype=torch.uint8)
    alpha[:, :, 2:10, 3:12] = 255
    alpha[:, :, 4, 3:6] = 90
    alpha[1, :, :, 13] = 255
    erosion, dilation = torch.tensor([0, 1, 2, 1]), torch.tensor([0, 2, 1, 1])
    found = trimap(alpha, erosion, dilation)
    for n in range(4):
        assert torch.equal(found[n, 0], slow_trimap(alpha[n, 0], int(erosion[n]), int(dilation[n])))
    assert set(found[0].flatten().tolist()) == {0, 128, 255}
    assert (found[0] == 128).sum() == 3  # with no band what is neither clear nor opaque alone is unknown


def test_a_composition_by_hand() -> None:
    a, b = torch.full((1, 3, 1, 1), 0.8), torch.full((1, 3, 1, 1), 0.2)
    assert torch.allclose(composed(a, torch.tensor([[[[0.25]]]]), b), torch.full((1, 3, 1, 1), 0.35))


def save(name: str, H: int, W: int, seed: int, alpha: bool = False) -> None:
    stream = np.random.RandomState(seed)
    pixels = stream.randint(0, 256, (H, W, 4 if alpha else 3), dtype=np.uint8)
    if alpha:
        pixels[..., 3] = np.where(stream.rand(H, W) < 0.5, 255, pixels[..., 3])
        pixels[: H // 3, :, 3], pixels[H // 2 :, :, 3] = 0, 255
    Path(name).parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(name)


def files() -> None:
    for i in range(6):
        save(f"fore/{i}.png", 16, 18, i, alpha=True)
        save(f"back/{i}.png", 20, 24, 10 + i)
        save(f"test/{i}.png", 18, 19 + i, 20 + i)


def data(**settings: Any) -> MattingCompositions:
    folders = {"foregrounds": ["fore"], "backgrounds": ["back"], "test_backgrounds": ["test"]}
    return MattingCompositions(**{**folders, "test_share": 0.3, "band": (1, 2), "patch": 12, "root": ".", **settings})


def test_training_draws_what_its_parts_compose() -> None:
    files()
    torch.manual_seed(0)
    x, y, foreground, background = data().draw(torch.arange(4))
    assert x.shape == (4, 1, 12, 12)
    assert y.shape == (4, 4, 12, 12)
    assert torch.allclose(y[:, :3], x * foreground + (1 - x) * background, atol=1e-6)
    band = to_uint8(y[:, 3:], UNIT)
    assert set(band.flatten().tolist()) == {0, 128, 255}
    assert bool((x[band == 255] == 1).all())
    assert bool((x[band == 0] == 0).all())


def test_tests_are_fixed_and_of_foregrounds_that_nobody_trains_on() -> None:
    files()
    one, same, other = data().test_set, data(seed=3).test_set, data(test_seed=1).test_set
    assert len(one) == 2
    assert one.sha256 == same.sha256 != other.sha256
    parts = data().foregrounds
    assert not {p.name for p in parts["train"]} & {p.name for p in parts["test"]}
    save("fore/new.png", 16, 18, 40, alpha=True)  # another one beside it changes no composition
    again = data()
    same_again = again.composition(parts["test"][0], again.images(["test"], "test_backgrounds"))
    assert torch.equal(same_again[1], one.pairs[0][1])
    alpha, picture = data().whole(one.pairs[0])
    assert alpha.shape[1:] == (1, 16, 18)
    assert picture.shape[1:] == (4, 16, 18)
    clear = one.pairs[0][1][:, 3:] == 0
    assert bool((alpha[clear] == 0).all())


def test_who_is_tested_follows_from_the_names_alone() -> None:
    files()
    by_hand = {"3.png", "2.png"}  # the least by crc32: 1c1737c4, 21771e74
    assert {pair.name for pair in data().foregrounds["test"]} == by_hand
    save("fore/00.png", 16, 18, 40, alpha=True)  # 282d1c07
    assert {pair.name for pair in data().foregrounds["test"]} == by_hand


SENTENCES = {
    "no alpha": ({"foregrounds": ["back"]}, r"back/0.png gives no image \(RGB pixels without transparency"),
    "absent": ({"foregrounds": ["none"]}, "none: absent; set ATELIER_DATA or data.init_args.root to the folder above"),
    "empty": ({"foregrounds": ["empty"]}, "empty holds no images: put them there"),
    "share": ({"test_share": 1.0}, "test_share is 1.0: set data.init_args.test_share between 0 and 1"),
    "band": ({"band": (3, 2)}, r"band is \[3, 2\]: set data.init_args.band to two numbers of px, the lesser first"),
    "all for training": ({"test_share": 0.01}, "6 foregrounds shared out by test_share 0.01 leave a part empty"),
    "small grounds": ({"test_backgrounds": ["small"]}, "no test background is as large as .*, 18 x 16: set data"),
}


@pytest.mark.parametrize("case", SENTENCES)
def test_bad_files_are_one_sentence(case: str) -> None:
    settings, sentence = SENTENCES[case]
    files()
    Path("empty").mkdir()
    save("small/a.png", 9, 9, 0)
    with pytest.raises((ValueError, FileNotFoundError), match=sentence):
        _ = data(**settings).test_set


def photographs() -> None:
    """One photograph in folders of its own, and the same with suffixes."""
    levels = np.zeros((16, 18), np.uint8)
    levels[:, 6:9], levels[:, 9:] = 102, 255
    save("set/merged/a.jpg", 16, 18, 1)
    save("one/a.png", 16, 18, 1)
    for path in ("set/trimap/a.png", "one/a_trimap.png", "set/alpha/a.png", "one/a_alpha.png"):
        Path(path).parent.mkdir(exist_ok=True)
        Image.fromarray(levels).save(path)


def test_photographs_in_folders_and_with_suffixes() -> None:
    Path("set").mkdir()
    photographs()
    both = [TrimapFolders("set"), TrimapSuffixes("one")]
    files()
    sets = data(photographs=both).pairs()
    assert [one.name for one in sets] == ["compositions0", "set", "one"]
    alpha, y = sets[2].pairs[0]
    assert set(alpha.flatten().tolist()) == {0, 102, 255}
    assert set(y[:, 3].flatten().tolist()) == {0, 128, 255}
    assert torch.equal(y[0, :3].permute(1, 2, 0), torch.from_numpy(np.array(Image.open("one/a.png"))))
    assert [one.name for one in data(photographs=both, test_share=0).pairs()] == ["set", "one"]


def test_a_photograph_may_have_an_alpha_that_says_nothing_and_no_other() -> None:
    Path("set").mkdir()
    photographs()
    Path("set/merged/a.jpg").unlink()
    pixels, alpha = np.array(Image.open("one/a.png")), np.full((16, 18, 1), 255, np.uint8)
    Image.fromarray(np.concatenate([pixels, alpha], 2)).save("set/merged/a.png")
    ((_, y),) = TrimapFolders("set").pairs(Path()).pairs
    assert torch.equal(y[0, :3].permute(1, 2, 0), torch.from_numpy(pixels))
    alpha[3, 4] = 254
    Image.fromarray(np.concatenate([pixels, alpha], 2)).save("set/merged/a.png")
    with pytest.raises(ValueError, match=r"a.png gives no image \(RGBA pixels, neither 8-bit grey nor RGB"):
        TrimapFolders("set").pairs(Path())


def test_foregrounds_with_alpha_in_a_folder_of_its_own() -> None:
    files()
    whole = data().foregrounds["train"]
    for pair in [*whole, *data().foregrounds["test"]]:
        rgba = pair.x[0].permute(1, 2, 0).numpy()
        for part, pixels in (("fg", rgba[..., :3]), ("alpha", rgba[..., 3])):
            Path("apart", part).mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.ascontiguousarray(pixels)).save(Path("apart", part, pair.name))
    apart = data(foregrounds=["apart"])
    found = {pair.name: pair.x for part in apart.foregrounds.values() for pair in part}
    assert len(found) == 6
    for pair in whole:
        assert torch.equal(found[Path(pair.name).stem], pair.x)
    Path("apart/alpha/0.png").unlink()
    with pytest.raises(ValueError, match="apart: fg/0 has no alpha of its size in alpha: put it there"):
        _ = data(foregrounds=["apart"]).foregrounds


def test_a_trimap_of_a_test_knows_foreground_and_background() -> None:
    files()
    thin = np.zeros((16, 18, 4), np.uint8)
    thin[2:14, 4:6, 3] = 255
    for i in range(6):
        Image.fromarray(thin).save(f"fore/{i}.png")
    for _, y in data(band=(4, 9)).test_set.pairs:
        assert {0, 255} <= set(y[:, 3].flatten().tolist())


PHOTOGRAPHS = {
    "no trimap": ("set/trimap/a.png", None, "set: a has no trimap in trimap: put it there"),
    "size": ("set/trimap/a.png", (5, 5), "set: trimap of a: 5 x 5 px, and the picture is 18 x 16: give a trimap"),
    "alpha": ("set/alpha/a.png", (5, 5), "set: alpha of a is 5 x 5 px, the picture 18 x 16: restore them"),
}


@pytest.mark.parametrize("case", PHOTOGRAPHS)
def test_bad_photographs_are_one_sentence(case: str) -> None:
    path, size, sentence = PHOTOGRAPHS[case]
    Path("set").mkdir()
    photographs()
    Path(path).unlink()
    if size is not None:
        Image.new("L", size, 128).save(path)
    else:
        Image.new("L", (18, 16)).save("set/trimap/b.png")
    files()
    with pytest.raises(ValueError, match=sentence):
        data(photographs=[TrimapFolders("set")]).pairs()

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

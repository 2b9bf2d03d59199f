"""Pictures and styles: colours by hand, guides, and the sentences for bad files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import place
from PIL import Image
from torch import Tensor

from datamodules.functional.quantise import UNIT, to_uint8
from datamodules.style import StyledImages, StyledPicture, recoloured, square

pytestmark = pytest.mark.usefixtures(place.__name__)


def save(name: str, H: int, W: int, seed: int = 0, channels: int = 3) -> Tensor:
    pixels = np.random.RandomState(seed).randint(0, 256, (H, W, channels), dtype=np.uint8)
    Path(name).parent.mkdir(exist_ok=True)
    Image.fromarray(pixels.squeeze()).save(name)
    return torch.from_numpy(pixels).permute(2, 0, 1)[None]


def in_bytes(x: Tensor) -> Tensor:
    return to_uint8(x, UNIT)


def picture(**settings: Any) -> StyledPicture:
    return StyledPicture(**{"styles": ["s.png"], "side": None, "style_side": 8, "root": ".", **settings})


def test_a_batch_is_the_content_its_styles_and_where_they_are() -> None:
    content, mask = save("c.png", 12, 16), save("m.png", 12, 16, 3, 1)
    styles = [save("s.png", 8, 8, 1), save("t.png", 8, 12, 2)]
    x, y, guide = picture(content="c.png", styles=["s.png", "t.png"], mask="m.png").batch
    assert torch.equal(in_bytes(x), content)
    assert torch.equal(in_bytes(guide), mask)
    assert torch.equal(in_bytes(y), torch.stack([styles[0], styles[1][..., 2:10]], 1))
    x, y, guide = picture().batch  # a texture: nothing but the style
    assert torch.equal(x, y[:, 0])
    assert guide.shape == (1, 1, 8, 8)
    assert bool((guide == 1).all())
    assert picture(content="c.png", side=6).out_shape == (3, 6, 8)


def test_styles_can_take_the_contents_colours() -> None:
    torch.manual_seed(0)
    grey = torch.linspace(90, 150, 64).view(1, 1, 8, 8)
    style = (grey + torch.tensor([10.0, 0, -10]).view(1, 3, 1, 1) + 5 * torch.randn(1, 3, 8, 8)).to(torch.uint8)
    content = (100 + 12 * torch.randn(1, 3, 32, 32)).clamp(0, 255).to(torch.uint8)
    moved = recoloured(style, content).double().flatten(2)[0]
    wanted = content.double().flatten(2)[0]
    assert torch.allclose(moved.mean(1), wanted.mean(1), atol=0.5)
    assert torch.allclose(moved.cov(), wanted.cov(), atol=6)  # of 144: rounded to bytes
    assert torch.equal(recoloured(content, content), content)
    flat = recoloured(torch.full((1, 3, 4, 4), 7, dtype=torch.uint8), content)  # no colours to move
    assert flat.float().std() < 30
    Image.fromarray(content[0].permute(1, 2, 0).numpy()).save("c.png")
    Image.fromarray(style[0].permute(1, 2, 0).numpy()).save("s.png")
    _, y, _ = picture(content="c.png", colours="content").batch
    assert torch.equal(in_bytes(y[:, 0]), recoloured(style, content))


def test_training_has_patches_and_looks_have_squares() -> None:
    (content, style) = save("c.png", 20, 24), save("s.png", 16, 16, 1)
    data = StyledImages(["s.png"], [], ["c.png"], side=16, patch=8, batch_size=4, root=".")
    ((x, y, guide),) = data.held_out()
    assert x.shape == (1, 3, 16, 16)
    assert torch.equal(in_bytes(x), square(content, 16, "c.png"))
    assert torch.equal(in_bytes(y[:, 0]), style)
    assert bool((guide == 1).all())
    assert torch.equal(in_bytes(data.whole_styles), style)
    drawn = in_bytes(data.damaged(torch.zeros(5, 3, 8, 8)))
    windows = style.unfold(2, 8, 1).unfold(3, 8, 1).permute(0, 2, 3, 1, 4, 5).reshape(-1, 3, 8, 8)
    for patch in drawn:
        assert any(torch.equal(patch, w) or torch.equal(patch, w.flip(2)) for w in windows)


SENTENCES = {
    "no styles": ({"styles": []}, "there is no style: set data.init_args.styles"),
    "a style with alpha": ({"styles": ["a.png"]}, r"a\.png gives no image \(RGBA pixels, neither 8-bit grey nor RGB"),
    "an absent style": ({"styles": ["none.png"]}, "none.png: absent; it should be an image file"),
    "a small style": ({"style_side": 99}, "s.png is 8 x 8 px, smaller than 99: give a larger image, or a smaller side"),
    "a small content": ({"content": "c.png", "side": 99}, "c.png is 16 x 12 px, smaller than 99"),
    "another mask": (
        {"content": "c.png", "mask": "s.png"},
        "the mask s.png is 8 x 8 px, the content c.png 16 x 12: make them equal",
    ),
    "a mask of nothing": ({"mask": "s.png"}, "without a content there is nothing to mask or to take colours of"),
}


@pytest.mark.parametrize("case", SENTENCES)
def test_bad_files_are_one_sentence(case: str) -> None:
    settings, sentence = SENTENCES[case]
    save("c.png", 12, 16)
    save("s.png", 8, 8)
    save("a.png", 8, 8, channels=4)
    with pytest.raises((ValueError, FileNotFoundError), match=sentence):
        _ = picture(**settings).batch


def test_an_absent_training_style_is_said_before_the_first_step() -> None:
    save("f/c.png", 20, 24)
    data = StyledImages(["none.png"], ["f"], test_styles=[], patch=8, batch_size=1, root=".")
    with pytest.raises(FileNotFoundError, match=r"none\.png: absent"):
        data.setup("fit")

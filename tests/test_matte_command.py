"""``atelier matte``: what it writes, which trimap goes with which picture, and one sentence for what is wrong."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import place, refused
from PIL import Image
from restore_runs import run
from torch import Tensor, nn

from datamodules.functional.matting import composed
from experiments.cli import main
from lightning_modules.networks.base import Network

pytestmark = pytest.mark.usefixtures(place.__name__)

FAMILY = "lightning_modules.matting.DeepMatting"


class Quarter(Network):
    """w everywhere, of pictures whose sides are multiples of 8."""

    multiple = 8

    def __init__(self, w: float = 0.25) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(w))

    def forward(self, y: Tensor) -> Tensor:
        assert not any(side % 8 for side in y.shape[2:])
        return self.w.expand_as(y[:, 3:])


def save(path: str, pixels: np.ndarray) -> np.ndarray:
    Path(path).parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


def photo(path: str = "p.png", H: int = 10, W: int = 13) -> np.ndarray:
    return save(path, np.random.RandomState(0).randint(0, 256, (H, W, 3), dtype=np.uint8))


def trimap(path: str = "t.png", H: int = 10, W: int = 13) -> np.ndarray:
    levels = np.zeros((H, W), np.uint8)
    levels[:, 4:8], levels[:, 8:] = 128, 255
    return save(path, levels)


def quarter() -> str:
    return str(run(f"{__name__}.Quarter", FAMILY))


def opened(path: str) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_alpha_cut_out_and_composite_of_one_picture() -> None:
    pixels, levels = photo(), trimap()
    assert main(["matte", quarter(), "p.png", "--trimap", "t.png", "--background", "#00ff00"]) == 0
    alpha, cut, made = (opened(f"matted/p-{what}.png") for what in ("alpha", "foreground", "composite"))
    assert np.array_equal(alpha, np.where(levels == 128, 64, levels))
    assert np.array_equal(cut[..., 3], alpha)
    assert np.array_equal(cut[levels == 255][:, :3], pixels[levels == 255])
    assert np.array_equal(made[levels == 255], pixels[levels == 255])
    assert (made[levels == 0] == (0, 255, 0)).all()
    front, share = (torch.from_numpy(part.astype(np.float32)) / 255 for part in (cut[..., :3], alpha))
    by_hand = composed(front, share[..., None], torch.tensor([0.0, 1.0, 0.0])) * 255
    assert np.abs(by_hand.numpy() - made).max() <= 1.01  # foreground and alpha were rounded


def test_a_folder_goes_by_names_and_a_background_covers_each_picture(capfd: pytest.CaptureFixture[str]) -> None:
    photo("in/a.png")
    photo("in/b.png", 8, 9)
    trimap("tri/a.png")
    trimap("tri/b.png", 8, 8)
    save("ground.png", np.full((3, 30, 3), 40, np.uint8))
    assert main(["matte", quarter(), "in", "--trimap", "tri", "--background", "ground.png", "--out", "out"]) == 0
    assert (opened("out/a-composite.png")[:, :4] == 40).all()
    assert not Path("out/b-alpha.png").exists()
    assert "skipped b.png: its trimap b.png: 8 x 8 px, and the picture is 9 x 8" in capfd.readouterr().out


def test_what_a_picture_of_16_bits_loses_is_said(capfd: pytest.CaptureFixture[str]) -> None:
    trimap()
    Image.fromarray(np.arange(130, dtype=np.uint16).reshape(10, 13) * 500).save("deep.png")
    assert main(["matte", quarter(), "deep.png", "--trimap", "t.png"]) == 0
    assert "lost: 16 bits (deep.png)" in capfd.readouterr().out


class Padded(Quarter):
    """Reflects more than a small picture has."""

    def forward(self, y: Tensor) -> Tensor:
        return super().forward(nn.functional.pad(y, (20, 20, 20, 20), "reflect")[:, :, 20:-20, 20:-20])


def test_a_picture_that_is_too_small_for_the_network_costs_one_sentence(capfd: pytest.CaptureFixture[str]) -> None:
    photo()
    trimap()
    folder = str(run(f"{__name__}.Padded", FAMILY))
    assert "Padded takes no picture of 13 x 10 px: " in refused(capfd, "matte", folder, "p.png", "--trimap", "t.png")


def test_a_method_without_its_library_costs_one_sentence(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    photo()
    trimap()
    monkeypatch.setitem(sys.modules, "pymatting", None)
    said = refused(capfd, "matte", "matting/closed_form_emoji", "p.png", "--trimap", "t.png")
    assert "ClosedFormMatting needs pymatting: pip install 'lightning-atelier[matting]'" in said


SENTENCES = {
    "no trimap": (["p.png"], "matte needs a trimap: `atelier matte RUN_DIR p.png --trimap TRIMAP_OR_FOLDER`"),
    "absent": (["p.png", "--trimap", "x.png"], "there is no trimap at x.png: give an image that is 0 for background"),
    "other size": (["q.png", "--trimap", "t.png"], "its trimap t.png: 13 x 10 px, and the picture is 5 x 5"),
    "nothing unknown": (["p.png", "--trimap", "black.png"], "black.png: black and white alone: give 128 where alpha"),
    "clear": (
        ["clear.png", "--trimap", "t.png"],
        "clear.png (the picture is transparent in parts, its alpha is known already)",
    ),
    "ground": (
        ["p.png", "--trimap", "t.png", "--background", "nox"],
        "--background nox is no image file, nor a",
    ),
}


@pytest.mark.parametrize("case", SENTENCES)
def test_what_is_wrong_is_one_sentence(case: str, capfd: pytest.CaptureFixture[str]) -> None:
    words, sentence = SENTENCES[case]
    photo()
    photo("q.png", 5, 5)
    trimap()
    save("black.png", np.zeros((10, 13), np.uint8))
    save("clear.png", np.zeros((10, 13, 4), np.uint8))
    assert sentence in refused(capfd, "matte", quarter(), *words)


def test_another_family_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    photo()
    trimap()
    other = str(run("Brighter"))
    said = refused(capfd, "matte", other, "p.png", "--trimap", "t.png")
    assert "ReconstructionModule finds no alpha: give a run of a family such as DeepMatting" in said

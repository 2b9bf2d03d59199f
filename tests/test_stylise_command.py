"""``atelier stylise``: strength, several styles, masks, colours; one sentence for what is wrong."""

from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import place, refused
from PIL import Image
from restore_runs import run
from torch import Tensor, nn
from torch.nn.functional import interpolate

from experiments.cli import main
from lightning_modules.networks.base import FeatureMaps, Network
from lightning_modules.style_transfer import AdaptiveStyle

pytestmark = pytest.mark.usefixtures(place.__name__)


class Halved(FeatureMaps):
    """Means of 2 x 2 px: one layer."""

    title, widths = "halved", {"a": 3}

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        assert not any(side % 2 for side in x.shape[2:])
        return {"a": interpolate(x, scale_factor=0.5, mode="area")}


class Doubled(Network):
    """Each value four times, times w."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(1.0))

    def forward(self, maps: Tensor) -> Tensor:
        return interpolate(maps, scale_factor=2) * self.w


def adain() -> str:
    style = "lightning_modules.losses.style."
    terms = [
        {"class_path": f"{style}Content", "init_args": {"layers": ["a"]}},
        {"class_path": f"{style}MomentStyle", "init_args": {"layers": ["a"]}},
    ]
    family, features = "lightning_modules.style_transfer.AdaptiveStyle", {"class_path": f"{__name__}.Halved"}
    return str(run(f"{__name__}.Doubled", family, key="decoder", features=features, terms=terms))


def save(path: str, pixels: np.ndarray) -> np.ndarray:
    Path(path).parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


def noise(path: str, H: int, W: int, low: int, high: int) -> np.ndarray:
    return save(path, np.random.RandomState(low).randint(low, high, (H, W, 3), dtype=np.uint8))


def made(*options: str) -> np.ndarray:
    out = f"out{len(list(Path().iterdir()))}"
    assert main(["stylise", "run", "p.png", "--style", "s.png", *options, "--out", out]) == 0
    return np.asarray(Image.open(Path(out, "p.png"))).astype(float)


def halved(pixels: np.ndarray) -> np.ndarray:
    """What the decoder makes of the content's own features."""
    x = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float()
    return interpolate(interpolate(x, scale_factor=0.5, mode="area"), scale_factor=2)[0].permute(1, 2, 0).numpy()


def test_strength_styles_and_masks() -> None:
    adain()
    content = noise("p.png", 8, 10, 0, 100)
    noise("s.png", 12, 12, 150, 250)
    noise("t.png", 12, 12, 60, 160)
    plain, full = made("--strength", "0"), made()
    assert np.abs(plain - halved(content)).max() <= 1  # the decoder's reconstruction
    assert abs(full.mean() - np.asarray(Image.open("s.png")).mean()) < 5
    half = made("--strength", "0.5")
    assert np.abs(half - (plain + full) / 2).max() <= 1.01
    other = made("--style", "t.png")
    assert np.abs(made("--style", "s.png,t.png", "--weights", "0,2") - other).max() <= 1
    mask = np.zeros((8, 10), np.uint8)
    mask[:, 6:] = 255
    save("m.png", mask)
    mixed = made("--mask", "m.png")
    assert np.abs(mixed[:, :6] - plain[:, :6]).max() <= 1
    assert np.abs(mixed[:, 6:] - full[:, 6:]).max() <= 1
    kept = made("--keep_colours")
    assert abs(kept.mean() - content.mean()) < 8


def test_odd_sides_come_back_as_they_were() -> None:
    adain()
    noise("p.png", 7, 9, 0, 255)
    noise("s.png", 12, 12, 0, 255)
    assert made().shape == (7, 9, 3)


def test_what_a_picture_of_16_bits_loses_is_said(capfd: pytest.CaptureFixture[str]) -> None:
    adain()
    save("p.png", np.arange(80, dtype=np.uint16).reshape(8, 10) * 800)
    noise("s.png", 12, 12, 0, 255)
    assert made().shape == (8, 10, 3)
    assert "lost: 16 bits (p.png)" in capfd.readouterr().out


SENTENCES = {
    "no style": ([], "stylise needs a style: `atelier stylise RUN_DIR p.png --style IMAGE[,IMAGE...]`"),
    "absent": (["--style", "x.png"], "there is no style at x.png"),
    "alpha": (["--style", "a.png"], "a.png has alpha, and a style is everywhere: give an image without"),
    "weights": (["--style", "s.png", "--weights", "1,2"], "--weights has 2 for 1 styles: give one of each, not all 0"),
    "strength": (["--style", "s.png", "--strength", "2"], "--strength is 2: give 0 (as it is) to 1 (the style)"),
    "number": (["--style", "s.png", "--strength", "much"], "--strength expects numbers of 0 or more, got 'much'"),
    "mask": (["--style", "s.png", "--mask", "s.png"], "its mask s.png: 12 x 12 px, and the image is 8 x 8"),
}


@pytest.mark.parametrize("case", SENTENCES)
def test_what_is_wrong_is_one_sentence(case: str, capfd: pytest.CaptureFixture[str]) -> None:
    words, sentence = SENTENCES[case]
    adain()
    noise("p.png", 8, 8, 0, 255)
    noise("s.png", 12, 12, 0, 255)
    save("a.png", np.zeros((4, 4, 4), np.uint8))
    assert sentence in refused(capfd, "stylise", "run", "p.png", *words)


def test_another_family_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    run("Brighter")
    noise("p.png", 8, 8, 0, 255)
    said = refused(capfd, "stylise", "run", "p.png", "--style", "p.png")
    assert "ReconstructionModule takes no style: give a run of AdaptiveStyle" in said


def test_what_the_network_does_not_take_is_skipped_and_told(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    adain()
    noise("p.png", 8, 8, 0, 255)
    noise("s.png", 12, 12, 0, 255)

    def refusing(*_: object) -> Tensor:
        raise RuntimeError("Output size is too small")

    monkeypatch.setattr(AdaptiveStyle, "transfer", refusing)
    assert main(["stylise", "run", "p.png", "--style", "s.png"]) == 2
    said = capfd.readouterr().err
    assert "atelier: nothing was stylised of p.png: p.png (AdaptiveStyle takes no picture of 8 x 8 px: " in said
    assert "Traceback" not in said

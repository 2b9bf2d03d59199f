"""``atelier restore --mask``: what is filled and what stays, which mask goes with which picture, and one sentence."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from command_line import place, refused
from restore_runs import change, noise, opened, put, restored, run
from torch import Tensor, nn

from datamodules.functional.borders import mirrored
from experiments.cli import main
from lightning_modules.networks.base import Discriminator, Filler

pytestmark = pytest.mark.usefixtures(place.__name__)

FAMILY = "lightning_modules.inpainting.Inpainting"


class Paint(Filler):
    """w everywhere."""

    def __init__(self, w: float = 0.2) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(w))

    def forward(self, y: Tensor, hole: Tensor) -> Tensor:
        return self.w.expand_as(y[:, :3])


class Beside(Filler):
    """What it is given one px below and to the right, its sides multiples of 8."""

    multiple = 8

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(1.0))

    def forward(self, y: Tensor, hole: Tensor) -> Tensor:
        self.check(*y.shape[2:])
        assert hole.shape == (1, 1, *y.shape[2:])
        return y[:, :3].roll((-1, -1), (2, 3)) * self.gain


class Noise(Filler):
    """Its last channel, which is noise."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(1.0))

    def forward(self, y: Tensor, hole: Tensor) -> Tensor:
        assert y.shape[1] == 4
        return (y[:, 3:] * self.gain).sigmoid().expand(-1, 3, -1, -1)


class Judge(Discriminator):
    def __init__(self) -> None:
        super().__init__()
        self.blocks, self.w = nn.Sequential(), nn.Parameter(torch.tensor(1.0))

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.w * x.mean((1, 2, 3))


def filler(kind: str = "Paint", name: str = "run", **settings: Any) -> str:
    return str(run(kind if "." in kind else f"{__name__}.{kind}", FAMILY, name, **settings))


def mask(H: int, W: int, path: str = "m.png", at: tuple[slice, slice] = np.s_[3:7, 2:9]) -> np.ndarray:
    """A mask file of one box, and where its hole is."""
    pixels = np.zeros((H, W), np.uint8)
    pixels[at] = 255
    return put(pixels, path) == 255


@pytest.mark.parametrize(("shape", "high"), [((20, 30, 3), 256), ((20, 30, 4), 256), ((20, 30), 65536)])
def test_the_hole_is_filled_and_every_other_byte_stays(shape: tuple[int, ...], high: int, capfd: Any) -> None:
    pixels, hole = put(noise(*shape, high=high)), mask(20, 30)
    result = restored(filler(), "a.png", "--mask", "m.png", "--strip")
    assert result.dtype == pixels.dtype
    assert np.array_equal(result[~hole], pixels[~hole])
    colours = (result if result.ndim == 2 else result[:, :, :3])[hole]
    assert (colours == round(0.2 * (high - 1))).all()
    if shape[2:] == (4,):
        assert np.array_equal(result[:, :, 3], pixels[:, :, 3])
    assert capfd.readouterr().out.splitlines()[0] == "toy (raw weights, last): fills holes, in one piece"
    strip = opened("restored/a-strip.png")
    assert (strip[:, :30][hole] == 255).all()
    if high == 256 and shape[2:] != (4,):
        assert np.array_equal(strip[:, :30][~hole], pixels[~hole])
        assert np.array_equal(strip[:, 30:], result)


def test_the_averaged_weights_fill() -> None:
    hole = mask(8, 9)
    put(noise(8, 9, 3))
    folder = filler(ema={"half_life_kimg": 1})
    change(Path(folder), "network.w", 0.9)
    change(Path(folder), "ema.net.w", 0.4)
    assert (restored(folder, "a.png", "--mask", "m.png")[hole] == 102).all()


def test_sides_that_are_no_multiples_are_mirrored_and_cut_off_again() -> None:
    pixels, hole = put(noise(13, 10, 3)), mask(13, 10, at=np.s_[12:, 8:])
    result = restored(filler("Beside"), "a.png", "--mask", "m.png")
    assert result.shape == (13, 10, 3)
    assert np.array_equal(result[~hole], pixels[~hole])
    assert np.array_equal(result[12, 8], pixels[11, 9])  # row 13 is row 11 again, and column 10 is 8
    assert np.array_equal(result[12, 9], pixels[11, 8])
    image = torch.arange(3.0).view(1, 1, 3, 1)
    assert mirrored(image, 8)[0, 0, :, :].tolist() == [[place] * 8 for place in (0, 1, 2, 1, 0, 1, 2, 1)]
    assert torch.equal(mirrored(image, 1), image)


def test_what_the_mask_hides_is_not_seen_and_the_network_gets_its_trainings_colour() -> None:
    pixels, hole = put(noise(16, 16, 3)), mask(16, 16)
    folder = filler("lightning_modules.networks.gated_refine.RefinedGatedNetwork", network={"width": 2, "rate": 1})
    first = restored(folder, "a.png", "--mask", "m.png")
    assert not np.array_equal(first[hole], pixels[hole])
    hidden = pixels.copy()
    hidden[hole] = 77
    put(hidden, "b.png")
    assert np.array_equal(restored(folder, "b.png", "--mask", "m.png", name="b.png")[hole], first[hole])
    told = Path(filler("Beside", "told"))
    config = yaml.safe_load((told / "config.yaml").read_text())
    config["data"] = {"class_path": "datamodules.inpainting.HoledImages", "init_args": {"fill": [0.2, 0.4, 0.6]}}
    (told / "config.yaml").write_text(yaml.safe_dump(config))
    result = restored(str(told), "a.png", "--mask", "m.png", "--out", "restored/told", name="told/a.png")
    assert np.array_equal(result[4, 4], [51, 102, 153])


def test_eight_turns_turn_the_hole_too() -> None:
    pixels, hole = put(noise(16, 16, 3)), mask(16, 16, at=np.s_[5:6, 7:8])
    result = restored(filler("Beside"), "a.png", "--mask", "m.png", "--ensemble")
    assert np.array_equal(result[~hole], pixels[~hole])
    corners = [pixels[5 + a, 7 + b].astype(float) for a in (-1, 1) for b in (-1, 1)]  # each comes up twice
    assert np.abs(result[5, 7] - sum(corners) / 4).max() <= 0.51


def test_a_network_of_many_answers_gives_the_same_one_again() -> None:
    folder = run(
        f"{__name__}.Noise", "lightning_modules.restoration_gan.InpaintingRestorationGAN", key="generator",
        discriminator={"class_path": f"{__name__}.Judge"}, z_dim=1,
    )  # fmt: skip
    hole = mask(8, 9)
    for name in ("a", "b"):
        put(noise(8, 9, 3), f"in/{name}.png")
    results = []
    for what, out in (("in", "all"), ("in/b.png", "one")):
        assert main(["restore", str(folder), what, "--mask", "m.png", "--out", out]) == 0
        results += [opened(str(path)) for path in sorted(Path(out).iterdir())]
    assert len(results) == 3
    assert all(np.array_equal(result, results[0]) for result in results)
    assert len(np.unique(results[0][hole])) == 1


def test_masks_of_a_folder_go_by_their_names_and_what_does_not_fit_is_counted(capfd: Any) -> None:
    holes = {}
    for i, name in enumerate(("a", "deep/b", "c", "d", "e")):
        put(noise(8, 9, 3, seed=i, high=200), f"in/{name}.png")
        holes[name] = mask(8, 9, f"masks/{name}.bmp", np.s_[i : i + 2, i : i + 3])
    mask(9, 8, "masks/c.bmp")
    put(np.full((8, 9), 3, np.uint8), "masks/d.bmp")
    put(np.dstack([np.full((8, 9), 255, np.uint8)] + [np.zeros((8, 9), np.uint8)] * 2), "masks/e.bmp")
    mask(8, 9, "masks/unused.png")
    assert main(["restore", filler(), "in", "--mask", "masks"]) == 0
    said = capfd.readouterr().out
    for name in ("a", "deep/b"):
        changed = (opened(f"restored/{name}.png") != opened(f"in/{name}.png")).any(2)
        assert np.array_equal(changed & ~holes[name], np.zeros((8, 9), bool))
        assert (opened(f"restored/{name}.png")[holes[name]] == 51).all()
    assert "2 of 5 images restored" in said
    assert "skipped c.png: its mask c.bmp: 8 x 9 px, and the image is 9 x 8: give one of the image's size" in said
    assert "skipped d.png: its mask d.bmp: holds 3: give 0 and 255 alone" in said
    assert "skipped e.png: its mask e.bmp: holds colours: give black and white alone" in said
    Path("masks/a.bmp").unlink()
    assert refused(capfd, "restore", "run", "in", "--mask", "masks").startswith(
        "masks holds no mask a.png for a.png: give one for each image, or a single mask for all"
    )
    mask(8, 9, "masks/a.png")
    mask(8, 9, "masks/a.gif")
    assert "a.gif and a.png in masks are each the mask of one image" in refused(
        capfd, "restore", "run", "in", "--mask", "masks"
    )


def test_one_mask_serves_all_images_of_its_size(capfd: Any) -> None:
    put(noise(8, 9, 3), "in/a.png")
    put(noise(8, 9, 3, seed=1), "in/b.png")
    put(noise(8, 8, 3), "in/c.png")
    hole = mask(8, 9)
    assert main(["restore", filler(), "in", "--mask", "m.png"]) == 0
    for name in ("a", "b"):
        assert (opened(f"restored/{name}.png")[hole] == 51).all()
    assert "skipped c.png: its mask m.png: 9 x 8 px, and the image is 8 x 8" in capfd.readouterr().out


def test_a_mask_without_holes_changes_nothing_and_one_of_nothing_else_changes_all() -> None:
    pixels, folder = put(noise(8, 9, 3)), filler()
    put(np.zeros((8, 9), np.uint8), "none.png")
    put(np.full((8, 9, 4), 255, np.uint8), "all.png")
    assert np.array_equal(restored(folder, "a.png", "--mask", "none.png"), pixels)
    all_of_it = restored(folder, "a.png", "--mask", "all.png", "--out", "restored/all", name="all/a.png")
    assert (all_of_it == 51).all()


class Padded(Paint):
    """Reflects more than a small picture has."""

    def forward(self, y: Tensor, hole: Tensor) -> Tensor:
        return super().forward(nn.functional.pad(y, (9, 9, 9, 9), "reflect")[:, :, 9:-9, 9:-9], hole)


def test_a_picture_that_is_too_small_for_the_network_costs_one_sentence(capfd: Any) -> None:
    put(noise(8, 12, 3), "p.png")
    mask(8, 12)
    folder = filler("Padded")
    assert "Padded takes no picture of 12 x 8 px: " in refused(capfd, "restore", folder, "p.png", "--mask", "m.png")


def test_mistakes_cost_one_sentence(capfd: Any) -> None:
    put(noise(16, 17, 3))
    mask(16, 17)
    put(np.full((16, 17), 128, np.uint8), "grey.png")
    put(np.dstack([np.full((16, 17), 255, np.uint8), noise(16, 17)]), "clear.png")
    Path("bad.png").write_bytes(b"no picture")
    filler()
    filler("lightning_modules.networks.context_encoder.ContextEncoder", "square", network={"size": 16, "width": 2})
    run("Brighter", name="plain")
    Path("restored").mkdir()
    for words, sentence in MISTAKES.items():
        assert sentence in refused(capfd, "restore", *words.split()), words
    assert "--mask MASK_OR_FOLDER` says where" in refused(capfd, "translate", "run", "a.png")


MISTAKES = {
    "run a.png": "Inpainting fills holes, and a picture alone names none: `atelier restore RUN_DIR IMAGE",
    "run a.png --mask": "--mask stands without a value",
    "run a.png --mask absent.png": "there is no mask at absent.png: give an image that is white where",
    "run a.png --mask bad.png": "nothing was restored of a.png: a.png (its mask bad.png: not an image",
    "run a.png --mask grey.png": "a.png (its mask grey.png: holds 128: give 0 and 255 alone, 255 where",
    "run a.png --mask clear.png": "a.png (its mask clear.png: transparent in parts",
    "run a.png --mask m.png --tile 64": "a picture with holes is restored in one piece: leave out --tile and --overlap",
    "run a.png --mask m.png --overlap 0": "in one piece",
    "run a.png --mask m.png --scale 2": "keeps a picture's size: leave out --scale 2",
    "plain a.png --mask m.png": "ReconstructionModule fills no holes: leave out --mask",
    "square a.png --mask m.png": "a.png (it is 17 x 16 px, and this ContextEncoder fills 16 x 16 px alone",
}

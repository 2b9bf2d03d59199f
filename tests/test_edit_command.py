"""``atelier edit``: each tool writes a sheet and its numbers, and says in one sentence what a generator lacks."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import place, refused
from PIL import Image, ImageSequence
from restore_runs import run

from experiments.cli import main

pytestmark = pytest.mark.usefixtures(place.__name__)
NETWORKS = "lightning_modules.networks."


def styled() -> str:
    G = {"size": 32, "channels": 1, "z_dim": 8, "w_dim": 6, "mapping_layers": 1, "widths": [32, 4]}
    D = {
        "class_path": f"{NETWORKS}stylegan_discriminator.StyleGAN2Discriminator",
        "init_args": {"size": 32, "channels": 1, "widths": [32, 4]},
    }
    family = "lightning_modules.stylegan.StyleGAN"
    return str(run(f"{NETWORKS}stylegan2.StyleGAN2Generator", family, key="generator", network=G, discriminator=D))


def plain(**settings: Any) -> str:
    G: dict[str, Any] = {"size": 8, "channels": 1, "z_dim": 4, "width": 4}
    D = {"class_path": f"{NETWORKS}dcgan.DCGANDiscriminator", "init_args": {"size": 8, "channels": 1, "width": 4}}
    family = "lightning_modules.gan.GAN"
    settings = {"network": G, "discriminator": D, **settings}
    return str(run(f"{NETWORKS}dcgan.DCGANGenerator", family, key="generator", **settings))


def edited(folder: str, task: str, *options: str) -> tuple[tuple[int, int], dict[str, Any]]:
    for kind in ("png", "json"):
        Path(f"{task}.{kind}").unlink(missing_ok=True)
    assert main(["edit", folder, task, *options, "--out", f"{task}.png"]) == 0
    with Image.open(f"{task}.png") as sheet:
        return sheet.size, json.loads(Path(f"{task}.json").read_text())


def sides(columns: int, rows: int, side: int = 32) -> tuple[int, int]:
    return columns * (side + 2) + 2, rows * (side + 2) + 2


def test_every_tool_writes_a_sheet_and_its_numbers() -> None:
    folder = styled()
    assert edited(folder, "between", "--count", "2", "--columns", "3")[0] == sides(3, 2)
    assert edited(folder, "truncate", "--count", "1")[1]["shares"][0] == 0
    size, facts = edited(folder, "mix", "--count", "2", "--layers", "0,2-3")
    assert size == sides(3, 3)
    assert (facts["layers"], facts["space"]) == ([0, 2, 3], "w+")
    size, facts = edited(folder, "sefa", "--count", "3", "--columns", "5")
    assert size == sides(5, 3)
    assert facts["strengths"] == sorted(facts["strengths"], reverse=True)
    assert len(edited(folder, "ganspace", "--count", "2")[1]["strengths"]) == 2
    assert edited(folder, "vary", "--count", "3", "--space", "z")[0] == sides(4, 1)
    Image.fromarray(np.full((32, 32), 90, np.uint8)).save("x.png")
    size, facts = edited(folder, "invert", "--image", "x.png,x.png", "--steps", "2", "--space", "w+")
    assert size == sides(2, 2)
    assert len(facts["psnr"]) == 2
    size, facts = edited(folder, "invert", "--count", "3", "--steps", "2")
    assert (size, len(facts["psnr"]), len(facts["code_error"])) == (sides(3, 2), 3, 3)
    assert edited(folder, "mix", "--image", "x.png,x.png", "--steps", "2", "--layers", "1")[0] == sides(3, 3)
    for more in (("--by", "encoder", "--teach", "2"), ("--by", "both", "--teach", "2", "--steps", "2")):
        assert edited(folder, "invert", "--image", "x.png", *more)[0] == sides(1, 2)


def test_sample_draws_w_towards_its_mean(capfd) -> None:
    folder = styled()

    def grid(*options: str) -> np.ndarray:
        capfd.readouterr()
        assert main(["sample", folder, *options]) == 0
        with Image.open(capfd.readouterr().out.strip()) as picture:
            return np.asarray(picture)[2:-2, 2:-2].reshape(-1)

    def spread(psi: str) -> float:
        capfd.readouterr()
        assert main(["sample", folder, "--truncation", psi, "--count", "6", "--out", psi]) == 0
        images = np.stack([np.asarray(Image.open(file)) for file in sorted(Path(psi).glob(f"*-psi{psi}-*.png"))])
        return float(images.astype(float).std(0).mean())

    assert (grid("--truncation", "1") == grid()).all()
    assert (grid("--truncation", "0.5") != grid()).any()
    assert spread("0") < spread("0.5") < spread("1")  # at 0 the synthesis' own noise is left
    assert "--truncation expects numbers of 0 or more, got 'x'" in refused(capfd, "sample", folder, "--truncation", "x")


def test_sample_says_where_there_is_no_mean_w(capfd) -> None:
    assert "keeps no mean w" in refused(capfd, "sample", plain(), "--truncation", "0.5")


def test_a_way_as_an_animation_goes_there_and_back() -> None:
    assert main(["edit", plain(), "between", "--columns", "5", "--count", "4", "--out", "way.webp"]) == 0
    with Image.open("way.webp") as animation:
        assert animation.size == sides(2, 2, 8)
        frames = [np.asarray(frame.convert("L")) for frame in ImageSequence.Iterator(animation)]
    assert len(frames) == 8
    assert all(np.array_equal(frames[i], frames[-i]) for i in range(1, 4))
    assert not np.array_equal(frames[0], frames[4])
    assert json.loads(Path("way.json").read_text())["task"] == "between"


def test_the_sheet_goes_beside_the_run() -> None:
    assert main(["edit", plain(), "between", "--seed", "3"]) == 0
    (sheet,) = Path("run/edits").glob("*.png")
    assert sheet.name == "between-step7-seed3.png"
    assert json.loads(sheet.with_suffix(".json").read_text())["space"] == "z"


SENTENCES = {
    "task": (["jump"], "edit does one of between, truncate, mix, sefa, ganspace, attribute, invert, vary"),
    "space": (["between", "--space", "y"], "--space is y: choose of z, w, w+"),
    "no w": (["between", "--space", "w"], "DCGANGenerator has no w: that needs a generator with styles"),
    "no layers": (["mix"], "DCGANGenerator has no w+: that needs a generator with styles"),
    "sefa in z": (["sefa"], "sefa reads what makes styles of w, and a DCGANGenerator's z has none"),
    "many": (["ganspace", "--count", "9"], "9 directions are asked for: give 1 up to 4"),
    "towards": (["attribute", "--class", "1", "--by", "luck"], "--by is luck: choose of means, separator"),
    "class": (["attribute"], "attribute needs --class K, the class to be seen, and the space z or w"),
    "classifier": (
        ["attribute", "--class", "1"],
        "mnist-cnn does not read this G's images: choose another with --clas",
    ),
    "size": (["invert", "--image", "x.png"], "an image of [1, 9, 9] is none of the generator's, which are [1, 8, 8]"),
    "label": (["between", "--label", "1"], "DCGANGenerator knows no classes: leave the class out"),
    "by": (["invert", "--image", "x.png", "--by", "luck"], "--by is luck: choose of steps, encoder, both"),
    "ignored": (["between", "--image", "nowhere.png"], "--image has no meaning for between: leave it out"),
    "reach": (["vary", "--strength", "far"], "--strength expects numbers of 0 or more, got 'far'"),
}


def test_what_had_no_meaning_beside_the_rest_is_said_and_loses_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(np.zeros((8, 8), np.uint8)).save("x.png")
    assert main(["edit", plain(), "invert", "--image", "x.png", "--steps", "2", "--count", "3", "--teach", "5"]) == 0
    assert "--count, --teach had no meaning beside the other options" in capfd.readouterr().out
    assert len(list(Path("run/edits").glob("*.png"))) == 1


@pytest.mark.parametrize("case", SENTENCES)
def test_what_is_lacking_is_one_sentence(case: str, capfd: pytest.CaptureFixture[str]) -> None:
    words, sentence = SENTENCES[case]
    folder = plain()
    Image.fromarray(np.zeros((9, 9), np.uint8)).save("x.png")
    assert sentence in refused(capfd, "edit", folder, *words)


def test_layers_that_there_are_not(capfd: pytest.CaptureFixture[str]) -> None:
    folder = styled()
    assert "--layers expects numbers such as 4,5 or 2-7, got 'a'" in refused(
        capfd, "edit", folder, "mix", "--layers", "a"
    )
    assert "layers [40]: this generator has 0 to 7" in refused(capfd, "edit", folder, "mix", "--layers", "40")

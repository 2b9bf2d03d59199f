"""``atelier explain``: each task writes a sheet and its numbers, and says in one sentence what a network lacks."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import place, refused
from PIL import Image
from restore_runs import run
from test_edit_command import NETWORKS, plain, sides

from experiments.cli import main

pytestmark = pytest.mark.usefixtures(place.__name__)
CNN = {"channels": 1, "num_classes": 10, "width": 4, "dim": 8}


def digits(size: int) -> dict[str, Any]:
    return {"class_path": "datamodules.digits.Digits", "init_args": {"size": size, "batch_size": 8}}


def classifier() -> str:
    return str(run(f"{NETWORKS}cnn.CNN", "lightning_modules.classifier.Classifier", data=digits(32), network=CNN))


def gan() -> str:
    return plain(data=digits(8))


def explained(folder: str, task: str, *options: str) -> tuple[tuple[int, int], dict[str, Any]]:
    for kind in ("png", "json"):
        Path(f"{task}.{kind}").unlink(missing_ok=True)
    assert main(["explain", folder, task, *options, "--out", f"{task}.png"]) == 0
    with Image.open(f"{task}.png") as sheet:
        return sheet.size, json.loads(Path(f"{task}.json").read_text())


def test_of_a_classifier() -> None:
    folder = classifier()
    size, facts = explained(folder, "activations", "--layer", "trunk.2", "--count", "3")
    assert size == sides(1 + 4, 3)
    assert (facts["maps"], facts["step"]) == ([4, 32, 32], 7)
    assert explained(folder, "visualise", "--layer", "trunk.5", "--units", "1,3", "--steps", "2")[0] == sides(2, 1)
    for task, more in {"gradcam": ["--layer", "trunk.2"], "gradients": [], "lime": ["--class", "3"]}.items():
        size, facts = explained(folder, task, "--count", "2", *more)
        assert size == sides(3, 2)
        assert len(facts["scores"]) == 2
        assert set(facts["deleted"]) == {"share", "fall", "fall_of_random"}
    assert facts["targets"] == [3, 3]
    Image.fromarray(np.full((32, 32, 3), 90, np.uint8)).save("x.png")
    assert explained(folder, "gradcam", "--image", "x.png", "--seed", "1")[0] == sides(3, 1)


def test_of_a_discriminator_and_a_generator() -> None:
    folder = gan()
    size, facts = explained(folder, "gradients", "--count", "2")
    assert (size, facts["targets"]) == (sides(3, 2, 8), [0, 0])
    size, facts = explained(folder, "ablate", "--layer", "layers.1", "--unit", "2", "--measure", "ink", "--count", "3")
    assert size == sides(3, 3, 8)
    assert (facts["unit"], facts["units"], facts["measure"]) == (2, 4, "ink")
    assert 0 < facts["on"] < 1


def test_of_images_among_real_ones() -> None:
    folder, identity = gan(), ("--extractor", "identity")
    size, facts = explained(folder, "tsne", *identity, "--count", "20")
    assert (size, facts["images"]) == ((1024, 1024), 40)
    assert facts["same_kind"] > 0.9  # noise and digits
    assert explained(folder, "spectrum", "--count", "50")[1]["spectrum"] > 1
    size, facts = explained(folder, "neighbours", *identity, "--count", "2")
    assert size == sides(8, 2, 8)
    assert facts["of"] > explained(folder, "neighbours", *identity, "--split", "test")[1]["of"]
    assert len(facts["distances"]) == 2


def test_the_sheet_goes_beside_the_run() -> None:
    assert main(["explain", gan(), "spectrum", "--count", "10", "--seed", "3"]) == 0
    (sheet,) = Path("run/explanations").glob("*.png")
    assert sheet.name == "spectrum-step7-seed3.png"
    assert json.loads(sheet.with_suffix(".json").read_text())["asked"] == {"--count": "10", "--seed": "3"}


def packed() -> str:
    inner = {"class_path": f"{NETWORKS}dcgan.DCGANDiscriminator", "init_args": {"size": 8, "channels": 2, "width": 4}}
    return plain(
        data=digits(8),
        discriminator={"class_path": f"{NETWORKS}packed.Packed", "init_args": {"discriminator": inner, "m": 2}},
    )


SENTENCES = {
    "packs": (packed, ["gradients"], "Packed judges packs or pairs, not single images, which could be explained"),
    "task": (gan, ["why"], "explain does one of activations, visualise, gradcam, gradients, lime, ablate, tsne"),
    "no layer": (gan, ["ablate"], "name a layer with --layer: DCGANGenerator has layers.0, layers.1"),
    "wrong layer": (classifier, ["activations", "--layer", "trunk.99"], "CNN has no layer 'trunk.99': it has 23 from"),
    "no maps": (classifier, ["activations", "--layer", "classify.1"], "the layer classify.1 puts out numbers, no maps"),
    "unit": (gan, ["ablate", "--layer", "layers.1", "--unit", "4"], "the layer layers.1 has units 0 to 3, not 4"),
    "units": (classifier, ["visualise", "--layer", "trunk.2", "--units", "a"], "--units expects numbers such as 0,3,5"),
    "measure": (gan, ["ablate", "--layer", "layers.1", "--measure", "age"], "--measure is age: choose of stroke_width"),
    "class": (classifier, ["lime", "--class", "10"], "--class is 10: CNN knows 0 to 9"),
    "label": (gan, ["gradients", "--label", "1"], "DCGANDiscriminator knows no classes: leave the class out"),
    "size": (gan, ["gradcam", "--image", "x.png"], "an image of [1, 9, 9] is none of the run's, which are [1, 8, 8]"),
    "kind": (gan, ["spectrum", "--out", "a.webp"], "--out is a.webp: give a file that ends in .png"),
    "beside": (gan, ["spectrum", "--out", "run/record.png"], "record.json"),
    "ignored": (gan, ["spectrum", "--layer", "layers.1"], "--layer has no meaning for spectrum: leave it out"),
    "split": (gan, ["tsne", "--split", "half"], "--split is half: choose of train, test"),
    "no generator": (classifier, ["ablate", "--layer", "trunk.0"], "Classifier has no generator"),
    "no images": (classifier, ["tsne"], "Classifier generates nothing to score"),
    "few": (gan, ["tsne", "--extractor", "identity", "--count", "2"], "--count expects a whole number of at least 4"),
}


@pytest.mark.parametrize("case", SENTENCES)
def test_what_is_lacking_is_one_sentence(case: str, capfd: pytest.CaptureFixture[str]) -> None:
    make, words, sentence = SENTENCES[case]
    folder = make()
    Image.fromarray(np.zeros((9, 9), np.uint8)).save("x.png")
    Path("run/record.json").write_text("{}")
    assert sentence in refused(capfd, "explain", folder, *words)

"""``atelier evaluate RESTORED TARGETS --metrics psnr``: the scores of ``fidelity``, by name, from any place."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import place, refused
from image_places import archive, folder, noise
from PIL import Image
from torch import Tensor

from experiments.cli import main
from lightning_modules.metrics.fidelity.metrics import fidelity
from lightning_modules.metrics.fidelity.protocol import FidelityProtocol

pytestmark = pytest.mark.usefixtures(place.__name__)


@pytest.fixture(autouse=True)
def no_weights(tmp_path_factory, monkeypatch):
    """Nowhere to find weights, and no network to ask."""
    nowhere = tmp_path_factory.mktemp("nowhere")
    monkeypatch.setenv("ATELIER_WEIGHTS", str(nowhere))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(nowhere))

    def fail(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)


def evaluated(*words: str) -> dict:
    """The JSON of one evaluation."""
    out = Path("out.json")
    out.unlink(missing_ok=True)
    assert main(["evaluate", *words, "--out", str(out)]) == 0
    return json.loads(out.read_text())


def means(report: dict) -> dict[str, float]:
    return {name: score["mean"] for name, score in report["scores"].items()}


def tensor(images: np.ndarray) -> Tensor:
    x = torch.from_numpy(images)
    return x[:, None] if x.ndim == 3 else x.permute(0, 3, 1, 2)


RESTORED, TARGETS = noise(3, (24, 20, 3), seed=1), noise(3, (24, 20, 3))


@pytest.fixture(autouse=True)
def pairs(place):
    folder("restored", RESTORED)
    folder("targets", TARGETS)


@pytest.mark.parametrize(
    ("options", "protocol"),
    [
        ([], FidelityProtocol()),
        (["--colour", "y8", "--shave", "2"], FidelityProtocol("y8", 2)),
        (["--colour", "y"], FidelityProtocol("y")),
    ],
)
def test_scores_are_those_of_fidelity(options, protocol):
    report = evaluated("restored", "targets", "--metrics", "psnr,ssim,mae", *options)
    wanted = fidelity(tensor(RESTORED), tensor(TARGETS), protocol)
    assert means(report) == pytest.approx(wanted, rel=1e-12)
    assert list(means(report)) == [f"{name}@{protocol.name}" for name in ("psnr", "ssim", "mae")]
    assert report["protocol"].items() >= protocol.as_dict().items()
    assert (report["protocol"]["targets"], report["protocol"]["images"]) == ("targets", 3)
    assert report["of"]["restored"] == "restored"
    assert report["seeds"] == []
    assert report["floor"] is None


def test_psnr_by_hand():
    # A shift of 5 grey levels: 20 log10(255 / 5) dB, and 5 / 255.
    folder("grey", np.full((2, 9, 9), 100, np.uint8))
    folder("shifted", np.full((2, 9, 9), 105, np.uint8))
    scores = means(evaluated("shifted", "grey", "--metrics", "mae,psnr", "--colour", "grey"))
    assert scores == pytest.approx({"mae@grey": 5 / 255, "psnr@grey": 20 * np.log10(51)}, rel=1e-12)


def test_every_place_gives_the_same_scores_and_hashes():
    archive("restored.zip", Path("restored"), "x4/")
    archive("targets.zip", Path("targets"))
    for name, images in (("restored", RESTORED), ("targets", TARGETS)):
        np.save(f"{name}.npy", images)
    places = [("restored", "targets"), ("restored.zip/x4", "targets.zip"), ("restored.npy", "targets.npy")]
    reports = [evaluated(*two, "--metrics", "psnr,ssim") for two in places]
    assert means(reports[0]) == means(reports[1]) == means(reports[2])
    assert len({(r["of"]["restored_sha256"], r["protocol"]["targets_sha256"]) for r in reports}) == 1
    swapped = evaluated("targets", "restored", "--metrics", "psnr,ssim")
    assert swapped["of"]["restored_sha256"] == reports[0]["protocol"]["targets_sha256"]
    assert swapped["of"]["restored_sha256"] != reports[0]["of"]["restored_sha256"]


def test_images_of_many_sizes_and_suffixes_pair_by_name():
    sizes = {"b": (12, 30), "a": (40, 11)}
    for kind, seed, suffix in (("x", 3, "png"), ("y", 4, "bmp")):
        Path(kind, "set").mkdir(parents=True)
        for name, size in sizes.items():
            Image.fromarray(noise(1, size, seed)[0]).save(Path(kind, "set", f"{name}.{suffix}"))
    each = [fidelity(tensor(noise(1, size, 3)), tensor(noise(1, size, 4)))["psnr@rgb"] for size in sizes.values()]
    assert means(evaluated("x", "y", "--metrics", "psnr")) == pytest.approx({"psnr@rgb": sum(each) / 2}, rel=1e-12)


@pytest.mark.parametrize("tag", range(1, 9))
def test_an_image_lies_as_its_exif_orientation_says(tag):
    turns = {  # how a viewer turns what is stored, EXIF 2.3
        1: lambda x: x,
        2: np.fliplr,
        3: lambda x: np.rot90(x, 2),
        4: np.flipud,
        5: lambda x: x.swapaxes(0, 1),
        6: lambda x: np.rot90(x, -1),
        7: lambda x: np.rot90(x, 2).swapaxes(0, 1),
        8: np.rot90,
    }
    exif = Image.Exif()
    exif[0x0112] = tag
    for name, images in (("stored", TARGETS), ("shown", [np.ascontiguousarray(turns[tag](x)) for x in TARGETS])):
        Path(name).mkdir()
        for i, image in enumerate(images):
            Image.fromarray(image).save(f"{name}/{i}.png", exif=exif if name == "stored" else None)
    report = evaluated("stored", "shown", "--metrics", "mae")
    assert means(report) == {"mae@rgb": 0}
    assert report["of"]["restored_sha256"] == report["protocol"]["targets_sha256"]


def test_equal_images_are_infinitely_good_and_the_json_is_strict(capsys):
    report = evaluated("targets", "targets", "--metrics", "psnr,ssim,mae")

    def refuse(word: str) -> float:
        raise AssertionError(f"{word} is no JSON")

    json.loads(Path("out.json").read_text(), parse_constant=refuse)
    assert report["scores"]["psnr@rgb"] == {"mean": None, "std": None, "values": [None]}
    assert means(report)["ssim@rgb"] == pytest.approx(1)
    assert means(report)["mae@rgb"] == 0
    assert "inf" in capsys.readouterr().out


def test_multi_scale_ssim_of_large_images():
    images = noise(1, (176, 176))
    folder("large", images)
    assert means(evaluated("large", "large", "--metrics", "ms_ssim")) == pytest.approx({"ms_ssim@rgb": 1})


def test_label_maps_by_the_nearest_colour_of_a_palette():
    # One row of four pixels: red, red, green, blue; one red made nearly green, and blue a dark blue.
    right = np.array([[(255, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255)]], np.uint8)
    made = np.array([[(200, 40, 30), (90, 160, 0), (0, 255, 0), (0, 20, 160)]], np.uint8)
    folder("right", right[None])
    folder("made", made[None])
    words = ("made", "right", "--palette", "red,lime,#0000ff", "--metrics")
    wanted = {"pixel_accuracy@3colours": 3 / 4, "class_iou@3colours": (1 / 2 + 1 / 2 + 1) / 3}
    report = evaluated(*words, "pixel_accuracy,class_iou,mae")
    assert means(report).items() >= wanted.items()
    assert set(means(report)) == {*wanted, "mae@rgb"}
    assert report["protocol"]["palette"] == "red,lime,#0000ff"
    assert means(evaluated(*words, "class_accuracy")) == {"class_accuracy@3colours": (1 / 2 + 1 + 1) / 3}


# --- what cannot be compared --------------------------------------------------------------------------------


def test_images_that_do_not_pair_up(capfd):
    Path("restored/0001.png").rename("restored/other.png")
    said = refused(capfd, "evaluate", "restored", "targets", "--metrics", "psnr")
    assert "1 images of restored have no namesake in targets, other the first" in said
    Path("restored/other.png").unlink()
    said = refused(capfd, "evaluate", "restored", "targets", "--metrics", "psnr")
    assert "1 images of targets have no namesake in restored, 0001 the first" in said


ODD = {
    "0001: The prediction is [1, 3, 9, 9] and the target [1, 3, 24, 20]": Image.new("RGB", (9, 9)),
    "0001: The prediction is grey and the target RGB": Image.new("L", (20, 24)),
    "0001.png gives no image (RGBA pixels": Image.new("RGBA", (20, 24)),
    "0001.png gives no image (I;16 pixels": Image.new("I;16", (20, 24)),
}


@pytest.mark.parametrize("message", ODD)
def test_a_pair_that_cannot_be_compared_is_named(capfd, message):
    ODD[message].save("restored/0001.png")
    assert message in refused(capfd, "evaluate", "restored", "targets", "--metrics", "psnr", "--out", "out.json")


MISTAKES = {
    "restored targets --metrics psnr --colour y9": "The colour 'y9' is unknown",
    "restored targets --metrics psnr --colour grey": "0000: The protocol compares grey images and these are RGB",
    "restored targets --metrics psnr --shave 10": "0000: Nothing is left of 24x20 images",
    "restored targets --metrics psnr,fid": "fid compares sets and not pairs",
    "restored targets --metrics fid,psnr": "fid compares sets and not pairs",
    "restored targets --metrics psnrr": "did you mean psnr?",
    "restored targets --metrics psnr,psnr": "psnr is named twice",
    "restored --metrics psnr": "psnr compares two places of images",
    "restored targets --metrics psnr --extractor identity": "--extractor has no meaning for pairs of images",
    "restored targets --metrics psnr --protocol mimicry": "--protocol has no meaning for pairs",
    "restored targets --metrics psnr --fakes 2": "--fakes has no meaning for pairs",
    "restored targets --metrics psnr --size 8": "--size has no meaning for pairs",
    "restored targets --metrics psnr --channels 1": "--channels has no meaning for pairs",
    "restored targets --metrics psnr --weights x": "--weights has no meaning for pairs",
    "restored targets --metrics psnr --seeds 2": "--seeds has no meaning for pairs",
    "restored targets --metrics psnr --hole x": "--hole has no meaning for two places of images",
    "restored targets --metrics lpips --shave 2": "--shave has no meaning",
    "restored targets --metrics lpips": "The AlexNet weights alexnet-owt-7be5be79.pth are absent",
    "restored targets --metrics psnr,lpips": "the download failed (no network)",
    "restored targets --metrics lpips --weights none.pth": "none.pth",
    "restored targets --metrics class_iou": "class_iou is of label maps: say with --palette",
    "restored targets --metrics psnr --palette facades": "--palette has no meaning for pairs",
    "restored targets --metrics class_iou --palette facades --shave 1": "--shave has no meaning for pairs",
    "restored targets --metrics class_iou --palette facade": "there is no palette 'facade': name facades, or",
    "restored targets --metrics class_iou --palette red,#ff0000": "red, #ff0000 are no palette",
    "restored targets --metrics class_iou --palette red,reddish": "'reddish' is no colour of a palette",
    "restored nowhere --metrics psnr": "nowhere: absent",
    "restored restored/0000.png --metrics psnr": "is one image",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_costs_one_sentence(capfd, line):
    assert MISTAKES[line] in refused(capfd, "evaluate", *line.split(), "--out", "out.json")

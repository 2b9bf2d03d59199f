"""``atelier evaluate IMAGES REFERENCE``: the scores of ``evaluate``, from every kind of place, and bad input."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import place, refused
from image_places import archive, everywhere, folder, noise
from noise_sets import own_cache
from PIL import Image

from datamodules.base import ImageSet
from datamodules.digits import Digits
from experiments.cli import main
from experiments.evaluate_sets import Watched
from experiments.score_report import ScoreReport, mean_and_std
from lightning_modules.metrics.evaluate import evaluate, protocol_for
from lightning_modules.metrics.extractors import Identity
from lightning_modules.metrics.frechet import FrechetDistance
from lightning_modules.metrics.prdc import PRDC
from lightning_modules.metrics.protocol import Protocol

pytestmark = pytest.mark.usefixtures(place.__name__, own_cache.__name__)
IDENTITY = ("--extractor", "identity")


def evaluated(*words: str) -> dict:
    out = Path("out.json")
    out.unlink(missing_ok=True)
    extractor = () if "--extractor" in words else IDENTITY
    assert main(["evaluate", *words, *extractor, "--out", str(out)]) == 0
    return json.loads(out.read_text())


def means(report: dict) -> dict[str, float]:
    return {name: score["mean"] for name, score in report["scores"].items()}


# --- the numbers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 3)])
def test_every_place_gives_the_same_scores_and_hashes(shape):
    places = everywhere(noise(30, shape))
    folder("reference", noise(40, shape, seed=1))
    archive("reference.zip", Path("reference"))
    reports = [evaluated(path, "reference") for path in places] + [evaluated("pictures", "reference.zip")]
    assert len({means(report)["fid@identity"] for report in reports}) == 1
    assert len({(r["of"]["fakes_sha256"], r["protocol"]["data_sha256"]) for r in reports}) == 1
    assert {report["protocol"]["data"] for report in reports} == {"reference"}
    swapped = evaluated("reference.zip", places[0])
    assert swapped["protocol"]["data_sha256"] == reports[0]["of"]["fakes_sha256"]


def test_scores_are_those_of_evaluate():
    fakes, reals = noise(230), noise(150, seed=1)
    np.save("fakes.npy", fakes)
    folder("reals", reals)
    x, y = (torch.from_numpy(images)[:, None] for images in (fakes, reals))
    reference = ImageSet("reals", "all", y, torch.zeros(150))
    metrics, extractor = [FrechetDistance(), PRDC()], Identity((1, 8, 8))

    def in_turn(n: int) -> torch.Tensor:  # blocks of 100, the last of which is filled up
        part = x[in_turn.at : in_turn.at + n]
        in_turn.at += n
        return torch.cat([part, x[: n - len(part)]])

    for count in (230, 120):
        in_turn.at = 0
        wanted = evaluate(in_turn, reference, protocol_for(reference, extractor, count, metrics), extractor, metrics)
        found = evaluated("fakes.npy", "reals", "--metrics", "fid,prdc", "--fakes", str(count))
        assert means(found) == wanted
        assert found["protocol"]["fakes"] == count
    Protocol(**found["protocol"])


def test_the_inception_score_of_files_that_lie_class_by_class_is_that_of_their_mixture():
    digits = Digits().reference("train")
    by_class = digits[0 : len(digits)][digits.labels.argsort()]
    np.save("digits.npy", by_class.numpy())
    report = evaluated("digits.npy", "digits.npy", "--metrics", "is", "--extractor", "digits-cnn")
    assert report["protocol"]["is_shuffle"] == 2020
    assert means(report)["is@digits-cnn"] > 8  # a split of one class has 1


def test_all_metrics_are_those_that_so_few_images_suffice_for():
    few, more = str(folder("few", noise(5))), str(folder("more", noise(20)))
    names = {name.split("@")[0] for name in means(evaluated(more, more, "--metrics", "all"))}
    assert {"fid", "precision", "nn_ratio"} <= names
    assert "kid" not in names
    for pair in ((few, more), (more, few)):
        Path("out.nn_p05.png").unlink()
        names = {name.split("@")[0] for name in means(evaluated(*pair, "--metrics", "all"))}
        assert "fid" in names
        assert not {"kid", "precision"} & names


def test_a_set_against_itself():
    place = str(folder("a", noise(20)))
    scores = means(evaluated(place, place, "--metrics", "fid,prdc,neighbours"))
    assert abs(scores["fid@identity"]) < 1e-3
    assert [scores[f"{name}@identity"] for name in ("precision", "recall", "coverage")] == [1, 1, 1]
    # An open ball that reaches to the 5th other holds its centre and 4 others: 5 of the 5 that density counts by.
    assert scores["density@identity"] == 1
    assert scores["nn_median@identity"] == scores["nn_ratio@identity"] == 0


def test_a_change_that_is_allowed_is_said(capsys):
    folder("a", noise(5, (16, 16)))
    folder("b", noise(5, (12, 12, 3)))
    report = evaluated("a", "b", "--size", "8", "--channels", "1")
    assert report["of"]["files"] == "centre crop, lanczos to 8 px, grey"
    assert report["protocol"]["resolution"] == "1x8x8"
    assert "files changed: centre crop, lanczos to 8 px, grey" in capsys.readouterr().out
    assert evaluated("a", "a")["of"]["files"] == "as they are"


def test_a_preset_says_what_files_do_not_tell(capsys):
    folder("a", noise(5))
    report = evaluated("a", "a", "--protocol", "mimicry", "--metrics", "fid")
    assert report["departures"]["weights"] == ["raw", "as in the files"]
    assert report["seeds"] == []
    assert "seeds" not in report["departures"]
    assert "otherwise than mimicry: weights is as in the files, there raw" in capsys.readouterr().out


def test_names_that_look_like_markup_are_printed_as_they_are(capsys):
    for name in ("[red]a", "b[/b]"):
        folder(name, noise(3))
    evaluated("[red]a", "b[/b]")
    assert "[red]a against b[/b]" in capsys.readouterr().out


def test_what_is_left_is_told_by_the_pass_itself(monkeypatch, capsys):
    now = 0.0
    monkeypatch.setattr("datamodules.inspection.time.monotonic", lambda: now)
    watch = Watched(ImageSet("a", "all", torch.zeros(300, 1, 2, 2).byte(), torch.zeros(300)), "looked at")
    for _ in range(2):
        now += 1000  # something else is done before each pass
        assert len(watch[0:1]) == 1
        assert capsys.readouterr().out == ""
        for start in (0, 100):
            watch[start : start + 100]
            now += 4
        assert "100 of 300 looked at, 8 s left" in capsys.readouterr().out


def test_scores_that_are_not_finite_are_null():
    assert mean_and_std([2.0]) == (2.0, None)
    assert mean_and_std([1.0, 3.0]) == pytest.approx((2.0, 2**0.5))
    rows = [{"psnr": float("inf")}, {"psnr": float("nan")}]
    report = ScoreReport("", {}, {}, rows, floor={"psnr": float("inf")})
    report.show()
    assert report.as_dict()["scores"] == {"psnr": {"mean": None, "std": None, "values": [None, None]}}
    assert report.as_dict()["floor"] == {"psnr": None}


# --- bad input ----------------------------------------------------------------------------------------------


@pytest.fixture
def bad(place):
    """Two good folders, and what else is typed by mistake."""
    for name, images in {
        "a": noise(6),
        "b": noise(6, seed=1),
        "large": noise(6, (12, 12)),
        "rgb": noise(6, (8, 8, 3)),
        "rgba": noise(6, (8, 8, 4)),
        "one": noise(1),
        **dict.fromkeys(("sizes", "colours", "corrupt"), noise(6)),
    }.items():
        folder(name, images)
    Path("empty").mkdir()
    Image.new("L", (9, 9)).save("sizes/x.png")
    Image.new("RGB", (8, 8)).save("colours/x.png")
    Path("corrupt/x.png").write_bytes(Path("a/0000.png").read_bytes()[:-40])
    np.save("nan.npy", np.full((6, 8, 8), np.nan, np.float32))
    np.save("range.npy", noise(6).astype(np.float32))
    np.save("four.npy", noise(6, (8, 8, 4)))
    np.save("ok.npy", noise(6))


MISTAKES = {
    # images
    "sizes b": "sizes: 1 of 7 files do not fit or give no image, such as x.png (9 x 9 and not 8 x 8)",
    "a sizes": "sizes: 1 of 7 files",
    "a large": "a holds gray 8x8 and large gray 12x12: bring both to one size",
    "a rgb": "a holds gray 8x8 and rgb RGB 8x8: bring both to one size and to the same channels",
    "ok.npy rgb": "ok holds gray 8x8 and rgb RGB 8x8",
    "colours b": "x.png (colour and not grey)",
    "rgba rgb": "0000.png (with alpha)",
    "rgb rgba --size 8": "0000.png (with alpha)",
    "corrupt b": "x.png (damaged",
    "one b": "A score needs at least two images on each side, here are 1 fakes",
    "b one": "and 1 real ones",
    "empty b": "empty holds no images",
    "a nowhere": "nowhere: absent",
    "a a/0000.png": "a/0000.png is one image: give the folder",
    "nan.npy b": "NaN",
    "range.npy b": "reach from",
    "four.npy b": "without alpha",
    "a b --fakes 7": "a holds 6 images, and --fakes 7 asks for more",
    # metrics, protocols, extractors
    "a b --metrics kid": "needs at least 1000 images on each side: there are 6 fakes and 6 real images",
    "a b --metrics is": "InceptionScore needs logits, which the extractor identity does not have",
    "a b --metrics neighbours,fidd": "did you mean fid?",
    "a b --metrics fid,fid": "fid is named twice",
    "a b --metrics all,fid": "all stands alone",
    "a b --metrics ,": "choose of fid, is,",
    "a b --protocol mimicri": "the nearest is 'mimicry'",
    "a b --extractor identiti": "There is no extractor 'identiti'",
    "a b --extractor inception": "weights-inception-2015-12-05",
    "a b --extractor digits-cnn": "The extractor digits-cnn reads gray 32x32 images, these are gray 8x8",
    # options
    "a b --extracter identity": "did you mean --extractor?",
    "a b --banana 3": "--banana has no meaning for two places of images",
    "a b c": "c has no meaning for two places",
    "a b --config smoke": "--config has no meaning for two places",
    "a b --seeds 2": "--seeds has no meaning for two sets of images",
    "a b --split test": "--split has no meaning",
    "a b --floor no": "--floor has no meaning",
    "a b --ckpt best": "--ckpt has no meaning",
    "a b --shave 2": "--shave has no meaning for two sets",
    "a b --colour y8": "--colour has no meaning for two sets",
    "ok.npy ok.npy --size 8": "--size has no meaning for two arrays",
    "a b --fakes 1": "--fakes expects a whole number of at least 2, got '1'",
    "a b --size 0": "--size expects a whole number of at least 1",
    "a b --size 99999": "The size is 99999",
    "a b --channels 2": "The channels are 2",
    "a b --background 256": "The background is 256",
    "a b --metrics": "write --metrics VALUE",
    "a b --out a": "a exists and is not overwritten",
    "a b --out ok.npy/x.json": "ok.npy/x.json cannot be written",
    "--metrics fid a b": "evaluate begins with what to score",
    "a b --cache show": "--cache show stands alone",
    "--cache clear --fakes 3": "--cache clear stands alone",
    "--cache nonsense": "--cache expects show or clear",
    # runs
    "a": "a is no run directory, it holds no config.yaml",
    "tiny.yaml": "tiny.yaml is no run directory",
    "gan/dcgan_digits": "evaluate needs trained weights",
    "nowhere": "nowhere is no run directory",
    "nowhere.ckpt": "there is no checkpoint at nowhere.ckpt",
    "classifier/cnn_digits32 --ckpt x.ckpt": "Classifier generates nothing to score: give the run of a generator",
    "tiny.yaml --ckpt x.ckpt": "there is no checkpoint at x.ckpt",
    "tiny.yaml --ckpt x.ckpt --size 8": "--size has no meaning for a run",
    "tiny.yaml --ckpt x.ckpt --shave 2": "--shave has no meaning for a run",
    "tiny.yaml --ckpt x.ckpt --floor maybe": "--floor expects yes or no, got 'maybe'",
    "tiny.yaml --ckpt x.ckpt --split val": "--split expects train or test, got 'val'",
    "tiny.yaml --ckpt x.ckpt --seeds 0": "--seeds expects a whole number of at least 1",
    "tiny.yaml --ckpt x.ckpt --metrics psnr": "psnr compares two places of images",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_costs_one_sentence(bad, capfd, monkeypatch, tmp_path_factory, line):
    def fail(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setenv("ATELIER_WEIGHTS", "nowhere")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path_factory.getbasetemp()))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    words = line.split()
    extractor = () if {"--extractor", "--extracter", "--cache"} & set(words) else IDENTITY
    # the options may not be taken for the value of the last word
    said = refused(capfd, "evaluate", *words, *(() if words[-1] == "--metrics" else extractor))
    assert MISTAKES[line] in said


def test_a_run_without_checkpoint_and_a_checkpoint_with_another(capfd):
    Path("run/checkpoints").mkdir(parents=True)
    Path("run/config.yaml").write_text(Path("tiny.yaml").read_text())
    assert "last.ckpt: the run has none" in refused(capfd, "evaluate", "run")
    assert "best.ckpt: the run has none" in refused(capfd, "evaluate", "run", "--protocol", "studiogan-v0.4")
    Path("run/checkpoints/last.ckpt").write_bytes(b"junk")
    assert "last.ckpt is no checkpoint, or a damaged one" in refused(capfd, "evaluate", "run")
    said = refused(capfd, "evaluate", "run/checkpoints/last.ckpt", "--ckpt", "best")
    assert "run/checkpoints/last.ckpt is a checkpoint already: leave out --ckpt" in said

"""``atelier restore``: what is kept of a file and what is said; mistakes cost one sentence."""

import errno
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import ROOT, place, refused
from PIL import Image, ImageCms
from restore_runs import (
    FAMILY,
    change,
    noise,
    opened,
    put,
    restored,
    run,
    tensor,
)

from datamodules.functional.resize import bicubic_by
from experiments import restore as restoring
from experiments.bench.mixed import deep
from experiments.cli import main
from experiments.restore_pictures import reserved

pytestmark = pytest.mark.usefixtures(place.__name__)


def test_a_picture_is_restored_and_what_it_took_is_said(capfd):
    pixels = put(noise(20, 30, 3, high=240))
    result = restored(str(run("Brighter")), "a.png")
    assert np.array_equal(result, pixels + 10)
    said = capfd.readouterr().out.splitlines()
    assert said[0] == "toy (raw weights, last): x1, reads rgb, tiles of 256 px, 0 px around each"
    assert re.fullmatch(
        r"1 of 1 images restored: 0\.0 megapixels in [\d.]+ s, [\d.]+ a second, peak memory [\d,]+ MB", said[1]
    )
    assert said[2] == "restored"


def test_the_averaged_weights_are_applied():
    folder = run("Brighter", ema={"half_life_kimg": 1})
    change(folder, "network.gain", 100 / 255)
    change(folder, "ema.net.gain", 20 / 255)
    pixels = put(noise(20, 30, 3, high=200))
    assert np.array_equal(restored(str(folder / "checkpoints" / "last.ckpt"), "a.png"), pixels + 20)


def test_alpha_is_kept_and_enlarged_by_bicubic():
    pixels = put(noise(40, 30, 4))
    assert np.array_equal(restored(str(run("Brighter", network={"gain": 0.0})), "a.png"), pixels)
    result = restored(
        *(str(run("Twice", FAMILY, "twice")), "a.png", "--tile", "16", "--out", "restored/x2"), name="x2/a.png"
    )
    assert np.array_equal(result[:, :, :3], pixels[:, :, :3].repeat(2, 0).repeat(2, 1))
    assert np.array_equal(result[:, :, 3], bicubic_by(tensor(pixels[:, :, 3]), 2)[0, 0].numpy())
    put(noise(40, 30, 2), "grey.png")
    assert np.array_equal(restored("run", "grey.png", name="grey.png"), noise(40, 30, 2))


def test_sixteen_bits_of_grey_are_kept():
    pixels = put(noise(20, 30, high=65536))
    result = restored(str(run("Brighter", network={"gain": 0.0, "channels": 1}, colour="grey")), "a.png", "--strip")
    assert result.dtype == np.uint16
    assert np.array_equal(result, pixels)
    strip = opened("restored/a-strip.png")
    assert strip.dtype == np.uint8
    assert np.array_equal(strip, np.hstack([np.round(pixels / 257).astype(np.uint8)] * 2))


def test_what_is_lost_is_said(capfd):
    levels = np.arange(0, 36, 2, dtype=np.uint16).reshape(6, 3)
    Path("a.png").write_bytes(deep(np.stack([levels << 8 | 255] * 6)))
    result = restored(str(run("Brighter", network={"gain": 0.0})), "a.png")
    assert np.array_equal(result[0], levels)  # the high bytes
    assert (
        "  lost: the low bytes of 16-bit colour or alpha, which Pillow does not read (a.png)" in capfd.readouterr().out
    )
    frames = [Image.fromarray(noise(8, 8, seed=seed)) for seed in (1, 2)]
    frames[0].save("b.gif", save_all=True, append_images=frames[1:])
    restored("run", "b.gif", name="b.png")
    assert "lost: all frames but the first (b.gif)" in capfd.readouterr().out


def test_orientation_is_applied_and_the_profile_kept():
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter clockwise
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    pixels = put(noise(20, 30, 3), exif=exif, icc_profile=profile)
    assert np.array_equal(restored(str(run("Brighter", network={"gain": 0.0})), "a.png"), np.rot90(pixels, -1))
    with Image.open("restored/a.png") as image:
        assert image.info["icc_profile"] == profile


def test_the_strip_is_before_and_after():
    pixels = put(noise(20, 30, 3))
    result = restored(str(run("Twice", FAMILY)), "a.png", "--strip", "--tile", "8")
    strip = opened("restored/a-strip.png")
    assert np.array_equal(strip[:, 60:], result)
    assert np.array_equal(strip[:, :60], bicubic_by(tensor(pixels), 2)[0].permute(1, 2, 0).numpy())


def test_a_folder_is_restored_below_its_own_names_and_damage_is_counted(capfd):
    folder = run("Brighter")
    put(noise(8, 9, 3, seed=1, high=240), "in/a.png")
    put(noise(8, 9, seed=2, high=240), "in/deep/b.bmp")
    put(noise(8, 9, 3, seed=3), "in/c.jpg")
    put(noise(8, 9, 3, seed=4), "in/c.png")
    Path("in/d.png").write_bytes(Path("in/a.png").read_bytes()[:60])
    Path("in/notes.txt").write_text("no picture")
    assert main(["restore", str(folder), "in", "--out", "in/out"]) == 0
    said = capfd.readouterr().out
    assert {str(p.relative_to("in/out")) for p in Path("in/out").rglob("*.*")} == {"a.png", "deep/b.png", "c.png"}
    assert np.array_equal(opened("in/out/deep/b.png"), noise(8, 9, seed=2, high=240) + 10)
    assert "3 of 5 images restored" in said
    assert "  skipped c.png: its result would be called as that of c.jpg, rename one of them" in said
    assert "  skipped d.png: damaged" in said
    before = {p: p.read_bytes() for p in Path("in").rglob("*.*") if p.is_file()}
    error = refused(capfd, "restore", str(folder), "in", "--out", "in/out")  # and out is not read
    assert error.startswith("nothing was restored of in: a.png (in/out/a.png exists and is not overwritten")
    assert {p: p.read_bytes() for p in Path("in").rglob("*.*") if p.is_file()} == before


def test_a_name_that_another_process_has_taken_is_not_taken_too():
    path = Path("out") / "a.png"
    with reserved(path):
        with pytest.raises(FileExistsError), reserved(path):
            pass
        assert path.exists()


def test_what_a_killed_process_left_empty_is_written_anew():
    put(noise(8, 9, 3, high=240))
    Path("restored").mkdir()
    Path("restored/a.png").touch()
    assert restored(str(run("Brighter")), "a.png").shape == (8, 9, 3)


def test_a_folder_within_what_is_written_to_is_read_all_the_same():
    folder = str(run("Brighter"))
    put(noise(8, 9, 3, high=230), "restored/a.png")
    assert main(["restore", folder, "restored", "--out", "twice"]) == 0
    assert main(["restore", folder, "twice", "--out", "."]) == 0
    assert np.array_equal(opened("a.png"), noise(8, 9, 3, high=230) + 20)


def test_a_full_disk_leaves_nothing(monkeypatch, capfd):
    folder = run("Brighter")
    put(noise(8, 9, 3))
    Path("restored").mkdir()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(restoring, "save", full)
    assert "No space left on device" in refused(capfd, "restore", str(folder), "a.png", code=1)


def test_a_picture_too_large_for_the_memory_ends_in_a_sentence(monkeypatch, capfd):
    folder = run("Brighter")
    put(noise(8, 9, 3))
    Path("restored").mkdir()
    monkeypatch.setattr(restoring, "save", lambda *_: torch.empty(1 << 50))
    said = refused(capfd, "restore", str(folder), "a.png", code=1)
    assert "a.png is too large for the memory: make it smaller, or its tiles" in said


# --- mistakes ---------------------------------------------------------------------------------------------------


def test_mistakes_cost_one_sentence(capfd):
    put(noise(8, 9, 3))
    Path("bad.png").write_bytes(b"no picture")
    Path("empty").mkdir()
    run("Brighter", name="x1")
    run("Twice", FAMILY, "x2")
    run("Twice", FAMILY, "many", network={"scales": [2, 3]})
    run("Everywhere", name="everywhere")
    run("Two", name="two")
    run("Brighter", name="unsaid", network={"channels": 1})
    run("lightning_modules.networks.cnn.CNN", "lightning_modules.classifier.Classifier", "classes", network=CNN)
    for words, sentence in MISTAKES.items():
        assert sentence in refused(capfd, "restore", *words.split()), words


CNN = {"num_classes": 10, "channels": 1}
MISTAKES = {
    "": "`atelier restore RUN_DIR IMAGE_OR_FOLDER`",
    "x1": "`atelier restore RUN_DIR IMAGE_OR_FOLDER`",
    "x1 a.png b.png": "b.png is one place too many",
    "x1 absent.png": "absent.png: absent; give an image, or a folder of images",
    "x1 empty": "empty holds no images",
    "x1 bad.png": "nothing was restored of bad.png: bad.png (not an image",
    "x1 a.png --out bad.png": "bad.png is no folder",
    "x1 a.png --scale 2": "Brighter keeps a picture's size: leave out --scale 2",
    "x1 a.png --scale two": "--scale expects a whole number of at least 1, got 'two'",
    "x1 a.png --checkpoint best": "the run has last",
    "x1 a.png --ckpt best": "the run has last",
    "x1 a.png --overlp 3": "did you mean --overlap?",
    "x2 a.png --scale 3": "this Twice knows the scale 2, not 3",
    "many a.png": "knows the scales 2 and 3: choose one with --scale",
    "everywhere a.png": "give --tile 0 to restore in one piece, or --overlap N",
    "two a.png": "Two takes no picture of 3 channels alone",
    "unsaid a.png": "1 channels are read): restore is for networks from one picture to another, and model.colour says",
    "classes a.png": "Classifier restores no pictures",
    "nothing.ckpt a.png": "there is no checkpoint at nothing.ckpt",
    "fsrcnn-x9 a.png": "fsrcnn-x9 is no run directory, checkpoint or shipped network",
    "empty a.png": "holds no config.yaml",
}


def test_what_a_run_does_not_say_of_its_colours_can_be_said():
    pixels = put(noise(20, 30, 3, high=240))
    folder = run("Brighter", network={"channels": 1})
    assert np.array_equal(restored(str(folder), "--model.colour", "grey", "a.png"), pixels + 10)


def test_a_network_that_sees_everything_works_in_one_piece():
    pixels = put(noise(20, 30, 3))
    assert np.array_equal(restored(str(run("Everywhere")), "a.png", "--tile", "0"), pixels)


def test_help_imports_no_torch():
    code = """
import sys
from experiments.cli import main
assert main(["restore", "--help"]) == 0
assert not {"torch", "numpy", "PIL"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)

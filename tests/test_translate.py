"""``atelier translate``: the value range, sizes, both directions, noise by seed; mistakes cost one sentence."""

import numpy as np
import pytest
from command_line import place, refused
from PIL import Image
from restore_runs import FAMILY, noise, opened, put, run, spelled

from experiments.cli import main

pytestmark = pytest.mark.usefixtures(place.__name__)
ALONE = "lightning_modules.pix2pix.Translation"
CYCLE = "lightning_modules.cyclegan.CycleGAN"
UNET = "lightning_modules.networks.unet.UNet"


def translated(*words: str) -> np.ndarray:
    assert main(["translate", *words]) == 0
    return opened("translated/a.png")


def test_values_are_those_of_the_family(capfd):
    pixels = put(noise(20, 30, 3, high=200))
    made = translated(str(run("Brighter", ALONE, network={"gain": 20 / 127.5})), "a.png", "--strip")
    assert np.array_equal(made, pixels + 20)  # of a range that is two wide
    assert np.array_equal(opened("translated/a-strip.png"), np.hstack([pixels, made]))
    assert "toy (raw weights, last): pictures as they are" in capfd.readouterr().out


def test_pictures_are_resized_as_in_training_where_asked():
    pixels = put(noise(40, 30, 4))
    made = translated(str(run("Brighter", ALONE, network={"gain": 0.0})), "a.png", "--size", "16")
    image = Image.fromarray(pixels)
    parts = [part.resize((16, 16), Image.Resampling.BICUBIC) for part in image.split()]
    assert np.array_equal(made, np.dstack([np.asarray(part) for part in parts]))


def test_sizes_that_a_network_cannot_halve_are_padded_and_cut_again():
    put(noise(37, 21, 3))
    folder = str(run(UNET, ALONE, network={"depth": 4, "width": 2}))
    made = translated(folder, "a.png")
    assert made.shape == (37, 21, 3)
    put(np.pad(opened("a.png"), ((0, 11), (0, 11), (0, 0)), mode="edge"), "padded/a.png")
    assert main(["translate", folder, "padded/a.png", "--out", "whole"]) == 0
    assert np.array_equal(opened("whole/a.png")[:37, :21], made)


def test_both_directions_of_a_cycle(capfd):
    judges = {
        name: spelled("lightning_modules.networks.patchgan.PatchGAN")
        for name in ("discriminator", "back_discriminator")
    }
    other = {"back_generator": spelled("Brighter", gain=-10 / 127.5), **judges}
    folder = str(run("Brighter", CYCLE, key="generator", network={"gain": 20 / 127.5}, **other))
    pixels = put(noise(20, 30, 3, low=20, high=200))
    assert np.array_equal(translated(folder, "a.png"), pixels + 20)
    for to, difference in (("x", 20), ("y", -10)):
        assert main(["translate", folder, "a.png", "--to", to, "--out", to]) == 0
        assert np.array_equal(opened(f"{to}/a.png").astype(int), pixels.astype(int) + difference)
    assert "--to is z: this network makes x or y" in refused(capfd, "translate", folder, "a.png", "--to", "z")


def test_noise_is_of_the_seed():
    put(noise(64, 64, 3))
    folder = str(run(UNET, ALONE, network={"depth": 6, "width": 2}))
    found = []
    for out, seed in (("one", "1"), ("again", "1"), ("two", "2")):
        assert main(["translate", folder, "a.png", "--seed", seed, "--out", out]) == 0
        found.append(opened(f"{out}/a.png"))
    assert np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


def test_noise_of_a_picture_is_the_same_alone_and_after_others():
    for name in ("a", "b"):
        put(noise(64, 64, 3), f"both/{name}.png")
    folder = str(run(UNET, ALONE, network={"depth": 6, "width": 2}))
    assert main(["translate", folder, "both", "--out", "both-made"]) == 0
    assert main(["translate", folder, "both/b.png", "--out", "alone"]) == 0
    assert np.array_equal(opened("both-made/b.png"), opened("alone/b.png"))


def test_a_picture_too_small_for_the_network_is_skipped(capfd):
    put(noise(1, 1, 3), "some/a.png")
    put(noise(20, 20, 3), "some/b.png")
    kind = "lightning_modules.networks.translator.Translator"
    folder = str(run(kind, ALONE, network={"blocks": 1, "width": 2}))
    assert main(["translate", folder, "some"]) == 0
    assert opened("translated/b.png").shape == (20, 20, 3)
    said = capfd.readouterr().out
    assert "skipped a.png: Translator takes no picture of 1 x 1 px: " in said
    assert "1 of 2 images" in said


def test_mistakes_are_one_sentence(capfd):
    put(noise(20, 20, 3))
    folder = str(run("Brighter", ALONE))
    for words, sentence in {
        (folder,): "translate needs a network and pictures",
        (folder, "nowhere"): "nowhere",
        (folder, "a.png", "--size", "0"): "--size",
        (folder, "a.png", "--to", "y"): "--to is y: this network makes x",
        (folder, "a.png", "--tile", "3"): "--tile",
        (folder, "a.png", "--seed", str(2**64)): "--seed expects a whole number below 2^63",
        ("pix2pix/pix2pix_facades128", "a.png"): "`atelier translate EXPERIMENT --ckpt FILE`",
        (str(run("Twice", FAMILY, "twice")), "a.png"): "Twice enlarges pictures: `atelier restore` applies it",
    }.items():
        assert sentence in refused(capfd, "translate", *words)
    assert main(["translate", folder, "a.png"]) == 0
    assert "translated/a.png exists and is not overwritten" in refused(capfd, "translate", folder, "a.png")

"""Denoising on the command line, and one sentence for a setting that cannot be followed."""

import math
from pathlib import Path

import pytest
from command_line import place
from test_bad_input import refused
from test_denoising import HERE, NOISY, jpeg, made, noisy
from test_super_resolution import said

from datamodules.denoising import BlindGaussian, Gaussian, Poisson
from experiments.cli import main
from lightning_modules.metrics.fidelity.protocol import FidelityProtocol
from lightning_modules.metrics.fidelity.unclipped import UnclippedPSNR

pytestmark = pytest.mark.usefixtures(place.__name__, made.__name__)


def test_the_command_line_trains_and_tests_it(capsys):
    options = [*HERE, "--data.train", "[mine/train]", "--data.shrink", "[1.0]", "--data.patch", "16"]
    options += ["--model.network.depth", "3", "--model.network.width", "8", "--data.batch_size", "4"]
    jsonl = "lightning_modules.callbacks.loggers.JsonlLogger"
    options += ["--clock.g_steps", "30", "--clock.validations", "1", "--trainer.logger", jsonl]
    assert main(["fit", "denoising/dncnn25_train400", *options, "--trainer.precision", "32-true"]) == 0
    (run,) = {path.parent for path in Path("runs").rglob("config.yaml")}
    assert len(list((run / "samples").glob("restored-*.png"))) == 1
    capsys.readouterr()
    assert main(["test", str(run)]) == 0
    scores = said(capsys)
    noise = 20 * math.log10(255 / 25)
    assert scores["test/Made-s25/psnr@grey-unclipped"] > noise + 0.5


# --- mistakes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Gaussian(-1), "sigma is -1: give 0 or more grey levels"),
        (lambda: BlindGaussian(30, 20), "sigma lies between 30 and 20: give low"),
        (lambda: BlindGaussian(-5, 20), "sigma lies between -5 and 20: give low"),
        (lambda: Poisson(0), "peak is 0: give a number of photons above 0"),
        (lambda: noisy(test=[]), "test is none: set data.init_args.test"),
        (lambda: noisy(test=["a/b", "c/b"]), "test is b, b: set data.init_args.test"),
        (lambda: noisy(noise=BlindGaussian()), "test_noise is none: set data.init_args.test_noise"),
        (lambda: noisy(shrink=[1.5]), "shrink has 1.5: set data.init_args.shrink"),
        (lambda: noisy(shrink=[]), "shrink has no size"),
        (lambda: jpeg(qualities=[10, 101]), "qualities are 10, 101: set data.init_args.qualities to whole numbers 1"),
        (lambda: jpeg(qualities=[]), "qualities are none"),
        (lambda: jpeg(test_qualities=[0]), "test_qualities are 0: set data.init_args.test_qualities"),
        (lambda: noisy(train=[]).setup("fit"), "NoisyImages has no training images: set data.init_args.train"),
        (lambda: noisy(patch=25).setup("fit"), "is 24 x 24, smaller than a patch of 25"),
        (lambda: UnclippedPSNR(FidelityProtocol("y8")), "set colour to rgb or grey"),
    ],
)
def test_a_setting_that_cannot_be_followed_is_one_sentence(make, sentence):
    with pytest.raises(ValueError, match=sentence) as error:
        make()
    assert "\n" not in str(error.value)


def test_mistakes_on_the_command_line(capfd):
    assert "has no weights to train: `atelier test` measures it" in refused(capfd, "fit", NOISY, *HERE)
    level = '[{"class_path": "Gaussian", "init_args": {"sigma": -3}}]'
    assert "sigma is -3" in refused(capfd, "test", NOISY, *HERE, "--data.test_noise", level)
    folder = ["--data.root", "data", "--data.test"]
    assert "nowhere: absent; set ATELIER_DATA" in refused(capfd, "test", NOISY, *folder, "[nowhere]")
    assert "set colour to rgb or grey" in refused(capfd, "test", NOISY, *HERE, "--fidelity.colour", "y8")
    colour = [*folder, "[mine/real/clean]", "--data.colour", "rgb"]
    assert "The protocol compares grey images and these are RGB" in refused(capfd, "test", NOISY, *colour)

"""Deep image prior: mistakes cost one sentence, and a run from the command line with its record and pictures."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import place, refused, rows, runs
from test_deep_image_prior import fit, pair, prior
from test_single_image import save, scene

from datamodules.damage import Holed, Masked, psnr
from datamodules.single_image import SingleImage
from experiments.catalogue import DEFAULTS, experiments
from experiments.cli import main
from experiments.layers import read_layer
from experiments.lightning_cli import AtelierCLI
from lightning_modules.deep_image_prior import DeepImagePrior
from lightning_modules.ema import EMASettings
from lightning_modules.losses.observations import Known, Observation, Shrunk, Whole
from lightning_modules.losses.reconstruction import MSE
from lightning_modules.networks.skip import Skip

# --- mistakes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"jitter": -1.0}, "jitter must not be negative, got -1.0"),
        ({"parameter_noise": -1.0}, "parameter_noise must not be negative"),
        ({"averaging": 1.0}, r"averaging must lie in \[0, 1\), got 1.0"),
        ({"roll_back": 0.0}, "roll_back is a fall in dB, above 0, or null"),
        ({"check_every": 0}, "check_every must be 1 or more"),
        ({"losses": [MSE(), MSE()]}, "losses: each may stand once, got mse, mse"),
        ({"ema": EMASettings(decay=0.5)}, "averages its outputs, not its weights"),
        ({"network": Skip(in_channels=3)}, "expects 3 channels and is given 32: set in_channels to 32"),
        ({"network": Skip()}, "8 x 8 px is too small for a Skip of 5 scales: .* more than 32 px"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        prior(**settings)


@pytest.mark.parametrize(
    ("observation", "batch", "said"),
    [
        (
            Whole(),
            (torch.zeros(1, 3, 16, 8),) * 2,
            r"makes an image \[3, 8, 8\], the data's is \[3, 16, 8\]: .* \[16, 8\]",
        ),
        (Known(), pair(), "Known takes 1 parts of a batch beside x and y, the data gives 0"),
        (Shrunk(4), (torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 4, 4)), r"Shrunk shows \[3, 2, 2\] .* is \[3, 4, 4\]"),
    ],
)
def test_data_of_another_damage_is_refused(tmp_path: Path, observation: Observation, batch: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        fit(tmp_path, prior(observation=observation), batch=batch, max_steps=1)


# --- the command line ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures(place.__name__)
def test_a_run_records_whole_and_hole_where_it_began_and_its_pictures(capfd: Any) -> None:
    mask = np.full((24, 32), 255)
    mask[8:12, 10:20] = 0
    save("a.png", scene()), save("m.png", mask)
    network = {"class_path": "lightning_modules.networks.skip.Skip", "init_args": {"channels": [6, 6], "skips": [2, 2]}}
    options = ["--data.root", "data", "--data.image", "a.png", "--data.damage.mask", "m.png", "--data.crop", "[16, 24]"]
    options += ["--model.network", json.dumps(network), "--model.size", "[16, 24]", "--trainer.accelerator", "cpu"]
    options += ["--trainer.logger", "lightning_modules.callbacks.loggers.JsonlLogger", "--clock.g_steps", "30"]
    fitting = ["fit", "deep_image_prior/inpaint_kate", *options, "--clock.validations", "2"]
    assert "set model.init_args.size to [16, 24]" in refused(capfd, *fitting, "--model.size", "[32, 32]")
    assert main([*fitting, "--trainer.log_every_n_steps", "10"]) == 0
    (run,) = runs()
    record = json.loads((run / "record.json").read_text())
    (block,) = record["scores"]
    names = [f"a-m/{name}" for name in ("psnr@rgb", "ssim@rgb", "psnr@rgb-hole")]
    assert list(block["last"]["metrics"]) == names
    assert (block["protocol"]["colour"], block["protocol"]["shave"]) == ("rgb", 0)
    assert block["protocol"]["weights"] == "averaged outputs"
    assert record["data"]["hole"] == pytest.approx(40 / (16 * 24), abs=1e-6)
    assert list(record["data"]["beginning"]) == ["mean-fill/psnr@rgb-hole"]
    logged = [row for row in rows(run) if "psnr/averaged" in row]
    assert [row["d_step"] for row in logged] == [10, 20, 30]
    pictures = {path.name for path in (run / "samples").iterdir()}
    assert pictures >= {"psnr-000000030.png", "restored-000000030.png"}
    capfd.readouterr()
    assert main(["test", str(run)]) == 0
    said = dict(line.split() for line in capfd.readouterr().out.splitlines() if line.startswith("test/"))
    assert float(said["test/a-m/psnr@rgb-hole"]) == pytest.approx(block["last"]["metrics"][names[2]], rel=1e-4)
    assert main(["predict", str(run), "--out", "restored.pt"]) == 0
    restored = torch.load("restored.pt", weights_only=True)
    stored = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert torch.equal(restored, stored["state_dict"]["averaged"])
    right = SingleImage("a.png", Masked("m.png"), crop=(16, 24), root="data").batch
    assert isinstance(right, Holed)
    inside = right.hole.expand_as(restored)
    assert block["last"]["metrics"][names[2]] == pytest.approx(psnr(restored[inside], right.x[inside]), rel=1e-6)


@pytest.mark.parametrize(
    "name", [name for name, file in experiments().items() if "prior.DeepImagePrior" in file.read_text()]
)
def test_the_figures_images_and_masks_fit_their_experiments(name: str) -> None:
    if "ATELIER_DATA" not in os.environ:
        pytest.skip("ATELIER_DATA is not set: the figure images are not here")
    file = experiments()[name]
    cli = AtelierCLI([(part.name, read_layer(part)) for part in (DEFAULTS, file)], [])
    cli.config.trainer.logger = False
    cli.build()
    assert isinstance(cli.model, DeepImagePrior)
    cli.model.check_data(cli.datamodule)  # type: ignore[arg-type]
    assert isinstance(cli.datamodule, SingleImage)
    begin = next(iter((cli.datamodule.findings or {})["beginning"].values()))
    assert 10 < begin < 25

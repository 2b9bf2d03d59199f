"""A conditional run from the command line: trained for two steps, sampled by class, scored by class."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import place, refused, runs
from noise_sets import own_cache
from PIL import Image

from experiments.cli import main

pytestmark = pytest.mark.usefixtures(place.__name__, own_cache.__name__)


@pytest.mark.parametrize("method", ["concat", "projection", "acgan"])
def test_two_steps_a_sheet_and_scores_by_class(method, capfd):
    assert main(["fit", f"conditional/{method}_digits", "--config", "smoke", "--trainer.accelerator", "cpu"]) == 0
    run = runs()[-1]
    (block,) = json.loads((run / "record.json").read_text())["scores"]
    assert block["protocol"]["labels"] == "uniform"
    assert {"fid", "asked", "asked_min", "intra_fid"} <= {name.split("@")[0] for name in block["last"]["metrics"]}
    with Image.open(max((run / "samples").glob("samples-*.png"))) as sheet:
        assert sheet.size == (10 * 34 + 2, 8 * 34 + 2)  # a class a column
    words = ["--metrics", "asked,intra_fid", "--fakes", "200", "--floor", "no", "--out", "scores.json"]
    assert main(["evaluate", str(run), *words]) == 0
    assert 0 <= json.loads(Path("scores.json").read_text())["scores"]["asked@digits-cnn"]["mean"] <= 1
    capfd.readouterr()
    assert "knows the classes 0 to 9, not 10" in refused(capfd, "sample", str(run), "--class", "10")


def test_one_class_is_drawn_where_it_is_asked_for():
    assert main(["fit", "conditional/concat_digits", "--config", "smoke", "--trainer.accelerator", "cpu"]) == 0
    run, found = runs()[-1], {}
    # Two steps tell no classes apart: the code's rows of G's first weight do, once they are large.
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    for name, weight in checkpoint["state_dict"].items():
        if name.endswith("generator.layers.0.weight"):
            weight[64:] = torch.randn(weight[64:].shape, generator=torch.Generator().manual_seed(0))
    torch.save(checkpoint, run / "checkpoints" / "last.ckpt")
    for out, label in (("a", "3"), ("b", "3"), ("c", "7")):
        assert main(["sample", str(run), "--class", label, "--out", out]) == 0
        (file,) = Path(out).glob(f"grid-*-class{label}.png")
        with Image.open(file) as picture:
            found.setdefault(label, []).append(np.array(picture))
    assert (found["3"][0] == found["3"][1]).all()
    assert (found["3"][0] != found["7"][0]).any()

"""``atelier evaluate IMAGES REFERENCE``: it asks for no weights without need, and advises what would help."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import place, refused
from image_places import folder, noise
from noise_sets import own_cache
from PIL import Image

from experiments.cli import main

pytestmark = pytest.mark.usefixtures(place.__name__, own_cache.__name__)
IDENTITY = ("--extractor", "identity")


def test_metrics_of_the_samples_alone_ask_for_no_weights(monkeypatch, tmp_path_factory):
    def fail(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setenv("ATELIER_WEIGHTS", "nowhere")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path_factory.getbasetemp()))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    for seed, name in enumerate(("a", "b")):
        folder(name, noise(6, (16, 16, 3), seed=seed))
    words = ("evaluate", "a", "b", "--metrics", "swd,spectrum")
    assert main([*words, "--out", "free.json"]) == 0
    free = json.loads(Path("free.json").read_text())
    assert free["protocol"]["extractor"] == "identity"
    assert main([*words, *IDENTITY, "--out", "told.json"]) == 0
    assert free["scores"] == json.loads(Path("told.json").read_text())["scores"]
    for asking in (("--metrics", "swd,fid"), ("--extractor", "inception"), ("--protocol", "mimicry")):
        assert main([*words, *asking]) == 2  # weights are asked for where a score or a protocol hangs on them


def test_only_options_that_would_help_are_named(capfd):
    for name in ("cmyk", "deep", "broken", "sizes", "both", "mixed"):
        folder(name, noise(3, (8, 8, 3)))
    Image.new("CMYK", (8, 8)).save("cmyk/x.jpg")
    Image.fromarray(np.zeros((8, 8), np.uint16)).save("deep/x.png")
    Path("broken/x.png").write_bytes(Path("deep/0000.png").read_bytes()[:-40])
    Image.new("RGB", (9, 9)).save("sizes/x.png")
    Image.new("LA", (9, 8)).save("both/x.png")
    Image.new("CMYK", (9, 9)).save("mixed/x.jpg")
    Image.new("L", (8, 8)).save("mixed/y.png")
    changing = ("--size", "8", "--channels", "3", "--background", "0")
    for words, advice in {
        ("cmyk",): "mend or remove them.",
        ("cmyk", *changing): "mend or remove them.",
        ("deep", *changing): "mend or remove them.",
        ("broken",): "mend or remove them.",
        ("sizes",): "mend or remove them, or give --size to change them.",
        ("both",): "mend or remove them, or give --size and --channels and --background to change them.",
        ("both", "--size", "8"): "mend or remove them, or give --channels and --background to change them.",
        ("mixed",): "mend or remove them, or give --channels to change them.",
    }.items():
        assert refused(capfd, "evaluate", words[0], "sizes", *words[1:], *IDENTITY).strip().endswith(advice), words

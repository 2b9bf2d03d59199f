"""Super-resolution's benchmarks and the bicubic rows: published figures, values by hand, one sentence for bad files."""

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import place, runs
from PIL import Image
from test_bad_input import refused
from torch import Tensor, nn
from torch.nn.functional import interpolate

from datamodules.pairs import PairLoader
from datamodules.super_resolution import SuperResolutionImages
from experiments.cli import main
from experiments.table_cells import read_keys
from lightning_modules.losses.reconstruction import L1
from lightning_modules.networks.base import Upscaler
from lightning_modules.super_resolution import SuperResolution

pytestmark = pytest.mark.usefixtures(place.__name__)
BICUBIC = "super_resolution/bicubic"

# --- the published rows -------------------------------------------------------------------------------------

README = {  # of SelfExSR, as printed
    **{"Set5-x2": (33.64, 0.9292), "Set5-x3": (30.39, 0.8678), "Set5-x4": (28.42, 0.8101)},
    **{"Set14-x2": (30.22, 0.8683), "Set14-x3": (27.53, 0.7737), "Set14-x4": (25.99, 0.7023)},
}
RECOMPUTED = {  # from its files by another implementation, rounded once and not between the axes
    **{"Set5-x2": (33.645, 0.9293), "Set5-x3": (30.388, 0.8678), "Set5-x4": (28.419, 0.8102)},
    **{"Set14-x2": (30.222, 0.8684), "Set14-x3": (27.534, 0.7738), "Set14-x4": (25.994, 0.7024)},
}


def test_the_bicubic_rows_are_the_published_ones(capsys):
    if "ATELIER_DATA" not in os.environ:
        pytest.skip("ATELIER_DATA is not set: the SelfExSR files are not here")
    assert main(["test", BICUBIC, "--out", "record.json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    printed = dict(line.removeprefix("test/").split() for line in lines if line.startswith("test/"))
    record = json.loads(Path("record.json").read_text())
    assert record["key"] == read_keys()[BICUBIC].key  # so that a table finds it
    (block,) = record["scores"]
    scores, data = block["last"]["metrics"], block["protocol"]["data"]
    assert list(scores) == list(printed)
    assert len(scores) == 2 * len(README)
    for name in README:
        psnr, ssim = (scores[f"{name}/{metric}@y8-shave{name[-1]}"] for metric in ("psnr", "ssim"))
        assert (round(psnr, 2), round(ssim, 4)) == README[name]
        assert psnr == pytest.approx(RECOMPUTED[name][0], abs=0.01)
        assert ssim == pytest.approx(RECOMPUTED[name][1], abs=0.0003)
        assert float(printed[f"{name}/psnr@y8-shave{name[-1]}"]) == pytest.approx(psnr, rel=1e-5)
    assert [entry["images"] for entry in data.values()] == [5] * 3 + [14] * 3
    assert len({entry["sha256"] for entry in data.values()}) == 6
    assert (record["experiment"], record["status"]) == (BICUBIC, "finished")
    assert record["cost"]["parameters"] == {"network": 0}
    assert not any(text in json.dumps(record) for text in (str(Path.cwd()), os.environ["ATELIER_DATA"]))


# --- values by hand -----------------------------------------------------------------------------------------


def save(path: Path, *shape: int, level: int, border: int = 0) -> None:
    """An image of one grey level, (H, W) or (H, W, 3), black up to ``border`` pixels from its edge."""
    pixels = np.zeros(shape, np.uint8)
    pixels[border : shape[0] - border, border : shape[1] - border] = level
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def made() -> Path:
    """Set "Made" at x2 and x3 under data/: a pair of grey images and one of colour, whose HRs have a black frame."""
    for scale in (2, 3):
        folder = Path(f"data/mine/Made/image_SRF_{scale}")
        save(folder / "a_LR.png", 16, 20, level=100)
        save(folder / "a_HR.png", 16 * scale, 20 * scale, level=110, border=scale)
        save(folder / "b_LR.png", 18, 16, 3, level=100)
        save(folder / "b_HR.png", 18 * scale, 16 * scale, 3, level=120, border=scale)
        (folder / "b_glasner.png").write_bytes(b"what a method made of it, not ours to read")
    return folder.parent


def mine(*options: str, command: str = "test", what: str = BICUBIC) -> list[str]:
    return [command, what, "--data.root", "data", "--data.benchmarks", "[mine/Made]", *options]


def level_psnr(a: float, b: float) -> float:
    return 20 * math.log10(255 / abs(a - b))


def level_ssim(a: float, b: float) -> float:
    c1 = (0.01 * 255) ** 2
    return (2 * a * b + c1) / (a * a + b * b + c1)


def said(capsys: pytest.CaptureFixture[str]) -> dict[str, float]:
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith(("test/", "val/"))]
    return {name: float(value) for name, value in lines}


LUMA = [round(16 + 219 * level / 255) for level in (100, 120)]  # rounded, and in the studio's range


def test_each_set_is_scored_by_the_mean_over_its_images_without_the_border(made, capsys):
    assert main(mine("--data.scales", "[2, 3]")) == 0
    scores = said(capsys)
    for scale in (2, 3):
        psnr, ssim = (scores[f"test/Made-x{scale}/{name}@y8-shave{scale}"] for name in ("psnr", "ssim"))
        assert psnr == pytest.approx((level_psnr(100, 110) + level_psnr(*LUMA)) / 2, rel=1e-5)
        assert ssim == pytest.approx((level_ssim(100, 110) + level_ssim(*LUMA)) / 2, rel=1e-5)
    assert len(scores) == 4


def test_the_protocol_is_the_settings(made, capsys):
    options = ["--data.scales", "[2]", "--fidelity.colour", "rgb", "--fidelity.shave", "3"]
    assert main(mine(*options, command="validate")) == 0
    scores = said(capsys)
    assert list(scores) == ["val/Made-x2/psnr@rgb-shave3", "val/Made-x2/ssim@rgb-shave3"]
    assert scores["val/Made-x2/psnr@rgb-shave3"] == pytest.approx((level_psnr(100, 110) + level_psnr(100, 120)) / 2)


def test_a_part_of_a_set_is_not_the_set(made):
    for name, options in {"whole": (), "part": ("--trainer.limit_test_batches", "1")}.items():
        assert main(mine("--data.scales", "[2]", "--out", f"{name}.json", *options)) == 0
    whole, part = (json.loads(Path(f"{name}.json").read_text())["scores"][0]["protocol"] for name in ("whole", "part"))
    assert part["data"]["Made-x2"] == {**whole["data"]["Made-x2"], "limit": 1}
    assert "limit" not in whole["data"]["Made-x2"]


@pytest.mark.parametrize(("precision", "said"), [("bf16-true", "bf16-true"), ("bf16-mixed", None)])
def test_what_is_measured_in_half_precision_says_so(made, precision, said):
    assert main(mine("--data.scales", "[2]", "--out", "half.json", "--trainer.precision", precision)) == 0
    (block,) = json.loads(Path("half.json").read_text())["scores"]
    assert block["protocol"].get("precision") == said


def test_a_perfect_image_is_infinite_and_the_record_stays_json(made, capsys):
    save(made / "image_SRF_2/a_HR.png", 32, 40, level=100)
    assert main(mine("--data.scales", "[2]", "--out", "new/record.json")) == 0
    assert said(capsys)["test/Made-x2/psnr@y8-shave2"] == math.inf
    record = json.loads(Path("new/record.json").read_text())
    (block,) = record["scores"]
    assert block["last"]["metrics"]["Made-x2/psnr@y8-shave2"] is None
    cost = record["cost"]
    assert cost["sample_shape"] == [1, 32, 40]
    assert cost["sampling_images_per_second"] > 0
    assert "images_per_second" not in cost  # nothing was trained


def test_ranks_share_the_pairs_and_the_hash_is_of_the_content(made):
    data = SuperResolutionImages((2,), ("mine/Made",), root="data")
    (pairs,) = data.pairs()
    shares = [[*PairLoader(pairs, rank, 2)] for rank in range(2)]
    assert [len(share) for share in shares] == [1, 1]
    assert [x.shape[1:] for x, _ in [*shares[0], *shares[1]]] == [(1, 32, 40), (3, 36, 32)]  # grey, then colour
    save(made / "image_SRF_2/a_LR.png", 16, 20, level=101)
    (changed,) = SuperResolutionImages((2,), ("mine/Made",), root="data").pairs()
    assert changed.sha256 != pairs.sha256


# --- networks that are trained ------------------------------------------------------------------------------


class Gain(Upscaler):
    """x = w y, its pixels repeated: one weight for all scales, or for those it is said to know."""

    def __init__(self, w: float = 0.5, scales: list[int] | None = None) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(w))
        self.scales = None if scales is None else tuple(scales)

    def forward(self, y: Tensor, scale: int) -> Tensor:
        return self.w * interpolate(y, scale_factor=scale)


class Broken(Upscaler):
    def forward(self, y: Tensor, scale: int) -> Tensor:
        return interpolate(y, scale_factor=scale) / 0


class TrainedOnTest(SuperResolutionImages):
    out_shape = (3, 8, 8)
    images_per_epoch = 4

    def setup(self, stage: str) -> None:
        self.pairs()

    def train_dataloader(self) -> Iterator[Any]:  # type: ignore[override]
        pairs = [pair for data in self.pairs() for pair in data.pairs]
        return iter(pairs * 2)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return self.as_given(*batch)


def experiment(network: str = "Gain", data: str = "TrainedOnTest") -> list[str]:
    """Options that make the bicubic experiment one of a network with a weight."""
    return ["--model.network", f"{__name__}.{network}", "--data", f"{__name__}.{data}"]


def test_the_scale_of_a_batch_reaches_the_network():
    module = SuperResolution(Gain(w=0.5), losses=[L1()])
    y = torch.full((2, 1, 4, 5), 0.5)
    for scale in (2, 3):
        x = torch.ones(2, 1, 4 * scale, 5 * scale)
        assert module.terms(x, y)["l1"].item() == 0.75
        assert torch.equal(module.restore((x, y)), x / 4)
    for x in (torch.ones(2, 1, 8, 15), torch.ones(2, 1, 9, 10), torch.ones(2, 1, 2, 2)):
        with pytest.raises(ValueError, match="no whole number of times as large as 4x5: give matching pairs"):
            module.terms(x, y)


def test_a_trained_network_is_validated_chosen_and_tested_by_the_same_scores(made, capsys):
    monitor, jsonl = "val/Made-x2/psnr@y8-shave2", "lightning_modules.callbacks.loggers.JsonlLogger"
    options = [*experiment(), "--model.losses", '[{"class_path": "L1"}]', "--data.scales", "[2, 3]"]
    options += ["--clock.g_steps", "6", "--clock.validations", "2", "--trainer.logger", jsonl]
    options += ["--checkpoint.monitor", monitor, "--checkpoint.higher_is_better", "true"]
    assert main(mine(*options, command="fit")) == 0
    (run,) = runs()
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    validated = [row[monitor] for row in rows if monitor in row]
    assert len(validated) == 2
    assert validated[1] > validated[0]  # w rises to 1.1 and more
    capsys.readouterr()
    assert main(["test", str(run), "--ckpt", "best", "--out", "record.json"]) == 0
    assert said(capsys)["test/Made-x2/psnr@y8-shave2"] == pytest.approx(validated[1], rel=1e-5)
    record = json.loads(Path("record.json").read_text())
    assert record["clock"]["d_step"] == record["scores"][0]["last"]["d_step"] == 6
    protocol = record["scores"][0]["protocol"]
    assert (protocol["weights"], protocol["checkpoint"]) == ("raw", "best by Made-x2/psnr@y8-shave2")


# --- mistakes -----------------------------------------------------------------------------------------------


def test_what_has_no_weights_is_not_trained_and_what_has_needs_them(made, capfd):
    assert "has no weights to train: `atelier test` measures it" in refused(capfd, "fit", BICUBIC)
    assert "needs trained weights" in refused(capfd, *mine(*experiment()))
    assert "scales are none" in refused(capfd, *mine("--data.scales", "[]"))
    assert "scales are 2, 2: set data.init_args.scales" in refused(capfd, *mine("--data.scales", "[2, 2]"))
    assert "shave is -1" in refused(capfd, *mine("--fidelity.shave", "-1"))
    assert "tiny.yaml exists and is not overwritten" in refused(capfd, *mine("--out", "tiny.yaml"))
    assert "data/mine/Made/image_SRF_4: absent; it should hold the pairs" in refused(capfd, *mine())
    (made / "image_SRF_2/a_LR.png").unlink()
    assert "a_LR.png is absent and a_HR.png is there" in refused(capfd, *mine())


def test_a_scale_that_the_network_does_not_know_is_refused(made, capfd):
    options = [*experiment(), "--model.network.scales", "[2]", "--data.scales", "[2, 3]", "--clock.g_steps", "1"]
    assert "Gain knows the scale 2, the data module gives 3 too" in refused(capfd, *mine(*options, command="fit"))


def test_an_image_that_is_not_finite_has_no_score(made, capfd):
    options = [*experiment("Broken"), "--data.scales", "[2]"]
    assert "restored from Made-x2 holds a NaN or infinity" in refused(capfd, *mine(*options), code=1)


def test_fidelity_is_for_images_that_are_restored_from_pairs(capfd):
    assert "restored, not a GAN; set it to null" in refused(capfd, "fit", "tiny.yaml", "--fidelity.shave", "0")
    digits = ["--data", "datamodules.digits.Digits", "--data.size", "8"]
    assert "Digits has no pairs to compare" in refused(capfd, "test", BICUBIC, *digits)


A, B = "a_LR.png", "b_HR.png"
DAMAGE = {
    "is absent and a_LR.png is there: a pair needs both": lambda f: (f / "a_HR.png").unlink(),
    "a_LR.png gives no image (damaged": lambda f: (f / A).write_bytes((f / A).read_bytes()[:45]),
    "a_LR.png gives no image (not an image": lambda f: (f / A).write_bytes(b"hello, I am no image"),
    "a_LR.png gives no image (empty file)": lambda f: (f / A).write_bytes(b""),
    "b_HR.png gives no image (RGBA pixels, neither 8-bit": lambda f: Image.new("RGBA", (32, 36)).save(f / B),
    "b_HR.png gives no image (I;16 pixels, neither": lambda f: Image.new("I;16", (32, 36)).save(f / B),
    "is 34 x 36 and b_LR.png 16 x 18: at scale 2 the HR must be 32 x 36.": lambda f: save(f / B, 36, 34, 3, level=1),
    "b_HR.png is grey and b_LR.png is not": lambda f: save(f / B, 36, 32, level=1),
    "image_SRF_2 holds no pair of NAME_HR.png": lambda f: [p.unlink() for p in f.glob("?_?R.png")],
}


@pytest.mark.parametrize("sentence", DAMAGE)
def test_damaged_benchmarks_are_named_in_one_sentence(made, sentence):
    DAMAGE[sentence](made / "image_SRF_2")
    with pytest.raises(ValueError) as error:  # noqa: PT011
        SuperResolutionImages((2,), ("mine/Made",), root="data").setup("test")
    assert sentence in str(error.value)
    assert "data/mine/Made/image_SRF_2" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_palette_stands_for_its_colours(made):
    folder = made / "image_SRF_2"
    Image.open(folder / "b_LR.png").quantize(4).save(folder / "b_LR.png")
    (pairs,) = SuperResolutionImages((2,), ("mine/Made",), root="data").pairs()
    assert torch.equal(pairs.pairs[1][1], torch.full((1, 3, 18, 16), 100, dtype=torch.uint8))

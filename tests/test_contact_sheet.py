"""The contact sheet: each row an image, then its augmented variants; the data alone are built."""

from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import place, runs
from PIL import Image

from datamodules.digits import Digits
from experiments.cli import main
from experiments.contact_sheet import enlarged
from lightning_modules.callbacks.pictures import grid

pytestmark = pytest.mark.usefixtures(place.__name__)
FLIP = "[{class_path: datamodules.augment.HorizontalFlip, init_args: {p: 1.0}}]"
TILE, GAP = 64, 2  # eight pixels, each eight times


def tiles(path: Path, rows: int, columns: int) -> np.ndarray:
    """The sheet's images, [rows, columns, 64, 64]."""
    picture = np.asarray(Image.open(path))
    step = TILE + GAP
    assert picture.shape == (rows * step + GAP, columns * step + GAP)
    cut = [[picture[GAP + r * step :, GAP + c * step :][:TILE, :TILE] for c in range(columns)] for r in range(rows)]
    return np.asarray(cut)


def test_a_row_is_an_image_and_its_variants(capsys):
    words = ["contact-sheet", "tiny.yaml", "--images", "3", "--variants", "2", "--out", "here/sheet.png"]
    assert main([*words, "--data.augment", FLIP]) == 0
    assert capsys.readouterr().out == "3 images of tiny, each with 2 variants by HorizontalFlip: here/sheet.png\n"
    seen = tiles(Path("here/sheet.png"), 3, 3)
    train = Digits(size=8).reference("train").images
    for row in seen:
        image = torch.from_numpy(row[0][::8, ::8].copy())
        assert (train[:, 0] == image).all(dim=(1, 2)).any()  # as it is, not augmented
        for variant in row[1:]:
            assert np.array_equal(variant, row[0][:, ::-1])
    assert runs() == []


def test_eight_by_eight_unless_told_and_the_same_for_the_same_seed():
    shift = "[{class_path: datamodules.augment.Shift}]"
    for name, seed in (("a.png", "1"), ("b.png", "1"), ("c.png", "2")):
        words = ["contact-sheet", "tiny.yaml", "--data.augment", shift, "--seed", seed, "--out", name]
        assert main(words) == 0
    a, b, c = (tiles(Path(name), 8, 9) for name in ("a.png", "b.png", "c.png"))
    assert np.array_equal(a, b)
    assert np.array_equal(a[:, 0], c[:, 0])
    assert not np.array_equal(a, c)


def test_the_model_is_not_built():
    assert main(["contact-sheet", "tiny.yaml", "--model.n_critic", "0"]) == 0  # which no model would take


def test_without_augmentation_it_says_so(capsys):
    assert main(["contact-sheet", "tiny.yaml"]) == 0
    assert "by no augmentation: contact_sheet.png" in capsys.readouterr().out
    seen = tiles(Path("contact_sheet.png"), 8, 9)
    assert (seen == seen[:, :1]).all()


def test_enlarging_repeats_pixels_and_spares_large_images():
    small, large = torch.arange(4, dtype=torch.uint8).view(1, 1, 2, 2), torch.zeros(1, 3, 100, 100, dtype=torch.uint8)
    assert enlarged(small).shape == (1, 1, 64, 64)
    assert torch.equal(enlarged(small)[..., ::32, ::32], small)
    assert torch.equal(enlarged(large), large)
    assert grid(enlarged(small)).shape == (1, 68, 68)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["tiny.yaml", "--images", "0"], "--images expects a whole number of at least 1, got '0'"),
        (["tiny.yaml", "--images", "2000"], "give 1 to 1437 images"),
        (["tiny.yaml", "--variant", "2"], "did you mean --variants?"),
        (["tiny.yaml", "--nothing", "2"], "there is no option --nothing"),
        (["tiny.yaml", "--data", "datamodules.mixtures.Ring"], "Ring feeds no images"),
        (["tiny.yaml", "--out", "tiny.yaml"], "tiny.yaml exists and is not overwritten"),
        (["gan/dcgan_mnist32", "--data.root", "none"], "ATELIER_DATA"),
        ([], "contact-sheet needs an experiment"),
    ],
)
def test_a_mistake_costs_one_sentence(words, sentence, capfd):
    before = sorted(Path().rglob("*"))
    assert main(["contact-sheet", *words]) == 2
    told = capfd.readouterr().err
    assert sentence in told
    assert told.count("\n") == 1
    assert sorted(Path().rglob("*")) == before

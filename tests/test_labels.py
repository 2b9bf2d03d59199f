"""Scores of label maps by class: by hand, against a slow count, by the callback both ways, and bad input."""

from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from test_cyclegan import Shown, by_hand, pairs
from test_pix2pix import Pairs, small
from torch import Tensor
from toys import trainer

from lightning_modules.callbacks.fidelity import FidelityScores
from lightning_modules.metrics.fidelity.labels import LabelScores, Palette, find_palette

GREYS = Palette("greys", ("#000000", "#646464", "#c8c8c8"))  # 0, 100 and 200


def grey(*levels: int) -> Tensor:
    """One map of a row of pixels."""
    return torch.tensor(levels, dtype=torch.uint8).expand(1, 3, 1, -1)


def test_scores_by_hand() -> None:
    metric = LabelScores(GREYS)
    metric.update(grey(0, 30, 90, 255), grey(0, 0, 100, 100))  # classes 0 0 1 2 of 0 0 1 1
    metric.update(grey(120), grey(40))  # 1 of 0
    assert metric.confusion.tolist() == [[2, 1, 0], [0, 1, 1], [0, 0, 0]]
    assert metric.as_floats() == {
        "pixel_accuracy@greys": pytest.approx(3 / 5),
        "class_accuracy@greys": pytest.approx((2 / 3 + 1 / 2) / 2),  # the third class is nowhere in the right maps
        "class_iou@greys": pytest.approx((2 / 3 + 1 / 3 + 0) / 3),  # but was made
    }


def test_a_class_neither_there_nor_made_counts_nowhere() -> None:
    metric = LabelScores(find_palette("facades"))
    maps = torch.tensor([[0, 0, 222], [0, 48, 255]], dtype=torch.uint8).T.reshape(1, 3, 1, 2)
    metric.update(maps, maps)
    assert set(metric.as_floats().values()) == {1.0}


def test_the_nearest_colour_is_that_of_a_slow_search_and_the_first_of_two() -> None:
    palette = find_palette("facades")
    assert len(palette.colours) == 12
    maps = torch.randint(256, (2, 3, 5, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = palette.classes(maps)
    for n, i, j in product(range(2), range(5), range(4)):
        distances = [sum((a - b) ** 2 for a, b in zip(maps[n, :, i, j].tolist(), c, strict=True)) for c in rgb(palette)]
        assert found[n, i, j] == distances.index(min(distances))
    assert GREYS.classes(grey(50, 150)).flatten().tolist() == [0, 1]


def rgb(palette: Palette) -> list[list[int]]:
    return [[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in palette.colours]


def test_both_ways_are_scored_by_palettes_of_their_own(tmp_path: Path) -> None:
    # In grey levels: G makes 140 and 166 where 178 and 102 are right, F 255 and 51 where 153 and 204 are.
    scores = FidelityScores("rgb", 0, labels=["black", "#a0a0a0"], back_labels=["black", "#909090", "white"])
    trainer(tmp_path, scores).validate(by_hand(), datamodule=Shown(pairs(1)), verbose=False)
    found: dict[str, Any] = scores.history[-1]["metrics"]  # type: ignore[assignment]
    assert found["two/pixel_accuracy@2colours"] == 1
    assert found["two/back/pixel_accuracy@3colours"] == 0
    assert "two/back/pixel_accuracy@2colours" not in found
    assert scores.described["back_labels"] == ["black", "#909090", "white"]
    assert "labels" not in FidelityScores().described


def test_a_family_of_one_way_has_no_labels_back(tmp_path: Path) -> None:
    scores = FidelityScores("rgb", 0, back_labels="facades")
    with pytest.raises(ValueError, match=r"fidelity.back_labels: a Pix2Pix answers one way alone; set labels"):
        trainer(tmp_path, scores).validate(small(), datamodule=Pairs(pairs(1, 2, 64)), verbose=False)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("facade", "there is no palette 'facade': name facades, or give colours, in a YAML in quotes"),
        (["#000000"], "#000000 are no palette: give two colours or more, each another"),
        (["red", "#ff0000"], "red, #ff0000 are no palette"),
        (["black", "#12345g"], "'#12345g' is no colour of a palette: write it as #rrggbb"),
        (["black", 5], "5 is no colour of a palette"),
    ],
)
def test_what_is_no_palette(given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FidelityScores(labels=given)


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_what_has_no_labels() -> None:
    metric = LabelScores(GREYS)
    with pytest.raises(ValueError, match="no scores of no label maps"):
        metric.compute()
    with pytest.raises(ValueError, match="label maps have the three channels of a palette, not 1"):
        metric.update(*torch.zeros(2, 1, 1, 4, 4, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"made map is \[1, 3, 1, 2\] and the right one \[1, 3, 1, 1\]"):
        metric.update(grey(1, 2), grey(1))

"""The course of a score as a picture: every run is there, where its values are; one sentence without any."""

import re
from pathlib import Path
from typing import Any

import pytest
import table_records
from table_records import NAME, PROTOCOL, commit, known

from experiments import table_curves
from experiments.errors import UserError
from experiments.table_curves import courses, drawn, height
from experiments.table_file import Table


def history(*moments: tuple[float, float, float], **protocol: Any) -> list[dict[str, Any]]:
    rows = [{"d_step": 1, "kimg": kimg, "seconds": seconds, "metrics": {"fid": fid}} for kimg, seconds, fid in moments]
    last = {"d_step": 1, "metrics": {"fid": 1.0}}
    return [{"protocol": {**PROTOCOL, **protocol}, "floor": None, "last": last, "history": rows}]


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Table:
    short = {"experiment": NAME, "overrides": {"clock.kimg": 100}}
    rows = [{"experiment": NAME, "label": "one"}, short, {"experiment": "gan/hinge_mnist32"}]
    monkeypatch.setattr(table_curves, "read_keys", known)
    return table_records.table(title="T & U", rows=rows, seeds=[0, 1])


def test_a_line_for_each_run_of_the_table_where_its_values_are(tmp_path: Path, table: Table) -> None:
    commit(tmp_path, "a", scores=history((0, 0, 100), (50, 60, 10), (100, 120, 1)))
    commit(tmp_path, "b", seed=1, scores=history((0, 0, 100), (100, 240, 10)))
    commit(tmp_path, "c", kimg=100, scores=history((100, 30, 5)) + history((100, 30, 9), weights="raw"))
    commit(tmp_path, "d", key="of other settings", scores=history((100, 30, 2)))
    found = courses(table, "fid", tmp_path)
    assert [line.label for line in found] == ["one", "one", NAME]
    assert found[0].over == {"kimg": [(0, 100), (50, 10), (100, 1)], "minutes": [(0, 100), (1, 10), (2, 1)]}
    assert found[2].over["kimg"] == [(100, 5)]
    picture = drawn(table.title, "fid", found)
    lines = re.findall(r'points="([^"]+)"', picture)
    assert len(lines) == 6
    assert lines[0] == "60.0,30.0 270.0,190.0 480.0,350.0"  # from 100 to 1 in even steps of the logarithm
    assert lines[3].split()[-1] == "750.0,350.0"  # two of four minutes
    assert "T &amp; U: fid" in picture
    assert height(10.0, 0, 2) == 190


def test_a_table_without_runs_is_one_sentence(tmp_path: Path, table: Table) -> None:
    with pytest.raises(UserError, match="no committed run of the table mine has a course of fid"):
        courses(table, "fid", tmp_path)


def test_a_run_of_a_part_of_the_length_says_so(tmp_path: Path, table: Table) -> None:
    commit(tmp_path, "short", kimg=10, scores=history((10, 30, 5)))
    assert {line.label for line in courses(table, "fid", tmp_path)} == {
        "one (10 of 700 kimg)",
        f"{NAME} (10 of 100 kimg)",
    }

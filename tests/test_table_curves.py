"""The course of a score as a picture: every run is there, where its values are; one sentence without any."""

import json
import re
from pathlib import Path

import pytest

from experiments import table_curves
from experiments.errors import UserError
from experiments.table_curves import courses, drawn, height
from experiments.table_file import Row, Table


def record(path: Path, *moments: tuple[float, float, float]) -> None:
    history = [{"kimg": kimg, "seconds": seconds, "metrics": {"fid": fid}} for kimg, seconds, fid in moments]
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"scores": [{"history": history}]}))


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Table:
    made = Table(
        title="T & U",
        columns=(),
        rows=(Row(experiment="gan/a", label="one"), Row(experiment="gan/b"), Row(experiment="gan/none")),
    )
    monkeypatch.setattr(table_curves, "find_table", lambda name: made)
    return made


def test_a_line_for_each_run_where_its_values_are(tmp_path: Path, table: Table) -> None:
    record(tmp_path / "gan/a-s0.json", (0, 0, 100), (50, 60, 10), (100, 120, 1))
    record(tmp_path / "gan/a-s1.json", (0, 0, 100), (100, 240, 10))
    record(tmp_path / "gan/b-s0.json", (100, 30, 5))
    found = courses("t", "fid", tmp_path)
    assert [line.label for line in found] == ["one", "one", "gan/b"]
    assert found[0].over == {"kimg": [(0, 100), (50, 10), (100, 1)], "minutes": [(0, 100), (1, 10), (2, 1)]}
    picture = drawn(table.title, "fid", found)
    lines = re.findall(r'points="([^"]+)"', picture)
    assert len(lines) == 6
    assert lines[0] == "60.0,30.0 270.0,190.0 480.0,350.0"  # from 100 to 1 in even steps of the logarithm
    assert lines[3].split()[-1] == "750.0,350.0"  # two of four minutes
    assert "T &amp; U: fid" in picture
    assert height(10.0, 0, 2) == 190


def test_a_table_without_runs_is_one_sentence(tmp_path: Path, table: Table) -> None:
    with pytest.raises(UserError, match="no committed run of the table t has a course of fid"):
        courses("t", "fid", tmp_path)

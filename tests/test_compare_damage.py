"""``atelier compare`` given what is damaged, missing, just beginning or no run: a sentence, and the others shown."""

from pathlib import Path
from typing import Any

import pytest
from command_line import place, refused
from test_compare import PROTOCOL, row, run, said

from experiments import compare_runs

pytestmark = pytest.mark.usefixtures(place.__name__)


def test_damaged_records_are_named_and_the_others_shown(capfd) -> None:
    run("a", [3.0], status="running"), run("b", [2.0], seed=1, code={"dirty": True})
    damaged = Path(run("c", [2.0], seed=2)) / "record.json"
    damaged.write_text("{")
    text = said(capfd, "runs")
    assert "c/record.json is no record, or a damaged one, and left out" in text
    assert "gan/toy, seed 0: cut off, 100%" in text or "gan/toy, seed 0: running, 100%" in text
    assert "gan/toy, seed 1: uncommitted code" in text
    assert "2 runs" in text
    without_step = {name: value for name, value in row(1.0, 2.0).items() if name != "d_step"}
    shapes: list[dict[str, Any]] = [
        {"started": []},
        {"experiment": 5},
        {"started": [None]},
        {"hardware": {"gpu": 5, "threads": 1}},
        {"wall_seconds": float("nan")},
        {"clock": {"d_step": "1", "g_step": 1, "kimg": 1.0, "total_d_steps": 1}},
        {"scores": [{"protocol": "x", "floor": None, "last": row(1.0, 2.0)}]},
        {"scores": [{"protocol": PROTOCOL, "floor": None, "last": row(1.0, 2.0), "history": [row(float("inf"), 2.0)]}]},
        {"scores": [{"protocol": PROTOCOL, "floor": None, "last": row(1.0, 2.0) | {"seconds": "3"}}]},
        {"cost": {"parameters": {"G": float("inf")}}},
        {"cost": {"parameters": {"G": None}}},
        {"clock": {"d_step": 1, "g_step": 1, "kimg": None, "total_d_steps": 1}},
        {"scores": [{"protocol": PROTOCOL, "floor": None, "last": row(1.0, "low")}]},  # type: ignore[arg-type]
        {"scores": [{"protocol": PROTOCOL, "floor": None, "last": row(1.0, 2.0), "history": [{"kimg": 1.0}]}]},
        {"scores": [{"protocol": PROTOCOL, "floor": None, "last": row(1.0, 2.0), "history": [without_step]}]},
    ]
    for i, changed in enumerate(shapes):
        run(f"d{i}", [1.0], seed=9, **changed)
    text = said(capfd, "runs")
    assert text.count("is no record, or a damaged one, and left out") == 1 + len(shapes)
    assert "2 runs" in text
    for words in ("a name that is no text", "d_step is no number", "kimg is no number", "a protocol without fields"):
        assert f"left out ({words})" in text
    assert "there is no run to compare in" in refused(capfd, "compare", str(damaged))
    damaged.unlink()
    assert "left out (there is no such file yet)" in said(capfd, "runs")
    (Path("runs/gan/toy/a") / "config.yaml").write_text("a: [")
    assert "the configuration of runs/gan/toy/a/record.json cannot be read (no valid YAML)" in said(capfd, "runs")


def test_a_run_that_is_just_beginning_is_named_and_the_others_shown(capfd) -> None:
    one = run("a", [3.0])
    Path("runs/gan/toy/b").mkdir()
    text = said(capfd, str(one), "runs/gan/toy/b")
    assert "runs/gan/toy/b holds no run and no record" in text
    assert "| gan/toy, seed 0 | 0 | 2 | 1,024 | 1 thread | 3 | 3 (0) |" in text


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "compare needs runs"),
        ([""], "there is no run at "),
        (["stylegan/progan_mnist32"], "stylegan/progan_mnist32 has no committed result and no run below runs"),
        (["runs", "--pairs", "3"], "--pairs is for a blind comparison: add --blind"),
        (["nowhere"], "there is no run at nowhere: give run directories, records, or an experiment's name"),
        (["no*where"], "nothing matches no*where"),
        (["gan/dcgan_*"], "experiments gan/dcgan_* has a committed result or a run below runs"),
        (["tiny.yaml"], "tiny.yaml is no record"),
        (["empty"], "empty holds no run and no record"),
        (["runs", "--data.size", "3"], "compare has no use for --data.size"),
        (["runs", "--out", "tiny.yaml"], "tiny.yaml exists and is not overwritten"),
    ],
)
def test_bad_input_is_one_sentence(
    words: list[str], sentence: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("empty").mkdir()
    monkeypatch.setattr(compare_runs, "RESULTS", Path("empty"))  # any experiment may have a committed result one day
    run("a", [3.0])
    assert sentence in refused(capfd, "compare", *words)

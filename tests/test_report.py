"""``atelier report``: one page of all that a run holds, which a browser shows without any network."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from browser import needs_browser, opened
from command_line import place, refused
from PIL import Image

from experiments.cli import main
from experiments.page import thinned
from experiments.report import FRAMES, POINTS, continued, panels, series

pytestmark = pytest.mark.usefixtures(place.__name__)
SCORES = {"fid@toy": 3.0, "is@toy": 2.0}


def moment(kimg: float, factor: float) -> dict[str, Any]:
    metrics = {name: factor * value for name, value in SCORES.items()}
    return {"d_step": 100 * kimg, "g_step": 100 * kimg, "kimg": kimg, "seconds": 60 * kimg, "metrics": metrics}


def run(frames: int = 3) -> Path:
    """A run directory as training leaves it, with an edit and an explanation."""
    folder = Path("run")
    for name in ("samples", "edits", "explanations"):
        (folder / name).mkdir(parents=True)
    (folder / "config.yaml").write_text("experiment: gan/<toy>\n")
    (folder / "command.txt").write_text("atelier fit gan/toy --clock.kimg 4\n")
    scores = {"protocol": {"data": "toy", "none": None}, "floor": {"fid@toy": 0.1}}
    scores |= {"first": moment(0, 9), "last": moment(4, 1)}
    record = {"experiment": "gan/<toy>", "seed": 5, "status": "finished", "wall_seconds": 240.0, "scores": [scores]}
    (folder / "record.json").write_text(json.dumps(record))
    rows = [{"step": 100 * k, "d/adv": 1 / (k + 1), "d_step": 100 * k, "kimg": k, "time": 60.0 * k} for k in range(5)]
    rows += [
        {"step": 100 * k, "val/fid@toy": v, "d_step": 100 * k, "kimg": k} for k, v in ((0, 27.0), (1, 5.0), (4, 3.0))
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows) + '{"step": 500, "d/a'  # killed while it wrote
    (folder / "metrics.jsonl").write_text(text)
    for k in range(frames):
        Image.new("L", (20, 20), 40 * k).save(folder / f"samples/samples-{1000 * k:09d}.png")
    for kind, name in (("edits", "between"), ("explanations", "lime")):
        Image.new("RGB", (30, 10)).save(folder / kind / f"{name}.png")
        (folder / kind / f"{name}.json").write_text(json.dumps({"task": name, "asked": {}, "share": 0.25}))
    return folder


def test_curves_are_thinned_but_for_the_last_point() -> None:
    points = [(float(i), None, None, 1.0) for i in range(3 * POINTS + 1)]
    found = thinned(points, POINTS)
    assert len(found) <= POINTS + 1
    assert (found[0], found[-1]) == (points[0], points[-1])
    rows = [{"a": 1.0, "bad": float("nan"), "d_step": 2, "kimg": 1, "time": 30.0}, {"a": 3, "time": 90.0, "word": "x"}]
    assert series(rows) == {"a": [(2, 1, 0, 1.0), (None, None, 1.0, 3)]}


def test_a_resumed_runs_course_has_each_step_once_and_no_pause() -> None:
    starts = ["2026-01-01T00:00:00+00:00", "2026-01-01T10:00:00+00:00"]
    first, second = (datetime.fromisoformat(text).timestamp() for text in starts)
    rows = [{"d_step": k, "kimg": float(k), "time": first + 60 * k, "loss": 1.0} for k in range(1, 6)]
    rows += [{"d_step": k, "kimg": float(k), "time": second + 60 * (k - 3), "loss": 2.0} for k in range(4, 7)]
    found = series(continued(rows, starts))["loss"]
    assert found == [(k, k, k - 1, 1.0 if k < 4 else 2.0) for k in range(1, 7)]
    assert series(continued(rows[:5], starts[:1])) == series(rows[:5])


def test_panels_are_pictures_with_a_number() -> None:
    folder = run(3 * FRAMES) / "samples"
    Image.new("L", (4, 4)).save(folder / "alone.png")
    [(name, found)] = panels(folder).items()
    assert name == "samples"
    assert len(found) <= FRAMES + 1
    assert found[-1].name == f"samples-{1000 * (3 * FRAMES - 1):09d}.png"


def test_the_page_holds_what_the_run_holds() -> None:
    folder = run()
    assert main(["report", str(folder)]) == 0
    text = (folder / "report.html").read_text()
    for part in (
        "gan/&lt;toy&gt;, seed 5",
        "atelier fit gan/toy",
        "fid@toy",
        "first, 0 kimg",
        "share 0.25",
        "experiment",
    ):
        assert part in text
    assert "<toy>" not in text
    assert text.count("<img") == 3  # one panel, one edit, one explanation
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    assert main(["report", str(folder), "--out", "other.html"]) == 0  # and again, as it was
    assert main(["report", str(folder)]) == 0
    assert Path("other.html").read_text() == text


def test_a_run_that_has_just_begun_has_a_page() -> None:
    Path("run").mkdir()
    Path("run/config.yaml").write_text("a: 1\n")
    assert main(["report", "run"]) == 0
    assert "no record" in Path("run/report.html").read_text()


def test_a_run_without_scores_yet_that_was_killed_has_a_page(capfd: pytest.CaptureFixture[str]) -> None:
    folder = run()
    record = json.loads((folder / "record.json").read_text())
    for block in record["scores"]:
        del block["first"], block["last"]
    (folder / "record.json").write_text(json.dumps(record | {"status": "running"}))
    assert main(["report", str(folder)]) == 0
    assert "cut off</p>" in (folder / "report.html").read_text()
    Path("pages").mkdir()
    assert "pages exists and is not overwritten" in refused(capfd, "report", str(folder), "--out", "pages")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "report needs a run and nothing else"),
        (["run", "--clock.kimg", "3"], "report needs a run and nothing else"),
        (["nowhere"], "nowhere is no run directory: there is no such folder"),
        (["run"], "record.json is damaged"),
    ],
)
def test_bad_input_is_one_sentence(words: list[str], sentence: str, capfd: pytest.CaptureFixture[str]) -> None:
    (run() / "record.json").write_text("{")
    assert sentence in refused(capfd, "report", *words)


@needs_browser
def test_in_a_browser_the_slider_moves_and_curves_change_their_axis() -> None:
    folder = run()
    assert main(["report", str(folder)]) == 0
    with opened(folder / "report.html") as page:
        assert page.title() == "gan/<toy>, seed 5"
        caption, picture = page.locator(".panel output"), page.locator(".panel img")
        assert caption.inner_text() == "samples-000002000"
        last = picture.get_attribute("src")
        page.locator(".panel input").press("ArrowLeft")
        assert caption.inner_text() == "samples-000001000"
        assert picture.get_attribute("src") != last
        assert page.evaluate("[...document.images].every((image) => image.naturalWidth > 0)")

        chart = page.locator("figure[data-chart]").filter(has_text="val/fid@toy")
        assert chart.locator("output").inner_text() == "3 at 4"
        points = chart.locator("path").get_attribute("d")
        page.get_by_label("logarithmic").check()
        assert chart.locator("path").get_attribute("d") != points
        page.get_by_label("steps").check()
        assert chart.locator("output").inner_text() == "3 at 400"
        page.locator("summary", has_text="losses").click()
        assert page.locator("figure[data-chart] svg:visible").count() == 2
        page.screenshot(path="page.png", full_page=True)

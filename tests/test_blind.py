"""A blind comparison: pairs on sides that nobody is told, votes by key, a win rate with its interval."""

import base64
import io
import json
import random
from pathlib import Path

import pytest
from browser import needs_browser, opened
from command_line import place, refused
from PIL import Image
from test_compare import run

from experiments import compare_blind
from experiments.cli import main
from experiments.compare_blind import blind_page, paired, parts, wilson

pytestmark = pytest.mark.usefixtures(place.__name__)


def grid(rows: int, columns: int, filled: int, side: int = 4) -> Image.Image:
    """As a run writes it: cells between gaps of 2 px, each of its own brightness; the last ones may be left empty."""
    sheet = Image.new("RGB", (columns * (side + 2) + 2, rows * (side + 2) + 2), (128, 128, 128))
    for i in range(filled):
        cell = Image.new("RGB", (side, side), (10 * i, 10 * i, 10 * i))
        sheet.paste(cell, (2 + i % columns * (side + 2), 2 + i // columns * (side + 2)))
    return sheet


def folders() -> None:
    for name, level in (("a", 40), ("b", 200)):
        Path(name).mkdir()
        for i in range(6):
            Image.new("L", (8, 8), level + i).save(f"{name}/{i}.png")


def test_a_grid_is_taken_apart() -> None:
    found = parts(grid(2, 3, 5), rows=False)
    assert [(part.size, part.getpixel((0, 0))[0]) for part in found] == [((4, 4), 10 * i) for i in range(5)]
    assert [part.size for part in parts(grid(2, 3, 6), rows=True)] == [(16, 4)] * 2


def test_pictures_of_one_name_belong_together_and_samples_do_not() -> None:
    image = Image.new("L", (1, 1))
    a, b = ({f"{name}": image for name in names} for names in ("wxyz", "zyxa"))
    assert sorted(paired(a, b, random.Random(0))) == [("x", "x"), ("y", "y"), ("z", "z")]
    drawn = {f"samples-{i}": image for i in range(20)}
    pairs = paired(drawn, drawn, random.Random(0))
    assert len(pairs) == 20
    assert any(one != other for one, other in pairs)


def level(source: str) -> int:
    """The brightness of the corner of a picture on the page."""
    with Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) as image:
        return image.convert("L").getpixel((0, 0))


def test_a_pair_is_swapped_where_the_page_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    folders()  # a is dark, b is bright
    monkeypatch.setattr(compare_blind, "page", lambda title, body, data, script: json.dumps(data))
    pairs = json.loads(blind_page(["a", "b"], Path("runs"), 6, 0))["blind"]["pairs"]
    assert {pair["swapped"] for pair in pairs} == {True, False}
    for pair in pairs:
        dark, bright = 40 + int(pair["names"][0]), 200 + int(pair["names"][1])
        shown = [level(pair[side]) for side in ("left", "right")]
        assert shown == ([bright, dark] if pair["swapped"] else [dark, bright])


def test_the_interval_by_hand() -> None:
    assert wilson(0, 10) == pytest.approx((0, 0.2775), abs=1e-4)
    assert wilson(50, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)


def test_votes_of_several_people_are_one_rate(capfd: pytest.CaptureFixture[str]) -> None:
    for name, votes in (("x", [0, 0, 1]), ("y", [0, None])):
        held = {"of": ["a", "b"], "seed": 0, "votes": [{"names": ["0", "0"], "vote": vote} for vote in votes]}
        Path(f"{name}.json").write_text(json.dumps(held))
    assert main(["compare", "--votes", "x.json", "y.json"]) == 0
    assert capfd.readouterr().out == "a against b: 3 to 1, 1 undecided; wins 75% (95 % between 30% and 95%)\n"
    assert main(["compare", "--votes", "x.json", "./x.json"]) == 0
    assert "2 to 1" in capfd.readouterr().out  # once
    Path("z.json").write_text(json.dumps({"of": ["a", "c"], "votes": [{"vote": 1}]}))
    assert "z.json is of a and c, not of a and b" in refused(capfd, "compare", "--votes", "x.json", "z.json")
    Path("z.json").write_text(json.dumps({"of": "ab", "votes": [{"vote": 1}]}))
    assert "z.json holds no votes" in refused(capfd, "compare", "--votes", "z.json")
    Path("z.json").write_text(json.dumps({"of": ["a", "b"], "votes": [{"vote": 2}]}))
    for extra in (["--pairs", "5"], ["--blind"]):
        assert "--votes takes the files alone" in refused(capfd, "compare", "--votes", "x.json", *extra)
    assert "z.json holds no votes of a blind comparison" in refused(capfd, "compare", "--votes", "z.json")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["a"], "--blind compares two runs, or two folders of pictures: 1 are given"),
        (["runs/gan/toy/one", "nowhere"], "there is no run at nowhere"),
        (["runs/gan/toy/one", "runs"], "runs is 2 runs: --blind compares one with one"),
        (["a", "b", "--out", "tiny.yaml"], "tiny.yaml exists and is not overwritten"),
        (["a", "b", "--by", "fid"], "--by ranks runs, which a blind comparison does not"),
        (["a", "b", "--pairs", "0"], "--pairs expects a whole number of at least 1"),
    ],
)
def test_bad_input_is_one_sentence(words: list[str], sentence: str, capfd: pytest.CaptureFixture[str]) -> None:
    folders()
    run("one", [3.0]), run("two", [3.0])
    assert sentence in refused(capfd, "compare", *words, "--blind")


def test_a_damaged_picture_is_one_sentence(capfd: pytest.CaptureFixture[str]) -> None:
    folders()
    next(Path("b").iterdir()).write_bytes(b"no picture")
    assert "gives no picture" in refused(capfd, "compare", "a", "b", "--blind")
    one, two = run("one", [3.0]), run("two", [3.0])
    sheet = next(Path(one, "samples").iterdir())
    sheet.write_bytes(sheet.read_bytes()[:45])
    assert "gives no picture" in refused(capfd, "compare", one, two, "--blind")


@needs_browser
def test_in_a_browser_keys_vote_and_the_votes_are_a_file(capfd: pytest.CaptureFixture[str]) -> None:
    folders()
    assert main(["compare", "a", "b", "--blind", "--pairs", "4", "--out", "blind.html"]) == 0
    with opened(Path("blind.html")) as page:
        bright = "document.querySelectorAll('#pair img')[{}].src"
        for key in ("ArrowLeft", "ArrowUp", "ArrowLeft", "ArrowRight", "ArrowDown"):
            page.keyboard.press(key)
        assert page.locator("#progress").inner_text() == "4 of 4"
        page.reload()  # what was voted is kept
        assert page.locator("#progress").inner_text() == "4 of 4"
        pair = page.evaluate("JSON.parse(document.getElementById('data').textContent).blind.pairs[3]")
        assert page.evaluate(bright.format(0)) == pair["left"]
        page.get_by_role("button", name="left").click()
        assert page.locator("#progress").inner_text() == "All done."
        link = page.locator("#outcome a").get_attribute("href")
        sides = page.evaluate(
            "JSON.parse(document.getElementById('data').textContent).blind.pairs.map((p) => p.swapped)"
        )
        page.screenshot(path="page.png")
        held = page.evaluate("(link) => JSON.parse(decodeURIComponent(link.split(',')[1]))", link)
        page.get_by_role("button", name="begin anew").click()
        assert page.locator("#progress").inner_text() == "1 of 4"
    left = [int(swapped) for swapped in sides]
    assert [vote["vote"] for vote in held["votes"]] == [left[0], 1 - left[1], None, left[3]]
    Path("votes.json").write_text(json.dumps(held))
    assert main(["compare", "--votes", "votes.json"]) == 0
    assert "1 undecided" in capfd.readouterr().out

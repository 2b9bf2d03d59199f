"""``atelier compare``: what sets runs apart, no score ranked beside one of another protocol, and no torch."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from browser import needs_browser, opened
from command_line import ROOT, place, refused
from PIL import Image

from experiments.cli import main
from experiments.compare import plain, remarks
from experiments.compare_runs import Contender
from experiments.compare_scores import chosen
from experiments.compare_settings import Settings, differences, flat
from experiments.errors import UserError
from experiments.table_file import read_table, tables
from experiments.table_results import result_of
from lightning_modules.metrics.directions import better
from lightning_modules.metrics.standard import NAMED

pytestmark = pytest.mark.usefixtures(place.__name__)
PROTOCOL: dict[str, Any] = {
    "data": "digits",
    "data_sha256": "0",
    "resolution": "1x8x8",
    "resize": "none",
    "extractor": "toy",
    "extractor_sha256": "0",
    "reference_split": "train",
    "reference_count": 100,
    "fakes": 100,
}


def row(kimg: float, fid: float) -> dict[str, Any]:
    return {"d_step": 100 * kimg, "kimg": kimg, "seconds": 60 * kimg, "metrics": {"fid@toy": fid, "odd": 1.0}}


def record(fids: list[float], **changed: Any) -> dict[str, Any]:
    history = [row(float(k), fid) for k, fid in enumerate(fids)]
    best = min(history, key=lambda one: one["metrics"]["fid@toy"])
    block = {"protocol": PROTOCOL | changed.pop("protocol", {}), "floor": None, "first": history[0]}
    block |= {"last": history[-1], "best": {"by": "fid@toy", **best}, "history": history}
    clock = {"d_step": 100, "g_step": 100, "kimg": float(len(fids) - 1), "total_d_steps": 100}
    return {
        **{"experiment": "gan/toy", "key": "1", "seed": 0, "status": "finished", "started": ["2026-01-01T00:00:00"]},
        **{"wall_seconds": 120.0, "clock": clock, "code": {"dirty": False}, "scores": [block]},
        **{"hardware": {"gpu": None, "threads": 1}, "cost": {"parameters": {"G": 1000, "D": 24}}},
        **changed,
    }


def run(name: str, fids: list[float], config: str = "model: {width: 4}", **changed: Any) -> str:
    """A run directory as training leaves it."""
    folder = Path("runs/gan/toy") / name
    (folder / "samples").mkdir(parents=True)
    (folder / "config.yaml").write_text(config)
    (folder / "record.json").write_text(json.dumps(record(fids, **changed)))
    for k in range(len(fids)):
        Image.new("L", (20, 20), 40 * k).save(folder / f"samples/samples-{1000 * k:09d}.png")
    return str(folder)


def said(capfd: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["compare", *words]) == 0
    return capfd.readouterr().out


def cells(text: str, number: int) -> list[str]:
    """Those of the row that begins with ``number``."""
    [line] = [line for line in text.splitlines() if line.startswith(f"| {number} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_best_comes_first_beside_its_best_checkpoint_and_what_it_cost(capfd) -> None:
    a, b = run("a", [9.0, 3.0, 4.0]), run("b", [9.0, 5.0, 2.0], seed=1)
    text = said(capfd, a, b)
    assert cells(text, 1) == ["1", "gan/toy, seed 1", "2", "2", "1,024", "1 thread", "2", "2 (2)"]
    assert cells(text, 2)[1:2] + cells(text, 2)[-2:] == ["gan/toy, seed 0", "4", "3 (1)"]
    assert "odd" not in text  # nobody knows which side is better
    assert "Settings that differ" not in text
    cost = {"flops_per_sample": 2500000, "peak_memory_mb": {"process": 900.0, "gpu": 80.0}, "checkpoint_mb": None}
    text = said(capfd, a, b, run("c", [6.0], seed=2, cost=cost))
    assert "| kimg | minutes | parameters | GFLOPs a sample | peak MB | on | fid@toy" in text
    assert cells(text, 3)[1:8] == ["gan/toy, seed 2", "0", "2", "–", "0.0025", "900", "1 thread"]
    on_gpu = run("d", [7.0], seed=3, cost=cost, hardware={"gpu": "A GPU", "threads": 1})
    assert cells(said(capfd, a, on_gpu), 2)[6:8] == ["80", "A GPU"]
    assert cells(text, 1)[5:7] == ["–", "–"]


def test_the_best_of_a_score_that_no_checkpoint_was_kept_by(capfd) -> None:
    names = []
    for name, kids in (("a", [0.05, 0.1, 0.2]), ("b", [0.5, 0.4, 0.3])):  # the first is of what is not yet trained
        one = record([9.0, 5.0, 3.0], seed=len(names))
        for moment, kid in zip(one["scores"][0]["history"], kids, strict=True):
            moment["metrics"]["kid@toy"] = kid
        Path(f"{name}.json").write_text(json.dumps(one))
        names.append(f"{name}.json")
    text = said(capfd, *names, "--by", "kid@toy")
    assert [cells(text, i)[6:8] for i in (1, 2)] == [["0.2", "0.1 (1)"], ["0.3", "0.3 (2)"]]


def test_runs_of_other_protocols_have_columns_of_their_own_and_are_not_ranked(capfd) -> None:
    a, b = run("a", [3.0]), run("b", [2.0], protocol={"fakes": 50}, seed=1)
    run("c", [4.0], seed=2)
    text = said(capfd, "runs/gan/toy/*")
    assert [cells(text, i + 1)[1] for i in range(3)] == ["gan/toy, seed 0", "gan/toy, seed 2", "gan/toy, seed 1"]
    assert cells(text, 3)[6:] == ["–", "–", "2"]
    assert "fid@toy, odd [2] measured otherwise than [1]: fakes 50, not 100." in text
    assert "1 of 3 have no fid@toy [1] and stand last." in text
    assert "name one of them, such as --by 'fid@toy [1]'" in refused(capfd, "compare", a, b, "--by", "fid@toy")
    text = said(capfd, a, b, "--by", "fid@toy [2]")
    assert "by fid@toy [2]" in text
    assert cells(text, 1)[1:2] + cells(text, 1)[6:] == ["gan/toy, seed 1", "2", "2 (0)", "–"]
    assert "no run has a score kid: there are fid@toy" in refused(capfd, "compare", a, "--by", "kid")
    with pytest.raises(UserError, match="no run has a score kid, nor any other: none of them was evaluated"):
        chosen([], "kid")
    assert "nobody knows which side of odd is better" in refused(capfd, "compare", a, "--by", "odd")


def test_an_evaluation_of_the_best_checkpoint_alone_has_a_column_of_its_own(capfd) -> None:
    results = Path("results/gan")
    results.mkdir(parents=True)
    for seed, (fids, kid) in enumerate([([9.0, 3.0, 4.0], 0.25), ([9.0, 2.0, 5.0], 0.125)]):
        (results / f"toy-s{seed}.json").write_text(json.dumps(record(fids, seed=seed)))
        of = {"experiment": "gan/toy", "run_seed": seed, "checkpoint": "best by val/fid@toy", "d_step": 100.0}
        found = {name: {"mean": value} for name, value in (("kid@toy", kid), ("fid@toy", fids[1]))}
        content = {"kind": "evaluation", "of": of, "protocol": PROTOCOL, "scores": found, "floor": None, "seeds": [0]}
        beside = Path("results/evaluations/gan") / f"toy-s{seed}.json"
        beside.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(content))
    text = said(capfd, "results/gan")
    assert "fid@toy ↓ | best (kimg) | kid@toy, best checkpoint ↓ | fid@toy, best checkpoint ↓ |" in text
    assert cells(text, 1)[1:2] + cells(text, 1)[6:] == ["gan/toy, seed 0", "4", "3 (1)", "0.25", "3"]
    assert cells(text, 2)[1:2] + cells(text, 2)[6:] == ["gan/toy, seed 1", "5", "2 (1)", "0.125", "2"]
    text = said(capfd, "results/gan", "--by", "fid@toy, best checkpoint")  # and no longer by the last one's
    assert [cells(text, i)[1] for i in (1, 2)] == ["gan/toy, seed 1", "gan/toy, seed 0"]
    assert "no run has a score kid@toy" in refused(capfd, "compare", "results/gan", "--by", "kid@toy")


def test_a_mean_of_evaluations_is_not_ranked_beside_a_single_one(capfd) -> None:
    results = Path("results/gan")
    results.mkdir(parents=True)
    for seed, seeds in enumerate(([0], [0, 1, 2])):
        (results / f"toy-s{seed}.json").write_text(json.dumps(record([4.0], seed=seed)))
        of = {"experiment": "gan/toy", "run_seed": seed, "checkpoint": "last", "d_step": 0.0}
        content = {"kind": "evaluation", "of": of, "protocol": PROTOCOL, "floor": None, "seeds": seeds}
        beside = Path("results/evaluations/gan") / f"toy-s{seed}.json"
        beside.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps({**content, "scores": {"kid@toy": {"mean": 0.5 - 0.25 * seed}}}))
    text = said(capfd, "results/gan")
    assert "kid@toy [2] measured otherwise than [1]: evaluations 3, not 1." in text
    assert "was measured by 2 protocols" in refused(capfd, "compare", "results/gan", "--by", "kid@toy")


def test_a_field_that_says_nothing_is_a_value_of_generated_images(capfd) -> None:
    runs = [run("none", [3.0]), run("half", [2.0], protocol={"truncation": 0.5}, seed=1)]
    runs.append(run("more", [1.0], protocol={"truncation": 0.7}, seed=2))
    for order in (runs, runs[::-1]):
        text = said(capfd, *order)
        assert "fid@toy [3]" in text  # none of them shares a column


def test_what_differs_in_the_configurations(capfd) -> None:
    parts = ("model: {{class_path: a.GAN, init_args: {{width: {}, losses: [{{class_path: b.{}}}]}}}}").format
    a, b = run("a", [3.0], parts(4, "BCE")), run("b", [2.0], parts("1e1", "Hinge"), seed=1)
    text = said(capfd, b, a)
    assert "| model.width | 10 | 4 |" in text
    assert "| model.losses.BCE | – | BCE |" in text
    many = [run(f"m{i}", [1.0], parts(i % 2, "BCE"), seed=i + 2) for i in range(8)]
    assert "| model.width | 0 (4), 1 (4) |" in said(capfd, *many)


def test_a_score_is_better_on_the_side_that_every_table_says() -> None:
    stated = [(column.score, column.better) for file in tables().values() for column in read_table(file).columns]
    assert len(stated) > 50
    assert [(score, side) for score, side in stated if better(score) not in (side, None)] == []
    assert {score for score, _ in stated if better(score) is None} == set()
    sided = [kind for kind in NAMED.values() if kind.higher_is_better is not None]
    measured = [(name, kind) for kind in sided for name in kind.names if not name.endswith("_std")]
    assert len(measured) > 5
    assert [name for name, kind in measured if better(name) != ("higher" if kind.higher_is_better else "lower")] == []


def test_large_numbers_are_written_out() -> None:
    assert [plain(value, 4) for value in (0.0625, 700.032, 9999.4, 39999.6)] == ["0.0625", "700", "9999", "40000"]
    assert [plain(value, 3) for value in (999.7, 5e-5)] == ["1000", "0.00005"]


def test_settings_by_hand() -> None:
    loss = {"class_path": "x.R1", "init_args": {"weight": 2.0, "off": None}}
    assert flat({"model": {"class_path": "a.b.GAN", "init_args": {"z": [1, 2], "penalties": [loss, loss]}}}) == {
        **{"model": "GAN", "model.z": "[1, 2]", "model.penalties.R1": "R1", "model.penalties.R1.weight": "2"},
        **{"model.penalties.R1-2": "R1", "model.penalties.R1-2.weight": "2"},
    }
    assert flat({"seed_everything": 1, "data": {"a": "1e-3", "b": True}}) == {"data.a": "0.001", "data.b": "true"}
    assert flat({"clock": {"g_steps": 1234567}, "data": {"name": "00123"}}) == {
        "clock.g_steps": "1234567",
        "data.name": "00123",
    }
    unknown = Settings()
    assert differences([unknown, Settings({"a": "1"}), Settings({"a": "2"})]) == {"a": ["?", "1", "2"]}
    assert differences([unknown, Settings({"a": "1"})]) == {}
    whole, part = Settings({"a": "1", "b": "2"}, True), Settings({"a": "3"})
    assert differences([whole, part]) == {"a": ["1", "3"]}  # b may be 2 by default
    assert differences([whole, Settings({"a": "1"}, True)]) == {"b": ["2", None]}
    deep = [Settings({"m.net": "A", "m.net.w": "1"}, True), Settings({"m.net": "B", "m.net.v": "2"}, True)]
    assert differences(deep) == {"m.net": ["A, w 1", "B, v 2"]}
    two = [Settings({"m.net": "A", "m.net.w": w}, True) for w in "12"]
    assert differences([*two, deep[1]])["m.net.w"] == ["1", "2", None]


def test_keys_that_differ_without_a_setting_that_does_are_said() -> None:
    here, there = (result_of(record([3.0], key=key), "", key == "2") for key in "12")
    one = Contender("a", here, Settings({"model.width": "4", "model.n_critic": "2"}, whole=True))
    other = Contender("b", there, Settings({"model.width": "4"}))
    assert remarks([one, other], None) == [
        "a and b may differ in a setting that a committed result leaves at its default: their keys do."
    ]
    wider = replace(other, settings=Settings({"model.width": "8"}))
    assert remarks([one, wider], None) == remarks([one, one], None) == []


def test_committed_results_bring_their_pictures_evaluations_and_settings(capfd) -> None:
    text = said(capfd, "gan/dcgan_mnist32", "vae/vae_mnist32", "--out", "page.html")
    assert "fid@mnist-cnn" in text
    assert "kid@mnist-cnn" in text
    assert "| model | GAN | VAE |" in text
    results = ROOT / "experiments/results/gan"
    long_and_short = [str(results / f"dcgan_mnist32{length}-s0.json") for length in ("", "_100kimg")]
    assert "| clock.kimg | 700 | 100 |" in said(capfd, *long_and_short)
    assert Path("page.html").read_text().count("data:image/png") >= 2
    text = said(capfd, "gan/*_mnist32")
    assert "| gan/dcgan_mnist32, seed 0" in text
    assert "| gan/wgan_mnist32, seed 0 |" in text
    assert "vae" not in text


def test_classifiers_of_other_data_are_not_ranked(capfd) -> None:
    both = ("classifier/cnn_mnist32", "classifier/cnn_digits32")
    assert "accuracy [1]" in refused(capfd, "compare", *both, "--by", "accuracy")


def test_two_hundred_runs_in_two_seconds_without_torch() -> None:
    for i in range(200):
        run(f"r{i}", [9.0 - j for j in range(6)], f"model: {{width: {i}}}", seed=i)
    code = """
import sys, time
from experiments.cli import main
assert main(["compare", "runs"]) == 0
assert time.process_time() < 2
assert not {"torch", "lightning", "jsonargparse", "wandb", "numpy"} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "200 runs, by fid@toy" in done.stdout


@needs_browser
def test_in_a_browser_it_sorts_hides_and_moves() -> None:
    run("a", [9.0, 3.0, 4.0]), run("b", [8.0, 5.0], seed=1), run("c", [7.0], protocol={"fakes": 50}, seed=2)
    assert main(["compare", "runs", "--out", "page.html"]) == 0
    with opened(Path("page.html")) as page:
        names = page.locator("tbody td:nth-child(2)")
        assert page.locator("th[aria-sort=ascending]").all_inner_texts() == ["fid@toy [1]"]
        assert names.all_inner_texts() == ["gan/toy, seed 0", "gan/toy, seed 1", "gan/toy, seed 2"]
        page.get_by_role("button", name="kimg", exact=True).click()
        assert names.all_inner_texts()[0] == "gan/toy, seed 2"
        page.get_by_role("button", name="fid@toy [1]", exact=True).click()
        page.get_by_role("button", name="fid@toy [1]", exact=True).click()
        assert names.all_inner_texts() == ["gan/toy, seed 1", "gan/toy, seed 0", "gan/toy, seed 2"]

        chart = page.locator("figure[data-chart]").filter(has_text="fid@toy [1]")
        assert chart.locator("path").count() == 2
        assert chart.locator("output").inner_text() == "4 at 2, gan/toy, seed 0"
        page.get_by_label("minutes").check()
        page.get_by_label("gan/toy, seed 0", exact=True).uncheck()
        assert chart.locator("path").count() == 1
        assert chart.locator("output").inner_text() == "5 at 1, gan/toy, seed 1"
        assert page.locator(".abreast figure:visible").count() == 2

        slider, said = page.locator(".abreast input"), page.locator(".abreast p output")
        assert said.inner_text() == "after 2 thousand images"
        picture = page.locator(".abreast img").nth(1)
        last = picture.get_attribute("src")
        slider.press("ArrowLeft")
        assert picture.get_attribute("src") == last  # that run ended there
        slider.press("ArrowLeft")
        assert picture.get_attribute("src") != last
        assert page.evaluate("[...document.images].every((image) => image.naturalWidth > 0)")
        page.screenshot(path="page.png", full_page=True)

"""The gallery is what the committed records say, and every picture has one."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from table_records import record, write

from experiments.errors import UserError
from experiments.gallery import PICTURES, entries, gallery, main, record_of
from experiments.table_results import RESULTS

ROOT = Path(__file__).parent.parent
TORCHLESS = """
import sys
from experiments.gallery import main
code = main(["mine.md"])
heavy = {"torch", "lightning", "numpy", "jsonargparse"} & set(sys.modules)
assert not code and not heavy, heavy
"""
EVALUATION = {
    "kind": "evaluation",
    "of": {"experiment": "gan/dcgan_mnist32", "run_seed": 2, "checkpoint": "best by fid"},
    "protocol": {"data": "mnist"},
    "seeds": [0, 1, 2],
    "scores": {"fid@mnist-cnn": {"mean": 1.23456}, "swd": {"mean": 4.0}},
    "wall_seconds": 30,
    "code": {"commit": "0123456789", "dirty": False},
}


def add(results, name, content=None, *pictures):
    """A record ``name`` with pictures that bear its name and these endings."""
    write(results / f"{name}.json", record() if content is None else content)
    for ending in pictures:
        write(results / f"{name}{ending}", "picture")


def test_the_gallery_is_what_make_gallery_writes():
    assert (ROOT / "GALLERY.md").read_text(encoding="utf-8") == gallery(ROOT), "run `make gallery`"


def test_every_committed_picture_is_shown_once_and_has_a_record():
    shown = re.findall(r"!\[[^]]*\]\(([^)]*)\)", (ROOT / "GALLERY.md").read_text(encoding="utf-8"))
    there = {file.relative_to(ROOT).as_posix() for file in RESULTS.rglob("*") if file.suffix in PICTURES}
    assert len(shown) == len(set(shown))
    assert set(shown) == there
    for picture in there:
        assert record_of(ROOT / picture) is not None, f"{picture} has no record"


def test_what_stands_under_a_picture_is_its_records(tmp_path):
    best = {"by": "fid@mnist-cnn", "metrics": {"fid@mnist-cnn": 0.1}}
    last = {"metrics": {"is@mnist-cnn": 8.0, "fid@mnist-cnn": 2.34567}}
    code = {"commit": "abcdef0123", "dirty": True}
    content = record(seed=7, scores=[{"last": last, "best": best}], code=code, wall_seconds=90, status="stopped")
    add(tmp_path / "results", "gan/mine-s7", content, ".png")
    text = gallery(tmp_path, tmp_path / "results")
    assert "## gan\n" in text
    assert (
        "| ![gan/dcgan_mnist32, seed 7](results/gan/mine-s7.png)"
        "<br>[gan/dcgan_mnist32](results/gan/mine-s7.json), seed 7"
        "<br>700 kimg, stopped, 1.5 min<br>`fid@mnist-cnn` 2.346<br>commit abcdef0 with uncommitted changes |  |  |"
    ) in text


@pytest.mark.parametrize(
    "scores",
    [[], [{"last": None}], [{"last": {"metrics": {}}}], [{"last": {"metrics": {"fid": None}}, "best": {"by": "fid"}}]],
)
def test_a_run_without_a_headline_shows_none(tmp_path, scores):
    add(tmp_path, "vae/mine-s0", record(scores=scores), ".png")
    assert "700 kimg, 10 min<br>commit c |" in gallery(tmp_path, tmp_path)


def test_a_run_that_chose_no_best_shows_its_first_score(tmp_path):
    scores = [{"last": {"metrics": {"psnr": 28.417, "ssim": 0.8}}, "best": None}, {"last": {"metrics": {"other": 1}}}]
    clock = {**record()["clock"], "kimg": 0}
    add(tmp_path, "super_resolution/mine-s0", record(scores=scores, clock=clock), "-x4.png")
    text = gallery(tmp_path, tmp_path)
    assert ", seed 0<br>x4<br>10 min<br>`psnr` 28.42<br>commit c |" in text
    assert {line.count("|") for line in text.splitlines() if line.startswith("|")} == {4}


def test_a_picture_of_another_moment_or_way_to_sample_has_that_ones_score(tmp_path):
    def moment(kimg, fid):
        return {"kimg": kimg, "seconds": 6 * kimg, "metrics": {"fid@toy": fid, "fid_first@toy": fid + 1}}

    history = [moment(175, 9.0), moment(350, 5.0), moment(700, 3.0)]
    scores = [{"last": history[-1], "best": {"by": "fid@toy"}, "history": history}]
    clock = {**record()["clock"], "length": {"epochs": 40}}
    content = record(scores=scores, clock=clock, wall_seconds=4500)
    add(tmp_path, "gan/mine-s0", content, ".png", "-first.png", "-after_10_epochs.png")
    text = gallery(tmp_path, tmp_path)
    assert ", seed 0<br>700 kimg, 75 min<br>`fid@toy` 3<br>" in text
    assert "first<br>700 kimg, 75 min<br>`fid_first@toy` 4<br>" in text
    assert "after_10_epochs<br>175 kimg, 18 min<br>`fid@toy` 9<br>" in text


def test_evaluations_come_last_and_say_what_was_compared(tmp_path):
    add(tmp_path, "evaluations/gan/mine-s2", EVALUATION, ".nn_p05.png")
    of_files = {**EVALUATION, "of": {"fakes": "cifar10/test"}, "seeds": []}
    add(tmp_path, "evaluations/floor/mine", of_files, ".odd.png")
    of_pairs = {**EVALUATION, "of": {"restored": "mended"}, "protocol": {"targets": "whole"}, "seeds": []}
    add(tmp_path, "evaluations/pairs/mine", of_pairs, ".png")
    add(tmp_path, "vae/mine-s0", None, ".png")
    text = gallery(tmp_path, tmp_path)
    sections = re.findall("^## (.*)$", text, re.MULTILINE)
    assert sections == ["vae", "evaluations/floor", "evaluations/gan", "evaluations/pairs"]
    assert (
        "seed 2<br>samples, each before the training images nearest to it<br>best by fid checkpoint, means of 3" in text
    )
    assert "<br>odd<br>against mnist, 0.5 min<br>`fid@mnist-cnn` 1.235<br>commit 0123456 |" in text
    assert "[mended](evaluations/pairs/mine.json)<br>against whole, 0.5 min" in text


def test_seeds_are_ordered_as_numbers_and_panels_stay_with_their_run(tmp_path):
    for seed in (10, 2, 1):
        add(tmp_path, f"vae/mine-s{seed}", record(seed=seed), ".png")
    add(tmp_path, "vae/mine-s1", record(seed=1), ".png", "-walk.png", "-reconstruction.png")
    add(tmp_path, "vae/else-s1-s3", None, ".png")
    found = entries(tmp_path)["vae"]
    assert [entry.record.stem for entry in found] == ["else-s1-s3", "mine-s1", "mine-s2", "mine-s10"]
    assert set(found[1].pictures) == {"", "reconstruction", "walk"}
    pictures = re.findall(r"\]\(vae/([^)]*)\.png\)", gallery(tmp_path, tmp_path))
    assert pictures == ["else-s1-s3", "mine-s1", "mine-s1-reconstruction", "mine-s1-walk", "mine-s2", "mine-s10"]


@pytest.mark.parametrize(
    ("records", "picture"),
    [
        ([], "mine-s0.png"),
        (["mine-s1"], "mine-s10.png"),
        (["mine"], "mine-s0.png"),  # no panel "s0" of something else
        (["mine-s0"], "mine-s0_walk.png"),
        (["mine-s0"], "other-s0.JPG"),
        (["else/mine-s0"], "mine-s0.png"),
    ],
)
def test_a_picture_without_a_record_is_refused(tmp_path, records, picture):
    for name in records:
        add(tmp_path, f"gan/{name}")
    write(tmp_path / "gan" / picture, "picture")
    with pytest.raises(UserError, match=f"gan/{picture} has no record: commit"):
        gallery(tmp_path, tmp_path)


@pytest.mark.parametrize("damage", ["{", "[]", "{}", json.dumps({**EVALUATION, "of": {}})])
def test_a_damaged_record_is_named(tmp_path, damage):
    add(tmp_path, "gan/mine-s0", damage, ".png")
    with pytest.raises(UserError, match=r"mine-s0\.json is no record, or a damaged one"):
        gallery(tmp_path, tmp_path)


def test_a_record_without_a_picture_is_no_matter(tmp_path):
    add(tmp_path, "classifier/mine-s0")
    assert entries(tmp_path) == {}


def test_it_is_written_only_where_it_changed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert (main(["mine.md"]), capsys.readouterr().out) == (0, "mine.md: written anew\n")
    assert (main(["mine.md"]), capsys.readouterr().out) == (0, "")


def test_it_imports_no_torch(tmp_path):
    subprocess.run([sys.executable, "-c", TORCHLESS], check=True, cwd=tmp_path, capture_output=True)

"""Laws of which run fills which cell: settings by key, length, seed, and what is said of the rest."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from table_records import PROTOCOL, STARTED, commit, cut_off, known, read, record, table, wanting, write

from datamodules.functional.locks import taken
from experiments import table_run_keys
from experiments.errors import UserError
from experiments.table_cells import Known, read_keys
from experiments.table_run_keys import file_of, keep_keys, stored_keys


def only(found):
    (line,), said = found
    return line, said


def test_the_cell_is_filled_by_experiment_key_length_and_seed(tmp_path):
    results = tmp_path / "results"
    commit(results, "right", fid=1.0)
    commit(results, "seed", fid=2.0, seed=1)
    commit(results, "settings", fid=3.0, key="other")
    commit(results, "longer", fid=4.0, kimg=900)
    commit(results, "shorter", fid=5.0, kimg=100)
    write(results / "else.json", record(fid=6.0) | {"experiment": "gan/hinge_mnist32"})
    line, said = only(read(tmp_path))
    assert line.figures[0].values == (1.0,)
    assert (line.marks, said) == ([], [])


def test_overrides_are_a_matter_of_the_key(tmp_path):
    changed = table(rows=[{"experiment": "gan/dcgan_mnist32", "overrides": {"model.n_critic": 2}}])
    commit(tmp_path / "results", "plain", fid=1.0)
    commit(tmp_path / "results", "old", fid=1.5, key=None)
    line, _ = only(read(tmp_path, changed, known("two", **{"model.n_critic": 2})))
    assert line.figures[0].mean is None
    assert line.marks == ["not run: `atelier fit gan/dcgan_mnist32 --model.n_critic 2`"]
    commit(tmp_path / "results", "two", fid=2.0, key="two")
    line, _ = only(read(tmp_path, changed, known("two", **{"model.n_critic": 2})))
    assert line.figures[0].values == (2.0,)


def test_the_length_is_overridden_without_another_key(tmp_path):
    short = table(rows=[{"experiment": "gan/dcgan_mnist32", "overrides": {"clock.kimg": 100}}])
    commit(tmp_path / "results", "long", fid=1.0)
    commit(tmp_path / "results", "short", fid=2.0, kimg=100)
    assert wanting({"clock.kimg": 100}).length == ("kimg", 100)
    assert wanting({"clock.epochs": 3}).length == ("epochs", 3)
    assert wanting({"clock.validations": 3}).length == ("kimg", 700)
    assert only(read(tmp_path, short))[0].figures[0].values == (2.0,)


@pytest.mark.parametrize("length", [{}, {"length": {}}], ids=["before lengths were recorded", "none stated"])
def test_an_old_record_tells_its_length_by_its_steps(tmp_path, length):
    clock = {"d_step": 1563, "g_step": 1563, "kimg": 100.032, "total_d_steps": 1563, **length}
    short = table(rows=[{"experiment": "gan/dcgan_mnist32", "overrides": {"clock.kimg": 100}}])
    commit(tmp_path / "results", "old", fid=2.0, key=None, clock=clock)
    line, _ = only(read(tmp_path, short))
    assert line.figures[0].values == (2.0,)
    assert line.marks == ["unkeyed"]


def test_a_part_of_the_length_is_labelled_and_goes_on(tmp_path):
    run = tmp_path / "runs" / "gan" / "a" / "0-s0" / "record.json"
    write(run, record(fid=9.0, status="stopped", clock=cut_off(280)))
    line, _ = only(read(tmp_path))
    assert line.marks == ["280 of 700 kimg", "in full: `atelier fit gan/dcgan_mnist32`"]  # nothing was saved of it
    write(run.parent / "checkpoints" / "last.ckpt", "")
    line, _ = only(read(tmp_path))
    assert line.figures[0].values == (9.0,)
    assert line.marks == ["280 of 700 kimg", f"to go on: `atelier fit --resume {run.parent}`"]


def test_a_shorter_run_is_a_part_too(tmp_path):
    commit(tmp_path / "results", "short", fid=9.0, kimg=100)
    assert only(read(tmp_path))[0].marks == ["100 of 700 kimg", "in full: `atelier fit gan/dcgan_mnist32`"]


def test_of_two_parts_the_longer_counts(tmp_path):
    write(tmp_path / "runs/gan/a/0-s0/record.json", record(fid=9.0, status="stopped", clock=cut_off(280)))
    write(tmp_path / "runs/gan/a/1-s0/record.json", record(fid=8.0, kimg=100))
    assert only(read(tmp_path))[0].figures[0].values == (9.0,)


def test_a_length_that_is_no_number_costs_one_sentence():
    with pytest.raises(UserError, match=r"gan/dcgan_mnist32: clock\.kimg is 'many', which is no number"):
        assert wanting({"clock.kimg": "many"}).length


def test_a_run_still_going_on_is_shown_and_not_started_again(tmp_path):
    write(tmp_path / "runs/gan/a/0-s0/record.json", record(fid=9.0, status="running", clock=cut_off(7)))
    line, _ = only(read(tmp_path))
    assert line.marks == ["running", "7 of 700 kimg"]
    write(tmp_path / "runs/gan/a/1-s0/record.json", record(fid=1.0))
    assert only(read(tmp_path))[0].marks == []


def test_parts_are_not_averaged_with_whole_runs(tmp_path):
    commit(tmp_path / "results", "s0", fid=1.0)
    commit(tmp_path / "results", "s1", fid=3.0, seed=1)
    commit(tmp_path / "results", "s2", fid=80.0, seed=2, status="stopped", clock=cut_off(70))
    line, _ = only(read(tmp_path, table(seeds=[0, 1, 2, 3])))
    assert line.figures[0].values == (1.0, 3.0)
    command = "`atelier fit gan/dcgan_mnist32 --seed_everything 2`"
    assert line.marks == ["seed 2 left out: 70 of 700 kimg", f"seeds 2 of 4: {command}"]
    assert line.filled.missing == [2, 3]


def test_an_earlier_key_is_stale_and_yields_to_todays(tmp_path):
    commit(tmp_path / "results", "old", fid=5.0, key="then")
    line, _ = only(read(tmp_path, keys=known("now", "then")))
    assert (line.figures[0].values, line.marks) == ((5.0,), ["stale"])
    commit(tmp_path / "results", "new", fid=4.0)
    line, said = only(read(tmp_path, keys=known("now", "then")))
    assert (line.figures[0].values, line.marks, said) == ((4.0,), [], [])


def test_a_key_of_the_same_settings_is_not_stale(tmp_path):
    commit(tmp_path / "results", "old", fid=5.0, key="then")
    keys = {name: replace(at, same=("then",)) for name, at in known("now").items()}
    line, said = only(read(tmp_path, keys=keys))
    assert (line.figures[0].values, line.marks, said) == ((5.0,), [], [])


def test_keys_that_are_older_than_the_yaml_are_said(tmp_path):
    commit(tmp_path / "results", "a")
    keys = {name: type(at)(at.key, "another yaml") for name, at in known().items()}
    line, said = only(read(tmp_path, keys=keys))
    assert line.marks == ["stale"]
    assert said == ["gan/dcgan_mnist32 has changed since its key was computed: `make tables` brings it up to date"]


def test_uncommitted_code_and_failures_are_marked(tmp_path):
    commit(tmp_path / "results", "a", status="failed: OSError", clock=cut_off(70), code={"commit": "c", "dirty": True})
    marks = only(read(tmp_path))[0].marks
    assert marks[:3] == ["failed: OSError", "70 of 700 kimg", "dirty"]


def test_a_duplicate_is_named_and_a_copy_is_none(tmp_path):
    commit(tmp_path / "results", "first", fid=1.0)
    write(tmp_path / "runs/gan/a/0-s0/record.json", record(fid=1.0))  # the same run, before it was committed
    assert only(read(tmp_path))[1] == []
    write(tmp_path / "runs/gan/a/1-s0/record.json", record(fid=7.0, started=["2026-02-02T00:00:00+00:00"]))
    line, (said,) = only(read(tmp_path))
    assert line.figures[0].values == (1.0,)
    assert "1-s0/record.json is a duplicate of results/gan/first.json, which counts" in said


NO_PROTOCOL = json.dumps(record(scores=[{**record()["scores"][0], "protocol": {**PROTOCOL, "fakes": 1}}]))


@pytest.mark.parametrize(
    "damage",
    [NO_PROTOCOL, '{"schema": 1, "exp', "[1, 2]", "{}", '{"kind": "evaluation"}', '"text"', "\x00"],
    ids=["protocol", "cut", "list", "empty", "evaluation", "text", "bytes"],
)
def test_a_damaged_record_is_named_and_the_others_are_shown(tmp_path, damage):
    commit(tmp_path / "results", "good", fid=1.0)
    write(tmp_path / "results" / "gan" / "bad.json", damage)
    line, (said,) = only(read(tmp_path))
    assert line.figures[0].values == (1.0,)
    assert said.startswith("results/gan/bad.json is ")
    assert "left out" in said


def test_an_evaluation_adds_scores_to_its_run_alone(tmp_path):
    wide = table(columns=[{"score": "kid@mnist-cnn", "title": "KID", "better": "lower"}], seeds=[0, 1])
    commit(tmp_path / "results", "s0")
    commit(tmp_path / "results", "s1", seed=1)
    of = {"experiment": "gan/dcgan_mnist32", "run_seed": 1, "checkpoint": "last", "d_step": 700}
    summary = {"kid@mnist-cnn": {"mean": 0.5, "std": 0.1, "values": [0.4, 0.6]}}
    found = {"kind": "evaluation", "of": of, "protocol": PROTOCOL, "scores": summary, "floor": None}
    write(tmp_path / "results" / "evaluations" / "e.json", found)
    line, said = only(read(tmp_path, wide))
    assert (line.figures[0].values, line.marks, said) == ((0.5,), ["KID is not in every record"], [])
    wider = table(
        columns=[{"score": f"{name}@mnist-cnn", "title": name, "better": "lower"} for name in ("fd", "a", "b")]
    )
    assert only(read(tmp_path, wider))[0].marks == ["fd, a and b are not in every record"]
    for other in ({"d_step": 350}, {"run_started": "2026-01-02T00:00:00+00:00"}):
        write(tmp_path / "results" / "evaluations" / "e.json", {**found, "of": {**of, **other}})
        assert only(read(tmp_path, wide))[0].figures[0].values == ()
    write(tmp_path / "results" / "evaluations" / "e.json", {**found, "of": {**of, "run_started": STARTED}})
    assert only(read(tmp_path, wide))[0].figures[0].values == (0.5,)
    otherwise = {**of, "changed": ["--model.init_args.n_gen", "2"]}
    write(tmp_path / "results" / "evaluations" / "e.json", {**found, "of": otherwise})
    line, said = only(read(tmp_path, wide))
    assert line.figures[0].values == ()
    assert "of its run with other settings (--model.init_args.n_gen 2), and left out" in said[0]


def test_a_damaged_evaluation_is_named(tmp_path):
    commit(tmp_path / "results", "good", fid=1.0)
    of = {"experiment": "gan/dcgan_mnist32", "run_seed": 0, "checkpoint": "last", "d_step": 700}
    found = {"kind": "evaluation", "of": of, "protocol": {**PROTOCOL, "fakes": 0}, "scores": {}, "floor": None}
    write(tmp_path / "results" / "e.json", found)
    line, (said,) = only(read(tmp_path))
    assert line.figures[0].values == (1.0,)
    assert said.startswith("results/e.json is a damaged evaluation, and left out (A score needs at least two images")


def test_a_missing_experiment_costs_one_sentence(tmp_path):
    with pytest.raises(UserError, match="table mine: there is no experiment gan/dcgan_mnist31: did you mean gan/dcg"):
        read(tmp_path, table(rows=[{"experiment": "gan/dcgan_mnist31"}]))


def test_keys_of_two_tables_that_are_begun_at_once_are_both_kept(tmp_path):
    first, second = ({**stored_keys(tmp_path), f"mine/{name}": Known(name, "1")} for name in "ab")
    keep_keys(first, tmp_path)
    keep_keys(second, tmp_path)
    assert {name: at.key for name, at in read_keys(file_of(tmp_path)).items()} == {"mine/a": "a", "mine/b": "b"}


def test_keys_are_put_down_one_table_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(table_run_keys, "PATIENCE", 20)
    with ThreadPoolExecutor(1) as pool:
        keep_keys({}, tmp_path)
        with taken(file_of(tmp_path).with_suffix(".lock")):
            begun = pool.submit(keep_keys, {"mine/a": Known("a", "1")}, tmp_path)
            time.sleep(0.2)
            assert not begun.done()
        begun.result()
    assert "mine/a" in stored_keys(tmp_path)

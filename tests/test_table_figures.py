"""Laws of a table's numbers: means, deviations, differences, tolerance, and protocols that do not share a column."""

import pytest
from table_records import PROTOCOL, commit, known, read, record, table, write

from experiments.table_render import as_csv, sheet

FID = {"score": "fid@mnist-cnn", "title": "FID", "better": "lower", "digits": 1}


def page(folder, which):
    found, said = read(folder, which)
    return sheet(which, found, said)


def test_mean_deviation_and_difference_over_seeds(tmp_path):
    for seed, fid in enumerate([1.0, 2.0, 6.0]):
        commit(tmp_path / "results", f"s{seed}", fid=fid, seed=seed)
    rows = [
        {"experiment": "gan/dcgan_mnist32", "expected": {"FID": {"value": 3.5, "spread": 0.2, "origin": "its log"}}}
    ]
    which = table(rows=rows, seeds=[0, 1, 2])
    ((line,), _) = read(tmp_path, which)
    figure = line.figures[0]
    assert figure.mean == 3.0
    assert figure.std == pytest.approx(7**0.5)  # (4 + 1 + 9) / 2
    assert figure.difference == -0.5
    made = page(tmp_path, which)
    assert made.header == ["", "FID ↓", "published", "difference", "runs"]
    assert made.rows == [["`gan/dcgan_mnist32`", "3.0 ± 2.6", "3.5 ± 0.2", "−0.5", "3"]]
    assert "`gan/dcgan_mnist32`, FID: its log." in made.notes


@pytest.mark.parametrize(("fid", "outside"), [(2.0, False), (2.3, False), (1.7, False), (2.4, True), (1.6, True)])
def test_the_tolerance_is_kept_to_either_side_in_printed_digits(tmp_path, fid, outside):
    commit(tmp_path / "results", "a", fid=fid + 0.04)
    which = table(
        columns=[{**FID, "tolerance": 0.3}], rows=[{"experiment": "gan/dcgan_mnist32", "expected": {"FID": 2.0}}]
    )
    ((line,), _) = read(tmp_path, which)
    assert line.marks == (["FID outside tolerance (0.3)"] if outside else [])


def test_shares_are_shown_as_per_cent(tmp_path):
    commit(tmp_path / "results", "a", fid=0.1234)
    made = page(tmp_path, table(columns=[{**FID, "percent": True}]))
    assert made.header[1] == "FID ↓, %"
    assert made.rows[0][1] == "12.3"


def test_last_is_the_headline_and_a_better_best_is_said(tmp_path):
    best = {"by": "fid@mnist-cnn", "d_step": 5, "kimg": 188.4, "metrics": {"fid@mnist-cnn": 1.5}}
    block = {**record()["scores"][0], "best": best}
    commit(tmp_path / "results", "a", scores=[block])
    ((line,), _) = read(tmp_path, table())
    assert line.figures[0].mean == 2.0
    assert line.marks == ["best FID 1.5 at 188 kimg"]
    both = table(columns=[FID, {**FID, "title": "best", "of": "best"}])
    ((line,), _) = read(tmp_path, both)
    assert [figure.mean for figure in line.figures] == [2.0, 1.5]
    assert line.marks == []


def test_a_best_that_one_seed_alone_has_is_no_best_of_the_row(tmp_path):
    best = {"by": "fid@mnist-cnn", "d_step": 5, "kimg": 188.4, "metrics": {"fid@mnist-cnn": 1.5}}
    commit(tmp_path / "results", "s0", scores=[{**record()["scores"][0], "best": best}])
    commit(tmp_path / "results", "s1", seed=1)
    ((line,), _) = read(tmp_path, table(seeds=[0, 1]))
    assert line.figures[0].values == (2.0, 2.0)
    assert line.marks == []


def test_a_row_of_real_images_shows_the_floor_whatever_the_columns_say(tmp_path):
    best = {"by": "fid@mnist-cnn", "d_step": 5, "kimg": 188.4, "metrics": {"fid@mnist-cnn": 1.5}}
    commit(tmp_path / "results", "a", scores=[{**record()["scores"][0], "floor": {"fid@mnist-cnn": 0.1}, "best": best}])
    row = {"experiment": "gan/dcgan_mnist32", "label": "real images", "of": "floor"}
    (line,) = read(tmp_path, table(columns=[FID, {**FID, "title": "best", "of": "best"}], rows=[row]))[0]
    assert [figure.mean for figure in line.figures] == [0.1, 0.1]
    assert line.marks == []
    assert "real images,gan/dcgan_mnist32,FID,floor,0.1," in as_csv(page(tmp_path, table(rows=[row])))
    with pytest.raises(ValueError, match=r"of has no use for 'flor'"):
        table(rows=[{**row, "of": "flor"}])


def two_rows(folder, **fields):
    """Two experiments, the second measured with ``fields``."""
    write(folder / "results" / "a.json", record())
    other = record()
    block = {**other["scores"][0], "protocol": {**PROTOCOL, **fields}}
    write(folder / "results" / "b.json", other | {"experiment": "gan/hinge_mnist32", "key": None, "scores": [block]})
    return [{"experiment": "gan/dcgan_mnist32"}, {"experiment": "gan/hinge_mnist32", "overrides": {"clock.kimg": 700}}]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"fakes": 9000}, "FID by other protocol (fakes 9000, not 10000)"),
        ({"data_sha256": "zz"}, "FID by other data (data_sha256 zz, not aa)"),
        ({"is_splits": 1}, None),  # no matter to FID
        ({"floor_split": "test", "floor_count": 5000}, None),
    ],
)
def test_rows_of_another_protocol_are_marked(tmp_path, fields, said):
    which = table(rows=two_rows(tmp_path, **fields))
    (first, second), _ = read(tmp_path, which)
    assert first.marks == []
    assert second.marks == ["unkeyed", *([said] if said else [])]


def test_columns_that_depart_alike_are_named_together(tmp_path):
    rows = two_rows(tmp_path, fakes=9000)
    again = {**FID, "title": "FID again"}
    (_, second), _ = read(tmp_path, table(rows=rows, columns=[FID, again]))
    assert second.marks == ["unkeyed", "all by other protocol (fakes 9000, not 10000)"]
    lacking = {**FID, "title": "KID", "score": "kid@mnist-cnn"}
    (_, second), _ = read(tmp_path, table(rows=rows, columns=[FID, again, lacking]))
    assert "all by other protocol (fakes 9000, not 10000)" in second.marks


def test_a_field_that_the_first_row_has_of_its_own_is_compared_among_the_others(tmp_path):
    rows = two_rows(tmp_path, fakes=9000)
    rows[0]["protocol"] = {"fakes": 10000}
    write(tmp_path / "results" / "c.json", record() | {"experiment": "gan/lsgan_mnist32", "key": None})
    rows.append({"experiment": "gan/lsgan_mnist32", "overrides": {"clock.kimg": 700}})
    lines, _ = read(tmp_path, table(rows=rows))
    assert [line.marks for line in lines] == [
        [],
        ["unkeyed"],
        ["unkeyed", "FID by other protocol (fakes 10000, not 9000)"],
    ]


def test_a_spread_of_nothing_is_shown_as_one(tmp_path):
    for seed in range(3):
        commit(tmp_path / "results", f"s{seed}", seed=seed, fid=-0.01)
    assert page(tmp_path, table(seeds=[0, 1, 2])).rows[0][1] == "0.0 ± 0.0"


def test_seeds_of_another_protocol_are_marked(tmp_path):
    commit(tmp_path / "results", "s0")
    block = {**record()["scores"][0], "protocol": {**PROTOCOL, "fakes": 9000}}
    commit(tmp_path / "results", "s1", seed=1, scores=[block])
    ((line,), _) = read(tmp_path, table(seeds=[0, 1]))
    assert line.marks == ["FID by other protocol (fakes 9000, not 10000)"]


def test_a_row_may_say_that_it_is_measured_otherwise(tmp_path):
    rows = two_rows(tmp_path, fakes=9000)
    rows[1]["protocol"] = {"fakes": 9000}
    (_, second), _ = read(tmp_path, table(rows=rows))
    assert second.marks == ["unkeyed"]
    rows[1]["protocol"] = {"fakes": 8000}
    (_, second), _ = read(tmp_path, table(rows=rows))
    assert second.marks == ["unkeyed", "FID by other protocol (fakes 9000, not 8000)"]


@pytest.mark.parametrize("protocol", ["mimicry", {"weights": "raw"}])
def test_a_table_says_what_must_hold(tmp_path, protocol):
    commit(tmp_path / "results", "a")
    ((line,), _) = read(tmp_path, table(protocol=protocol))
    (mark,) = line.marks
    assert mark.startswith("FID by other protocol (")
    assert "weights ema, not raw" in mark
    assert "kid" not in mark  # mimicry fixes it, and FID does not hang on it


def test_a_field_that_no_protocol_has_is_marked(tmp_path):
    commit(tmp_path / "results", "a")
    ((line,), _) = read(tmp_path, table(protocol={"fakez": 3}))
    assert line.marks == ["FID by other protocol (fakez None, not 3)"]


def test_the_nearest_of_several_protocols_is_taken(tmp_path):
    near = {**record(fid=7.0)["scores"][0], "protocol": {**PROTOCOL, "weights": "raw"}}
    commit(tmp_path / "results", "a", scores=[record()["scores"][0], near])
    ((line,), _) = read(tmp_path, table(protocol={"weights": "raw"}))
    assert (line.figures[0].values, line.marks) == ((7.0,), [])


def evaluate(folder, fid, *seeds, run_seed=0):
    """Write an evaluation of a run's last checkpoint, its score the mean over ``seeds``."""
    of = {"experiment": "gan/dcgan_mnist32", "run_seed": run_seed, "checkpoint": "last", "d_step": 700}
    scores = {"fid@mnist-cnn": {"mean": fid}}
    content = {"kind": "evaluation", "of": of, "seeds": seeds, "scores": scores, "floor": None, "protocol": PROTOCOL}
    write(folder / "results" / "evaluations" / f"s{run_seed}-{len(seeds)}.json", content)


@pytest.mark.parametrize(("asked", "shown"), [({}, 2.0), ({"evaluations": 1}, 2.0), ({"evaluations": 3}, 9.0)])
def test_a_single_evaluation_is_preferred_unless_the_table_asks_for_a_mean(tmp_path, asked, shown):
    commit(tmp_path / "results", "a", fid=2.0)
    evaluate(tmp_path, 9.0, 0, 1, 2)
    which = table(protocol=asked)
    ((line,), _) = read(tmp_path, which)
    assert (line.figures[0].values, line.marks) == ((shown,), [])
    assert any("means of 3 evaluations" in note for note in page(tmp_path, which).notes) == (shown == 9.0)


def test_a_preset_asks_for_as_many_evaluations_as_its_source_made(tmp_path):
    assert table(protocol="mimicry").must_hold["evaluations"] == 3
    assert table(protocol="collections").must_hold["evaluations"] == 1
    commit(tmp_path / "results", "a", fid=2.0)
    evaluate(tmp_path, 9.0, 0, 1, 2)
    ((line,), _) = read(tmp_path, table(protocol="mimicry"))
    assert line.figures[0].values == (9.0,)
    assert "evaluations" not in line.marks[0]


def test_a_column_that_mixes_means_with_single_evaluations_is_marked(tmp_path):
    for seed, fid in enumerate([2.0, None]):
        block = {
            **record()["scores"][0],
            "last": {"d_step": 700, "metrics": {} if fid is None else {"fid@mnist-cnn": fid}},
        }
        commit(tmp_path / "results", f"s{seed}", seed=seed, scores=[block])
    evaluate(tmp_path, 9.0, 0, 1, 2, run_seed=1)
    ((line,), _) = read(tmp_path, table(seeds=[0, 1]))
    assert line.figures[0].values == (2.0, 9.0)
    assert line.marks == ["FID by other protocol (evaluations 3, not 1)"]
    ((line,), _) = read(tmp_path, table(seeds=[0, 1], protocol={"evaluations": 3}))
    assert line.marks == ["FID by other protocol (evaluations 1, not 3)"]


def test_a_row_may_be_a_mean_among_single_evaluations(tmp_path):
    rows = two_rows(tmp_path)
    write(tmp_path / "results" / "b.json", {**record(), "experiment": "gan/hinge_mnist32", "key": None})
    evaluate(tmp_path, 9.0, 0, 1, 2)
    rows[0]["protocol"] = {"evaluations": 3}
    (first, second), _ = read(tmp_path, table(rows=rows))
    assert [line.figures[0].values for line in (first, second)] == [(9.0,), (2.0,)]
    assert (first.marks, second.marks) == ([], ["unkeyed"])


def test_the_floor_is_no_mean_over_fakes(tmp_path):
    block = {**record()["scores"][0], "floor": {"fid@mnist-cnn": 0.1}}
    commit(tmp_path / "results", "a", scores=[block])
    ((line,), _) = read(tmp_path, table(columns=[{**FID, "of": "floor"}], protocol={"evaluations": 3}))
    assert (line.figures[0].values, line.marks) == ((0.1,), [])


def test_a_value_that_is_not_finite_is_not_averaged(tmp_path):
    commit(tmp_path / "results", "a", fid=None)
    ((line,), _) = read(tmp_path, table())
    assert line.figures[0].mean is None
    assert line.marks == ["FID of a run is not finite"]


def test_rows_are_sorted_by_the_first_column(tmp_path):
    rows = [*two_rows(tmp_path), {"experiment": "gan/lsgan_mnist32"}]
    write(tmp_path / "results" / "a.json", record(fid=9.0))
    lines, _ = read(tmp_path, table(rows=rows, sorted=True))
    assert [line.figures[0].mean for line in lines] == [2.0, 9.0, None]
    lines, _ = read(tmp_path, table(rows=rows, sorted=True, columns=[{**FID, "better": "higher"}]))
    assert [line.figures[0].mean for line in lines] == [9.0, 2.0, None]


def test_the_keys_file_is_not_needed(tmp_path):
    commit(tmp_path / "results", "a")
    ((line,), _) = read(tmp_path, keys={})
    assert line.marks == ["unkeyed"]
    assert known()


def restored(weights, precision=None, **sets):
    """The scores of a record that compares ``sets`` of pairs, each with its hash."""
    protocol = {"colour": "grey", "weights": weights, "data": {name: {"sha256": text} for name, text in sets.items()}}
    said = {} if precision is None else {"precision": precision}
    return [{**record()["scores"][0], "protocol": protocol | said}]


@pytest.mark.parametrize(
    ("last", "mark"),
    [
        (restored("raw", B="bb"), None),
        (restored("raw", C="cc"), None),
        (restored(None, A="aa"), None),
        (restored("raw", A="xx"), "FID by other data (data {'A': {'sha256': 'xx'}}, not"),
        (restored("raw", B="xx"), "FID by other data (data {'B': {'sha256': 'xx'}}, not"),
        (restored("ema", A="aa"), "FID by other protocol (weights ema, not raw)"),
        (restored("raw", "bf16-mixed", A="aa"), "FID by other protocol (precision bf16-mixed, not full)"),
    ],
)
def test_sets_of_pairs_agree_where_both_have_them_and_what_has_no_weights_agrees_with_any(tmp_path, last, mark):
    for seed, scores in enumerate([restored(None, A="aa"), restored("raw", A="aa", B="bb"), last]):
        commit(tmp_path / "results", f"s{seed}", seed=seed, scores=scores)
    ((line,), _) = read(tmp_path, table(seeds=[0, 1, 2]))
    assert len(line.marks) == (0 if mark is None else 1)
    assert mark is None or line.marks[0].startswith(mark)

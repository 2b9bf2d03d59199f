"""Laws of a table's numbers: means, deviations, differences, tolerance, and protocols that do not share a column."""

import pytest
from table_records import PROTOCOL, commit, known, read, record, table, write

from experiments.table_render import as_csv, html, latex, markdown, sheet

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


def test_every_format_escapes_what_it_reads_as_its_own(tmp_path):
    commit(tmp_path / "results", "a")
    rows = [{"experiment": "gan/dcgan_mnist32", "label": "a|b & <c> 5% d_e"}]
    made = page(tmp_path, table(rows=rows, source="x < y"))
    assert "| a\\|b & <c> 5% d_e | 2.0 | 1 |" in markdown(made)
    assert r"a|b \& \textless{}c\textgreater{} 5\% d\_e & 2.0 & 1 \\" in latex(made)
    assert "<td>a|b &amp; &lt;c&gt; 5% d_e</td><td>2.0</td>" in html(made)
    assert "<li>Source: x &lt; y.</li>" in html(made)
    head, only = as_csv(made).splitlines()
    assert only.split(",")[:6] == ["a|b & <c> 5% d_e", "gan/dcgan_mnist32", "FID", "last", "2.0", ""]
    assert len(head.split(",")) == len(only.split(",")) == 11


def test_the_keys_file_is_not_needed(tmp_path):
    commit(tmp_path / "results", "a")
    ((line,), _) = read(tmp_path, keys={})
    assert line.marks == ["unkeyed"]
    assert known()

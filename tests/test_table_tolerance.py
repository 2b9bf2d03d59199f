"""Laws of tolerances: absolute, a share of the published value, or so many spreads; per value, or per column."""

import pytest
from table_records import commit, read, table

from experiments.table_figures import Figure
from experiments.table_file import find_table
from experiments.table_tolerance import Tolerance, as_tolerance

FID = {"score": "fid@mnist-cnn", "title": "FID", "better": "lower", "digits": 1}


def test_the_three_measures():
    assert Tolerance(absolute=0.3).of(20.0, None) == 0.3
    assert Tolerance(share=0.05).of(20.0, 9.0) == 1.0
    assert Tolerance(share=0.05).of(-20.0, 9.0) == 1.0
    assert Tolerance(spreads=2).of(20.0, 0.25) == 0.5
    assert Tolerance(spreads=2).of(20.0, None) is None
    assert as_tolerance({"absolute": 2}, "x") == as_tolerance(2, "x") == Tolerance(absolute=2)
    assert as_tolerance({"spreads": 2}, "x") == Tolerance(spreads=2)
    assert as_tolerance(None, "x") is None
    said = [str(as_tolerance(given, "x")) for given in (0.3, {"share": 0.05}, {"spreads": 2})]
    assert said == ["0.3", "5 % of the published value", "2 times the published spread"]


@pytest.mark.parametrize(
    "given",
    ["5 %", True, -1, {}, {"share": 0.1, "spreads": 2}, {"shares": 0.1}, {"share": "a"}, {"share": True}, [1]],
)
def test_anything_else_is_refused_with_its_place(given):
    with pytest.raises(ValueError, match=r"columns\[0\]\.tolerance expects a number of 0 or more, or one of absolute"):
        table(columns=[{**FID, "tolerance": given}])


@pytest.mark.parametrize(
    ("column", "value", "outside"),
    [
        ({"share": 0.1}, {}, None),  # |22 - 20| = 2
        ({"share": 0.09}, {}, "1.8"),
        ({"spreads": 2}, {"spread": 1.0}, None),
        ({"spreads": 2}, {"spread": 0.9}, "1.8"),
        ({"share": 0.09}, {"tolerance": 2.5}, None),
        ({"share": 0.1}, {"tolerance": {"share": 0.05}}, "1"),
        (None, {"tolerance": 1.5}, "1.5"),
    ],
)
def test_a_value_has_its_own_tolerance_or_its_columns(tmp_path, column, value, outside):
    commit(tmp_path / "results", "a", fid=22.0)
    expected = {"FID": {"value": 20.0, **value}}
    rows = [{"experiment": "gan/dcgan_mnist32", "expected": expected}]
    ((line,), _) = read(tmp_path, table(columns=[{**FID, "tolerance": column}], rows=rows))
    assert line.marks == ([] if outside is None else [f"FID outside tolerance ({outside})"])


def test_a_tolerance_in_spreads_needs_a_spread():
    rows = [{"experiment": "gan/dcgan_mnist32", "expected": {"FID": 20.0}}]
    with pytest.raises(ValueError, match=r"rows\[0\]\.expected\.FID lacks spread, in which its tolerance counts"):
        table(columns=[{**FID, "tolerance": {"spreads": 2}}], rows=rows)


def test_a_row_without_a_published_value_has_no_tolerance(tmp_path):
    commit(tmp_path / "results", "a", fid=22.0)
    ((line,), _) = read(tmp_path, table(columns=[{**FID, "tolerance": 0.1}]))
    assert (line.figures[0].tolerance, line.marks) == (None, [])


def test_the_cifar_tables_allow_five_per_cent_of_fid_and_two_spreads_of_is():
    which = find_table("cifar10_collections")
    fid, score = which.columns
    assert (fid.tolerance, score.tolerance) == (Tolerance(share=0.05), Tolerance(spreads=2))
    dcgan = which.rows[0].expected
    assert Figure(fid, expected=dcgan["FID"]).tolerance == pytest.approx(2.136)
    assert Figure(score, expected=dcgan["IS"]).tolerance == pytest.approx(0.1)
    assert all(len(find_table(name).deviations) > 2 for name in ("cifar10_collections", "cifar10_mimicry"))
    kid = [row.expected["KID"].value for row in find_table("cifar10_mimicry").rows]
    assert kid == [0.0204, 0.0125]

"""`atelier table`: the package's tables, its formats, what a mistake costs, and that it needs no torch."""

import csv
import io
import subprocess
import sys
from dataclasses import replace

import pytest
from command_line import place, refused
from table_records import TABLE

from experiments import table_keys
from experiments.cli import main
from experiments.errors import UserError
from experiments.table import assemble
from experiments.table_cells import Known, read_keys, wanted
from experiments.table_file import as_table, find_table, read_table, tables
from experiments.table_keys import all_wanted, key_of
from experiments.table_render import FORMATS, markdown
from experiments.table_results import RESULTS, read_results

TORCHLESS = """
import sys
from experiments.cli import main
code = main(["table"]) or main(["table", "mnist"]) or main(["table", "mnist", "--format", "rich"])
heavy = {"torch", "lightning", "numpy", "jsonargparse"} & set(sys.modules)
assert not code and not heavy, heavy
"""


def test_it_imports_no_torch(tmp_path):
    subprocess.run([sys.executable, "-c", TORCHLESS], check=True, cwd=tmp_path, capture_output=True)


@pytest.mark.parametrize("name", tables())
def test_a_table_of_the_package_is_sound(name):
    page = assemble(find_table(name), RESULTS)
    widths = {line.replace("\\|", "").count("|") for line in markdown(page).splitlines() if line.startswith("|")}
    assert widths == {len(page.header) + 1}
    assert all(FORMATS[format_](page) for format_ in FORMATS)
    assert not any("protocol" in mark or "data" in mark for line in page.lines for mark in line.marks)


def test_every_committed_run_can_be_read_and_has_its_key():
    results, problems = read_results(RESULTS)
    assert problems == []
    keys = read_keys()
    for result in results:
        known = [at for name, at in keys.items() if name.split()[0] == result.experiment]
        mine = {key for at in known for key in (*at.current, *at.earlier)}
        assert not known or result.key in mine, f"{result.path} bears no key of {result.experiment}"


@pytest.mark.parametrize("name", ["digits", "mnist", "mnist_scores", "mnist_100kimg", "bicubic", "classifiers"])
def test_a_table_that_was_run_is_complete(name):
    page = assemble(find_table(name), RESULTS)
    assert all(figure.mean is not None for line in page.lines for figure in line.figures)
    assert not any(figure.is_outside for line in page.lines for figure in line.figures)
    assert all(not line.filled.missing for line in page.lines)


def test_the_keys_are_of_todays_yamls():
    keys = read_keys()
    for name, row in all_wanted().items():
        assert keys[name].yaml == row.yaml, f"{name}: run `make tables`"
    for name in ("gan/dcgan_digits", "super_resolution/bicubic"):  # the YAML may be the same and a class another
        assert keys[name].key == key_of(all_wanted()[name]), f"{name}: run `make tables`"


def test_an_earlier_key_that_is_another_rows_today_is_dropped():
    keys = {"a": Known("new", "1", ("old", "older")), "a x=1": Known("old", "1")}
    assert table_keys.apart(keys) == {"a": Known("new", "1", ("older",)), "a x=1": Known("old", "1")}


def test_a_key_by_another_default_is_kept_as_good_as_todays():
    before = Known("old", "1", ("older",), ("other",))
    assert table_keys.with_key(before, "new", "1", same=True) == Known("new", "1", ("older",), ("other", "old"))
    assert table_keys.with_key(before, "new", "2") == Known("new", "2", ("older", "old", "other"))
    assert table_keys.with_key(before, "old", "2") == Known("old", "2", ("older",), ("other",))
    assert table_keys.with_key(before, "other", "1", same=True).current == ("other", "old")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--same"], "--same is of rows that are named"),
        (["--same", "gan/dcgan_digits"], "YAML of gan/dcgan_digits has"),
    ],
)
def test_as_good_as_todays_are_no_keys_of_another_yaml(words, message, monkeypatch):
    other = {name: replace(at, yaml="another") for name, at in read_keys().items()}
    monkeypatch.setattr(table_keys, "read_keys", lambda: other)
    with pytest.raises(UserError, match=message):
        table_keys.main(words)


def test_keys_of_named_rows_alone(monkeypatch):
    keys, done = read_keys(), []
    monkeypatch.setattr(table_keys, "key_of", lambda row: done.append(row.name) or keys[row.name].key)
    monkeypatch.setattr(table_keys, "write_keys", done.append)
    assert table_keys.main(["gan/dcgan_digits"]) == 0
    assert done == ["gan/dcgan_digits", keys]
    with pytest.raises(UserError, match=r"gan/dcgan_digit is no row of a table: did you mean gan/dcgan_digits\?"):
        table_keys.main(["gan/dcgan_digit"])


def test_names_are_listed_without_one(capsys):
    assert main(["table"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(tables())


def test_csv_is_numbers_that_nobody_rounded(capsys):
    assert main(["table", "bicubic", "--format", "csv", "--runs_dir", "nowhere"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 12
    assert abs(float(rows[0]["mean"]) - 33.6404) < 1e-4
    assert float(rows[0]["published"]) == 33.64


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("table mnits", "there is no table mnits: did you mean mnist?"),
        ("table mnist --format marcdown", "there is no format marcdown: did you mean markdown?"),
        ("table mnist --formt csv", "did you mean --format?"),
        ("table mnist --clock.kimg 3", "table has no use for --clock.kimg"),
        ("table mine.yaml", "there is no table mine.yaml"),
    ],
)
@pytest.mark.usefixtures(place.__name__)
def test_a_mistake_costs_one_sentence(capfd, words, said):
    assert said in refused(capfd, *words.split())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"colums": []}, "the table has no key colums: did you mean columns?"),
        ({"rows": []}, "rows must be a list of at least one"),
        ({"rows": [{"experimnt": "x"}]}, r"rows\[0\] has no key experimnt: did you mean experiment"),
        ({"rows": [{"label": "x"}]}, r"rows\[0\] lacks experiment"),
        ({"rows": ["x"]}, r"rows\[0\] must hold keys and values"),
        ({"rows": [{"experiment": "x", "expected": {"FIT": 1}}]}, "no use for 'FIT': did you mean FID"),
        ({"rows": [{"experiment": "x", "expected": {"FID": "low"}}]}, "value expects float, got 'low'"),
        ({"rows": [{"experiment": "x", "seeds": 3}]}, "seeds expects a list of int, got 3"),
        ({"columns": [{"score": "a", "title": "A", "better": "lowest"}]}, "no use for 'lowest': did you mean lower"),
        ({"columns": [{"score": "a", "title": "A", "better": "lower", "digits": -1}]}, "digits expects 0 or more"),
        ({"protocol": "mimikry"}, "no use for 'mimikry': did you mean mimicry"),
        ({"facts": ["minuts"]}, "did you mean minutes"),
        ({"title": None}, "title expects str, got None"),
        ({"columns": [*TABLE["columns"]] * 2}, "columns names 'FID' twice: give each a title of its own"),
        ({"seeds": [0, 1, 0]}, "seeds names 0 twice: leave one out"),
        ({"rows": [{"experiment": "x", "seeds": [3, 3]}]}, r"rows\[0\]\.seeds names 3 twice: leave one out"),
    ],
)
def test_a_mistake_in_a_file_names_its_place(changes, said):
    with pytest.raises(ValueError, match=said):
        as_table({**TABLE, **changes}, "mine")


def test_a_file_that_is_no_yaml_is_named(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("title: [}")
    with pytest.raises(UserError, match=r"mine.yaml is no valid YAML \(line 1\)"):
        read_table(file)
    file.write_text("title: x\nrow: 3")
    with pytest.raises(UserError, match=r"mine\.yaml: columns must be"):
        read_table(file)


def test_published_values_are_those_of_the_sources():
    mimicry = {row.label: row.expected for row in find_table("cifar10_mimicry").rows}
    assert (mimicry["SNGAN"]["FID"].value, mimicry["WGAN-GP"]["IS"].value) == (16.77, 7.33)
    commands = [wanted(row, "x").command(0) for row in find_table("cifar10_collections").rows]
    assert commands[0] == "atelier fit gan/dcgan_collections_cifar32"
    assert wanted(find_table("bicubic").rows[0], "x").command(0) == "atelier test super_resolution/bicubic"

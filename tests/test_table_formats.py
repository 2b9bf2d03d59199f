"""What a table's formats are read by reads them: Markdown, CSV, LaTeX, HTML, the terminal."""

import csv
import io
import re
from html.parser import HTMLParser

import pytest
from table_records import commit, read, table

from experiments import table_facts, table_file
from experiments.table import assemble
from experiments.table_file import find_table, tables
from experiments.table_render import as_csv, html, latex, markdown, sheet, show
from experiments.table_results import RESULTS

LABEL = "a|b & <c> 5% d_e `f_g|--h` -1"
ESCAPES = re.compile(r"\\[&%$#_{}]|\\text\w+\{\}|\$[^$]*\$")


@pytest.fixture
def page(tmp_path):
    commit(tmp_path / "results", "a", fid=-0.5)
    row = {"experiment": "gan/dcgan_mnist32", "label": LABEL, "expected": {"FID": {"value": 1.0, "spread": 0.5}}}
    column = {"score": "fid@mnist-cnn", "title": "FID", "better": "lower", "digits": 1, "tolerance": {"spreads": 4}}
    which = table(rows=[row], columns=[column], source="x < y", facts=["kimg", "minutes"])
    found, said = read(tmp_path, which)
    return sheet(which, found, said)


def test_markdown_escapes_bars_and_what_would_be_html(page):
    text = markdown(page)
    assert "| a\\|b & \\<c> 5% d_e `f_g\\|--h` -1 | −0.5 | 1.0 ± 0.5 | −1.5 | 700 |" in text
    assert "- Source: x \\< y." in text
    assert "- Tolerance: FID 4 times the published spread." in text


def test_latex_escapes_its_own_signs_and_keeps_hyphens_of_commands(page):
    text = latex(page)
    assert r"a|b \& \textless{}c\textgreater{} 5\% d\_e \texttt{f\_g|-{}-{}h} -1 & $-$0.5 & 1.0 $\pm$ 0.5 &" in text
    assert r"x \textless{} y" in text


@pytest.mark.parametrize("name", tables())
def test_no_sign_of_latex_is_left_over(name):
    lines = latex(assemble(find_table(name), RESULTS)).splitlines()
    columns = lines[1].removeprefix(r"\begin{tabular}{").removesuffix("}")
    for line in lines[3:]:
        bare = re.sub(r"\\texttt\{((?:[^{}\\]|\{\}|\\.)*)\}", r"\1", line)
        bare = ESCAPES.sub("", bare.removesuffix(r" \\"))
        if line.endswith(r"\\"):
            assert bare.count("&") == len(columns) - 1
        assert not re.search(r"[%$#_^~`\u2190-\u22ff]", bare), line


class Reader(HTMLParser):
    """Texts of cells, tags that were opened and not closed, addresses of anything from elsewhere."""

    def __init__(self):
        super().__init__()
        self.cells, self.open, self.addresses = [], [], []

    def handle_starttag(self, tag, attributes):
        self.addresses += [value for name, value in attributes if name in ("src", "href")]
        if tag != "meta":
            self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if {"td", "th"} & set(self.open):
            self.cells[-1] += data


def test_html_is_a_whole_page_that_reads_as_the_table(page):
    text = html(page)
    reader = Reader()
    reader.feed(text)
    assert text.startswith("<!doctype html>")
    assert '<meta charset="utf-8">' in text
    assert (reader.open, reader.addresses) == ([], [])
    assert reader.cells == [*page.header, *(cell.replace("`", "") for cell in page.rows[0])]
    assert "<code>f_g|--h</code>" in text
    assert "<li>Source: x &lt; y.</li>" in text


def test_csv_says_in_plain_numbers_what_the_others_say(page, tmp_path):
    (line,) = csv.DictReader(io.StringIO(as_csv(page)))
    assert line["row"] == LABEL.replace("`", "")
    assert (line["experiment"], line["score"], line["of"]) == ("gan/dcgan_mnist32", "FID", "last")
    numbers = ("mean", "std", "runs", "seeds", "published", "spread", "tolerance", "kimg", "minutes")
    assert [line[name] for name in numbers] == ["-0.5", "", "1", "1", "1.0", "0.5", "2.0", "700.0", "10.0"]
    column = {"score": "fid@mnist-cnn", "title": "share", "better": "lower", "percent": True}
    which = table(columns=[column])
    found, said = read(tmp_path, which)
    (line,) = csv.DictReader(io.StringIO(as_csv(sheet(which, found, said))))
    assert (line["row"], line["score"], line["mean"]) == ("gan/dcgan_mnist32", "share, %", "-50.0")


def test_csv_of_a_row_that_was_not_run_is_empty(tmp_path):
    which = table()
    found, said = read(tmp_path, which)
    (line,) = csv.DictReader(io.StringIO(as_csv(sheet(which, found, said))))
    assert [line[name] for name in ("mean", "std", "kimg", "minutes", "published")] == [""] * 5
    assert (line["runs"], line["marks"]) == ("0", "not run: `atelier fit gan/dcgan_mnist32`")


def test_the_terminal_shows_brackets_and_marks_as_they_are(page, capsys):
    page.rows[0][0] = "[bold]x[/bold]"
    page.lines[0].marks.append("seen `twice`")
    show(page)
    shown = capsys.readouterr().out
    assert "[bold]x[/bold]" in shown
    assert ": seen twice\n" in shown
    assert "`" not in shown


def test_every_fact_that_a_file_may_name_can_be_shown():
    assert set(table_facts.FACTS) == set(table_file.FACTS)

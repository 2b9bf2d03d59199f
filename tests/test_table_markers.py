"""Texts keep their tables between markers, and the README's are what the records say."""

from pathlib import Path

import pytest

from experiments.errors import UserError
from experiments.table_markers import committed, main, rewrite

README = Path(__file__).parent.parent / "README.md"
TEXT = """# Mine

<!-- table: one -->
| old | table |
<!-- /table -->
Between.
<!-- table: two -->
<!-- /table -->
After.
"""


def test_what_stands_between_markers_is_written_anew_and_nothing_else():
    once = rewrite(TEXT, lambda name: f"| {name} |")
    assert once == TEXT.replace("| old | table |", "\n| one |\n").replace("two -->\n", "two -->\n\n| two |\n\n")
    assert rewrite(once, lambda name: f"| {name} |") == once


@pytest.mark.parametrize(
    "text",
    [
        "<!-- table: a -->",
        "<!-- /table -->",
        "<!-- table: a -->\n<!-- table: b -->\n<!-- /table -->",
        "<!-- table: a -->\n<!-- /table -->\n<!-- /table -->",
    ],
)
def test_markers_that_do_not_pair_are_refused(text):
    with pytest.raises(UserError, match="has no partner"):
        rewrite(text, str)


def test_a_file_is_brought_up_to_date_from_committed_records(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    file = Path("mine.md")
    file.write_text("<!-- table: bicubic -->\n<!-- /table -->\n", encoding="utf-8")
    assert main(["mine.md"]) == 0
    assert capsys.readouterr().out == "mine.md: tables written anew\n"
    assert committed("bicubic") in file.read_text(encoding="utf-8")
    assert main(["mine.md"]) == 0
    assert capsys.readouterr().out == ""
    file.write_text("<!-- table: bicubik -->\n<!-- /table -->\n", encoding="utf-8")
    with pytest.raises(UserError, match="did you mean bicubic"):
        main(["mine.md"])


def test_the_readme_says_what_the_records_say():
    text = README.read_text(encoding="utf-8")
    assert rewrite(text) == text, "run `make tables`"

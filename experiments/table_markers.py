"""``python -m experiments.table_markers FILE...``: write each table anew between its markers, from committed records.

A text asks for a table by ``<!-- table: NAME -->`` and ``<!-- /table -->``, each on a line of its own.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from datamodules.functional.files import replacing
from experiments.errors import UserError, leave_by
from experiments.table import assemble
from experiments.table_file import find_table
from experiments.table_render import markdown
from experiments.table_results import RESULTS

BEGIN = re.compile(r"<!-- table: (\S+) -->")
END = "<!-- /table -->"


def committed(name: str) -> str:
    """The table ``name`` in Markdown, from committed records alone."""
    return markdown(assemble(find_table(name), RESULTS))


def rewrite(text: str, make: Callable[[str], str] = committed) -> str:
    """``text`` with what stands between the markers of each table replaced by what ``make`` says of its name.

    Raises:
        UserError: markers that do not pair.
    """
    written: list[str] = []
    inside: str | None = None
    for line in text.split("\n"):
        begin = BEGIN.fullmatch(line.strip())
        is_end = line.strip() == END
        if (begin and inside is not None) or (is_end and inside is None):
            raise UserError(f"{line.strip()} has no partner: write {END} after each table, and only there")
        if inside is None or is_end:
            written.append(line)
        if begin:
            inside = begin[1]
            written += ["", make(inside), ""]
        elif is_end:
            inside = None
    if inside is not None:
        raise UserError(f"<!-- table: {inside} --> has no partner: write {END} after the table")
    return "\n".join(written)


def main(argv: Sequence[str]) -> int:
    """Bring the files ``argv`` up to date."""
    for name in argv:
        file = Path(name)
        before = file.read_text(encoding="utf-8")
        after = rewrite(before)
        if after != before:
            with replacing(file) as target:
                target.write(after.encode())
            print(f"{name}: tables written anew")
    return 0


if __name__ == "__main__":
    leave_by(main)

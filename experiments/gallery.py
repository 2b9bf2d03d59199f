"""``python -m experiments.gallery FILE``: write the gallery, the pictures of all committed records, anew. No torch.

A picture lies beside its record and bears its name: ``<record>.png``, or ``<record>-<panel>.png`` where a run has
several, or ``<record>.<panel>.png`` where it is of an evaluation. What stands under it is from the record alone.
"""

import json
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datamodules.functional.files import replacing
from experiments.errors import UserError, leave_by
from experiments.table_cells import rounded
from experiments.table_results import EVALUATION, RESULTS

COLUMNS = 3
PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp")
SEEDED = re.compile(r".*-s\d+")  # the name of a run's record
PANELS = {"nn_p05": "samples, each before the training images nearest to it"}
HEADER = "<!-- Written whole by `make gallery` (experiments/gallery.py): a change made here is lost. -->"
ABOUT = (
    "All pictures that lie beside committed records. The name below a picture leads to its record. The score is the "
    "last checkpoint's; of several, the one by which the run chose its best checkpoint, or an evaluation's first."
)


@dataclass(frozen=True)
class Entry:
    """A record with its pictures.

    Args:
        record: its file.
        name: of what is shown.
        seed: of the run; None where there is none.
        facts: further words: what was looked at, how long it was trained.
        commit: of the code.
        minutes: of wall time.
        score: name and value of the headline; None where there is none.
        pictures: by panel, "" where a picture bears the record's name alone.
    """

    record: Path
    name: str
    seed: int | None
    facts: tuple[str, ...]
    commit: str
    minutes: float
    score: tuple[str, float] | None
    pictures: Mapping[str, Path]

    @property
    def order(self) -> tuple[Any, ...]:
        """By the record's name, seeds as numbers."""
        return self.record.stem.rpartition("-s")[0] or self.record.stem, self.seed or 0, self.record.stem


def entries(results: Path = RESULTS) -> dict[str, list[Entry]]:
    """Every record below ``results`` that has a picture, by the folder that it lies in below them.

    Raises:
        UserError: a picture without a record, or a damaged record.
    """
    found = defaultdict(list)
    for record, pictures in pictured(results).items():
        found[record.parent.relative_to(results).as_posix()].append(read_entry(record, pictures))
    return {name: sorted(found[name], key=lambda entry: entry.order) for name in sorted(found, key=section_order)}


def section_order(name: str) -> tuple[bool, str]:
    """Runs first, evaluations last."""
    return name.startswith("evaluations"), name


def pictured(results: Path) -> dict[Path, dict[str, Path]]:
    """The records below ``results`` that have pictures: file, to picture by panel.

    Raises:
        UserError: a picture without a record.
    """
    found: dict[Path, dict[str, Path]] = defaultdict(dict)
    for picture in sorted(file for file in results.rglob("*") if file.suffix.lower() in PICTURES):
        record = record_of(picture)
        if record is None:
            shown = picture.relative_to(results).as_posix()
            raise UserError(
                f"{shown} has no record: commit the run's record.json beside it by its name, or take it away"
            )
        found[record][picture.stem[len(record.stem) + 1 :]] = picture
    return found


def record_of(picture: Path) -> Path | None:
    """The record that ``picture`` lies beside and bears the name of, the longest of several; None without one."""
    stem = picture.stem
    parts = [(stem[:i], sign) for i, sign in enumerate(stem) if sign in "-."]
    names = [stem, *(name for name, sign in reversed(parts) if sign == "." or SEEDED.fullmatch(name))]
    files = (picture.with_name(f"{name}.json") for name in names)
    return next((file for file in files if file.is_file()), None)


def read_entry(record: Path, pictures: Mapping[str, Path]) -> Entry:
    """What ``record`` says of its pictures.

    Raises:
        UserError: it is damaged.
    """
    try:
        content = json.loads(record.read_text(encoding="utf-8"))
        code, minutes = content["code"], content["wall_seconds"] / 60
        commit = f"{str(code['commit'])[:7]}{' with uncommitted changes' if code['dirty'] else ''}"
        about = of_evaluation(content) if content.get("kind") == EVALUATION else of_run(content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise UserError(f"{record} is no record, or a damaged one: mend it, or take its pictures away") from error
    name, seed, facts, score = about
    return Entry(record, name, seed, facts, commit, minutes, score, pictures)


About = tuple[str, int | None, tuple[str, ...], tuple[str, float] | None]


def of_run(content: Mapping[str, Any]) -> About:
    """Name, seed, length and headline of a run: of several protocols, the first one's."""
    kimg = content["clock"]["kimg"]
    block = content["scores"][0] if content["scores"] else {}
    scores = (block.get("last") or {}).get("metrics", {})
    by = (block.get("best") or {}).get("by") or next(iter(scores), None)
    status = content["status"]
    facts = (*((f"{rounded(kimg)} kimg",) if kimg else ()), *(() if status == "finished" else (status,)))
    return content["experiment"], content["seed"], facts, headline(by, scores)


def of_evaluation(content: Mapping[str, Any]) -> About:
    """Name, seed, what with, and first score of an evaluation: of a run, of a set of images, or of restored ones."""
    of, protocol = content["of"], content["protocol"]
    means = {name: summary["mean"] for name, summary in content["scores"].items()}
    score, seeds = headline(next(iter(means), None), means), content["seeds"]
    facts = (f"means of {len(seeds)} evaluations",) if len(seeds) > 1 else ()
    if "experiment" in of:
        return of["experiment"], of["run_seed"], (f"{of['checkpoint']} checkpoint", *facts), score
    name, other = (of["fakes"], protocol["data"]) if "fakes" in of else (of["restored"], protocol["targets"])
    return name, None, (f"against {other}", *facts), score


def headline(name: str | None, scores: Mapping[str, float | None]) -> tuple[str, float] | None:
    """The score ``name``, where there is one and it was finite."""
    value = None if name is None else scores.get(name)
    return None if name is None or value is None else (name, value)


def link(file: Path, folder: Path) -> str:
    """The address of ``file`` in a text that lies in ``folder``."""
    return Path(os.path.relpath(file, folder)).as_posix()


def cell(entry: Entry, panel: str, folder: Path) -> str:
    """A picture and what stands under it, in Markdown whose links hold in ``folder``."""
    seed = "" if entry.seed is None else f", seed {entry.seed}"
    lines = [f"![{entry.name}{seed}]({link(entry.pictures[panel], folder)})"]
    lines.append(f"[{entry.name}]({link(entry.record, folder)}){seed}")
    lines += [PANELS.get(panel, panel)] if panel else []
    lines.append(", ".join([*entry.facts, f"{rounded(entry.minutes)} min"]))
    lines += [] if entry.score is None else [f"`{entry.score[0]}` {entry.score[1]:.4g}"]
    return "<br>".join([*lines, f"commit {entry.commit}"]).replace("|", "\\|")


def section(name: str, found: Iterable[Entry], folder: Path) -> list[str]:
    """Heading and table of pictures."""
    cells = [cell(entry, panel, folder) for entry in found for panel in sorted(entry.pictures)]
    cells += [""] * (-len(cells) % COLUMNS)
    rows = [cells[i : i + COLUMNS] for i in range(0, len(cells), COLUMNS)]
    table = [[""] * COLUMNS, [":---:"] * COLUMNS, *rows]
    return [f"## {name}", "", *("| " + " | ".join(row) + " |" for row in table), ""]


def gallery(folder: Path, results: Path = RESULTS) -> str:
    """The text of a gallery that lies in ``folder``.

    Raises:
        UserError: a picture without a record, or a damaged record.
    """
    sections = [line for name, found in entries(results).items() for line in section(name, found, folder)]
    return "\n".join([HEADER, "", "# Gallery", "", ABOUT, "", *sections])


def main(argv: Sequence[str]) -> int:
    """Write the gallery to the files ``argv``."""
    for name in argv:
        file = Path(name)
        text = gallery(file.resolve().parent)
        if not file.is_file() or file.read_text(encoding="utf-8") != text:
            with replacing(file) as target:
                target.write(text.encode())
            print(f"{name}: written anew")
    return 0


if __name__ == "__main__":
    leave_by(main)

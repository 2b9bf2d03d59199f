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
CLOSE = 0.01  # share by which a moment may be off the length that a picture's name says
PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp")
SEEDED = re.compile(r".*-s\d+")  # the name of a run's record
EARLIER = re.compile(r"after_(\d+)_epochs")  # the panel of a picture from the middle of a run
PANELS = {"nn_p05": "samples, each before the training images nearest to it"}
HEADER = "<!-- Written whole by `make gallery` (experiments/gallery.py): a change made here is lost. -->"
ABOUT = (
    "All pictures that lie beside committed records. The name below a picture leads to its record. The score is the "
    "last checkpoint's; of several, the one by which the run chose its best checkpoint, or an evaluation's first. A "
    "picture from the middle of a run has the length, minutes and score of its moment."
)


@dataclass(frozen=True)
class Shown:
    """What stands under a picture.

    Args:
        facts: what was looked at, how long it was trained.
        minutes: of wall time.
        score: name and value of the headline; None where there is none.
    """

    facts: tuple[str, ...]
    minutes: float
    score: tuple[str, float] | None


@dataclass(frozen=True)
class Entry:
    """A record with its pictures.

    Args:
        record: its file.
        name: of what is shown.
        seed: of the run; None where there is none.
        commit: of the code.
        pictures: by panel, "" where a picture bears the record's name alone.
        shown: what stands under each.
    """

    record: Path
    name: str
    seed: int | None
    commit: str
    pictures: Mapping[str, Path]
    shown: Mapping[str, Shown]

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
        code = content["code"]
        commit = f"{str(code['commit'])[:7]}{' with uncommitted changes' if code['dirty'] else ''}"
        evaluated = content.get("kind") == EVALUATION
        name, seed = name_of_evaluation(content) if evaluated else (content["experiment"], content["seed"])
        shown = {panel: of_evaluation(content) if evaluated else of_run(content, panel) for panel in pictures}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise UserError(f"{record} is no record, or a damaged one: mend it, or take its pictures away") from error
    return Entry(record, name, seed, commit, pictures, shown)


def of_run(content: Mapping[str, Any], panel: str) -> Shown:
    """Length and headline of a run, as far as the picture ``panel`` shows it: of several protocols, the first one's."""
    kimg, minutes = content["clock"]["kimg"], content["wall_seconds"] / 60
    block = content["scores"][0] if content["scores"] else {}
    scores = (block.get("last") or {}).get("metrics", {})
    by = (block.get("best") or {}).get("by") or next(iter(scores), None)
    if by is not None and (own := "@".join([f"{by.partition('@')[0]}_{panel}", *by.split("@")[1:]])) in scores:
        by = own  # of images that the run samples otherwise
    if earlier := EARLIER.fullmatch(panel):
        kimg *= int(earlier[1]) / content["clock"]["length"]["epochs"]
        (moment,) = (moment for moment in block["history"] if abs(moment["kimg"] - kimg) < CLOSE * kimg)
        minutes, scores = moment["seconds"] / 60, moment["metrics"]
    status = content["status"]
    facts = (*((f"{rounded(kimg)} kimg",) if kimg else ()), *(() if status == "finished" else (status,)))
    return Shown(facts, minutes, headline(by, scores))


def name_of_evaluation(content: Mapping[str, Any]) -> tuple[str, int | None]:
    """Of the run, the set of images or the restored ones that were looked at, and the run's seed."""
    of = content["of"]
    return (of["experiment"], of["run_seed"]) if "experiment" in of else (of.get("fakes") or of["restored"], None)


def of_evaluation(content: Mapping[str, Any]) -> Shown:
    """What with, and first score of an evaluation: of a run, of a set of images, or of restored ones."""
    of, protocol, minutes = content["of"], content["protocol"], content["wall_seconds"] / 60
    means = {name: summary["mean"] for name, summary in content["scores"].items()}
    score, seeds = headline(next(iter(means), None), means), content["seeds"]
    facts = (f"means of {len(seeds)} evaluations",) if len(seeds) > 1 else ()
    if "experiment" in of:
        return Shown((f"{of['checkpoint']} checkpoint", *facts), minutes, score)
    other = protocol["data"] if "fakes" in of else protocol["targets"]
    return Shown((f"against {other}", *facts), minutes, score)


def headline(name: str | None, scores: Mapping[str, float | None]) -> tuple[str, float] | None:
    """The score ``name``, where there is one and it was finite."""
    value = None if name is None else scores.get(name)
    return None if name is None or value is None else (name, value)


def link(file: Path, folder: Path) -> str:
    """The address of ``file`` in a text that lies in ``folder``."""
    return Path(os.path.relpath(file, folder)).as_posix()


def cell(entry: Entry, panel: str, folder: Path) -> str:
    """A picture and what stands under it, in Markdown whose links hold in ``folder``."""
    seed, shown = "" if entry.seed is None else f", seed {entry.seed}", entry.shown[panel]
    lines = [f"![{entry.name}{seed}]({link(entry.pictures[panel], folder)})"]
    lines.append(f"[{entry.name}]({link(entry.record, folder)}){seed}")
    lines += [PANELS.get(panel, panel)] if panel else []
    lines.append(", ".join([*shown.facts, f"{rounded(shown.minutes)} min"]))
    lines += [] if shown.score is None else [f"`{shown.score[0]}` {shown.score[1]:.4g}"]
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

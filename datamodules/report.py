"""What reading image files found: which were left out and why, and what was done to the others."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from datamodules.sources import Fault

SHOWN = 50


@dataclass
class Report:
    """The findings of one reading of a folder or archive.

    Args:
        name: of the folder or archive.
        settings: how images were made, in words.
        split_by: how train and test were told apart.
        counts: images used, by split.
        faults: files that are not used, in order of names.
        changes: images to which something was done beyond crop and reduction, by what.
        others: files that no image would be called, by suffix: passed over.
    """

    name: str
    settings: str
    split_by: str
    counts: dict[str, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    changes: Counter[str] = field(default_factory=Counter)
    others: Counter[str] = field(default_factory=Counter)

    def lines(self) -> list[str]:
        """The findings in words, one line each; of many faults the first, then how many more for which reasons."""
        used = sum(self.counts.values())
        counts = ", ".join(f"{n:,} {split}" for split, n in self.counts.items())
        lines = [
            f"{self.name}: {used:,} of {used + len(self.faults):,} images used ({counts}; {self.split_by}),"
            f" {len(self.faults):,} skipped; {self.settings}"
        ]
        lines += [f"  skipped {fault.name}: {fault.reason}" for fault in self.faults[:SHOWN]]
        if len(self.faults) > SHOWN:
            rest = Counter(fault.reason.split(":")[0] for fault in self.faults[SHOWN:])
            lines.append(f"  skipped {len(self.faults) - SHOWN:,} more: {_listed(rest)}")
        if self.others:
            lines.append(f"  passed over, no images by name: {_listed(self.others)}")
        if self.changes:
            lines.append(f"  changed: {_listed(self.changes)}")
        return lines

    def refusal(self) -> str:
        """Why these files cannot be used as they are, in one sentence."""
        total = sum(self.counts.values()) + len(self.faults)
        return (
            f"{self.name}: {len(self.faults):,} of {total:,} files give no image: {self.examples()}; mend or remove"
            " them, or set data.init_args.on_bad to skip."
        )

    def examples(self) -> str:
        """The first faults, and how many more there are."""
        return examples(self.faults)

    def as_dict(self) -> dict[str, Any]:
        """The findings as plain values, for a run's record."""
        return {
            "name": self.name,
            "settings": self.settings,
            "split_by": self.split_by,
            "counts": self.counts,
            "skipped": len(self.faults),
            "faults": [fault._asdict() for fault in self.faults[:SHOWN]],
            "reasons": dict(Counter(fault.reason.split(":")[0] for fault in self.faults)),
            "changed": dict(self.changes),
            "passed_over": dict(self.others),
        }


def examples(faults: Sequence[Fault], n: int = 5) -> str:
    """The first ``n`` of ``faults`` in words, and how many more there are."""
    shown = "; ".join(f"{fault.name} ({fault.reason})" for fault in faults[:n])
    return f"{shown} and {len(faults) - n:,} more" if len(faults) > n else shown


def _listed(counts: Counter[str]) -> str:
    # not most_common, which leaves equal counts in the order in which the files were read
    return ", ".join(f"{n:,} {what}" for what, n in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))

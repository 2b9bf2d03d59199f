"""What an evaluation says: a table on the screen, and JSON that can be committed as a result, with its pictures."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text
from torch import Tensor

from datamodules.functional.files import replacing
from experiments.errors import UserError
from lightning_modules.callbacks.pictures import grid, save_png
from lightning_modules.callbacks.record import finite
from lightning_modules.callbacks.surroundings import device_facts, source_state, versions

SCHEMA = 1
CPU = torch.device("cpu")
Scores = Mapping[str, float]


@dataclass
class ScoreReport:
    """The scores of one evaluation, and all that they hang on.

    Args:
        title: what was scored, in words.
        of: what was scored, as plain values.
        protocol: how, as plain values.
        scores: one row a seed.
        seeds: of the rows; none where nothing was drawn.
        floor: what real images score; None where there are none.
        preset: the named protocol that was asked for.
        departures: where it could not be followed: (as fixed there, as measured).
        pictures: by name, uint8 [rows, columns, C, H, W].
        device: that it was computed on.
        seconds: of the whole evaluation.
    """

    title: str
    of: dict[str, Any]
    protocol: Mapping[str, Any]
    scores: Sequence[Scores]
    seeds: Sequence[int] = ()
    floor: Scores | None = None
    preset: str | None = None
    departures: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    pictures: Mapping[str, Tensor] = field(default_factory=dict)
    device: torch.device = CPU
    seconds: float = 0.0

    def show(self) -> None:
        """Print the table, then how it was measured."""
        console = Console(highlight=False, soft_wrap=True)
        table = Table(title=Text(self.title), title_justify="left")  # a path may hold what looks like markup
        table.add_column("score")
        table.add_column("value", justify="right")
        if len(self.scores) > 1:
            table.add_column(f"std of {len(self.scores)}", justify="right")
        if self.floor:
            table.add_column("floor", justify="right")
        for name in self.scores[0]:
            mean, std = mean_and_std([row[name] for row in self.scores])
            cells = [name, f"{mean:.5g}"]
            if len(self.scores) > 1:
                cells.append(f"{std:.2g}")
            if self.floor:
                cells.append(f"{self.floor[name]:.5g}")
            table.add_row(*cells)
        console.print(table)
        stated = {name: value for name, value in self.protocol.items() if value is not None}
        console.print("measured by: " + ", ".join(f"{name} {value}" for name, value in stated.items()), markup=False)
        for name, (fixed, measured) in self.departures.items():
            console.print(f"otherwise than {self.preset}: {name} is {measured}, there {fixed}", markup=False)

    def as_dict(self) -> dict[str, Any]:
        """Plain values; a number that is not finite, as PSNR of equal images, becomes null."""
        summary = {}
        for name in self.scores[0]:
            values = [row[name] for row in self.scores]
            mean, std = mean_and_std(values)
            summary[name] = {"mean": mean, "std": std, "values": values}
        everything = {
            "schema": SCHEMA,
            "kind": "evaluation",
            "status": "finished",
            "of": self.of,
            "preset": self.preset,
            "departures": {name: list(pair) for name, pair in self.departures.items()},
            "protocol": dict(self.protocol),
            "seeds": list(self.seeds),
            "scores": summary,
            "floor": None if self.floor is None else dict(self.floor),
            "wall_seconds": round(self.seconds, 1),
            "code": source_state(),
            "versions": versions(),
            "hardware": device_facts(self.device),
        }
        return finite(everything)

    def write(self, path: Path) -> list[Path]:
        """Write the pictures beside ``path``, then the JSON, each whole or not at all; all their paths.

        Raises:
            UserError: one of them cannot be written.
        """
        shown = {path.with_name(f"{path.stem}.{name}.png"): rows for name, rows in self.pictures.items()}
        text = json.dumps(self.as_dict(), indent=2, allow_nan=False)
        try:
            for picture, rows in shown.items():
                save_png(grid(rows.flatten(0, 1), columns=rows.shape[1]), picture)
            with replacing(path) as file:
                file.write(text.encode() + b"\n")
        except OSError as error:
            raise UserError(f"{path} cannot be written ({error.strerror}): give another --out") from error
        return [path, *shown]


def mean_and_std(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation, which a single value does not have."""
    x = torch.tensor(values, dtype=torch.float64)  # the standard library's cannot do infinite values
    return float(x.mean()), float(x.std()) if len(values) > 1 else None

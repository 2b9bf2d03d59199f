"""Made-up records and a table that they fill, for what tests ``atelier table``."""

import json
from pathlib import Path
from typing import Any

from experiments.table_cells import Known, Wanted, fill, wanted
from experiments.table_figures import Line, lines
from experiments.table_file import Row, Table, as_table
from experiments.table_results import read_results

NAME = "gan/dcgan_mnist32"  # 700 kimg
PROTOCOL = {
    "data": "mnist",
    "data_sha256": "aa",
    "resolution": "1x32x32",
    "resize": "none",
    "extractor": "mnist-cnn",
    "extractor_sha256": "bb",
    "reference_split": "train",
    "reference_count": 60000,
    "fakes": 10000,
    "weights": "ema",
    "checkpoint": "last",
    "seed": 0,
    "is_splits": 10,
}
STARTED = "2026-01-01T00:00:00+00:00"
TABLE = {
    "title": "A table",
    "columns": [{"score": "fid@mnist-cnn", "title": "FID", "better": "lower", "digits": 1}],
    "rows": [{"experiment": NAME}],
}


def record(fid: float | None = 2.0, kimg: float = 700, **changes: Any) -> dict[str, Any]:
    """A finished run of 700 kimg with key ``now``; ``changes`` of its top-level entries."""
    row = {"d_step": kimg, "g_step": kimg, "kimg": kimg, "metrics": {"fid@mnist-cnn": fid}}
    return {
        "schema": 1,
        "experiment": NAME,
        "key": "now",
        "seed": 0,
        "status": "finished",
        "started": [STARTED],
        "wall_seconds": 600,
        "clock": {"d_step": kimg, "g_step": kimg, "kimg": kimg, "total_d_steps": kimg, "length": {"kimg": kimg}},
        "scores": [{"protocol": PROTOCOL, "floor": None, "last": row}],
        "code": {"commit": "c", "dirty": False},
        "hardware": {"threads": 1, "gpu": None},
    } | changes


def cut_off(kimg: float, total: float = 700) -> dict[str, Any]:
    """The clock of a run that did ``kimg`` of ``total``."""
    return {"d_step": kimg, "g_step": kimg, "kimg": kimg, "total_d_steps": total, "length": {"kimg": total}}


def table(**changes: Any) -> Table:
    return as_table({**TABLE, **changes}, "mine")


def commit(results: Path, name: str, **content: Any) -> Path:
    """Write a record among the committed ones."""
    return write(results / "gan" / f"{name}.json", record(**content))


def write(file: Path, content: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def known(key: str = "now", *earlier: str, **overrides: Any) -> dict[str, Known]:
    """``keys.yaml`` as it would be for the experiment with ``overrides``."""
    want = wanting(overrides)
    return {want.name: Known(key, want.yaml, earlier)}


def wanting(overrides: dict[str, Any]) -> Wanted:
    return wanted(Row(experiment=NAME, overrides=overrides), "mine")


def read(
    folder: Path, which: Table | None = None, keys: dict[str, Known] | None = None
) -> tuple[list[Line], list[str]]:
    """The lines of a table from ``folder``/results and ``folder``/runs, and what is odd."""
    which = table() if which is None else which
    results, problems = read_results(folder / "results", folder / "runs")
    rows, said = fill(which, results, known() if keys is None else keys)
    return lines(which, rows), [*said, *problems]

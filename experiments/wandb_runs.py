"""Runs of Weights & Biases read back: an offline run's own file, or a run of a project where a key is configured.

A ``.wandb`` file is a log in the form of LevelDB's: after seven bytes of header blocks of 32 KiB, in which each piece
has a checksum, a length and whether it is a whole record, its first, a middle or its last part. A record is a protocol
buffer of the wandb package. What a killed process left unfinished at the end is left out.
"""

import json
import math
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path
from typing import Any

from experiments.page import KINDS
from experiments.runs import goes_on
from experiments.table_results import is_finite, standing

TIME = "_timestamp"
COUNTS = (TIME, "kimg", "d_step")
MAGIC, BLOCK, HEAD = b":W&B", 32768, 7
WHOLE, FIRST, MIDDLE, LAST = 1, 2, 3, 4


@dataclass
class LoggedRun:
    """What W&B knows of a run.

    Args:
        id: W&B's.
        name: the run directory's.
        group: the experiment.
        config: the whole configuration.
        history: a row each time that something was logged.
        summary: last values, and under ``record`` the run's record.
        pictures: that were logged and are here, by their names: images seen and file, in order.
        live: whether it goes on; None where nobody knows.
    """

    id: str = ""
    name: str = ""
    group: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    pictures: dict[str, list[tuple[int, Path]]] = field(default_factory=dict)
    live: bool | None = None

    def record(self) -> dict[str, Any]:
        """The run's record, with the scores' history as W&B has it.

        Raises:
            ValueError: it has none.
        """
        found = self.summary.get("record")
        if not isinstance(found, dict):
            raise ValueError("it holds no record of this project")
        scores = [{**block, "history": self.moments(block)} for block in found["scores"]]
        return {**found, "status": standing(found["status"], self.live), "scores": scores}

    def moments(self, block: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The history of a record's ``block`` of scores."""
        names, start = list(block["last"]["metrics"]) if block.get("last") else [], begun(self.history)
        found = []
        for row in self.history:
            metrics = {name: row[f"val/{name}"] for name in names if is_finite(row.get(f"val/{name}"))}
            if metrics and {"kimg", "d_step"} <= row.keys():
                seconds = {"seconds": row[TIME] - start} if TIME in row else {}
                found.append({"d_step": row["d_step"], "kimg": row["kimg"], **seconds, "metrics": metrics})
        return found


def joined(runs: Iterable[LoggedRun]) -> list[LoggedRun]:
    """``runs``, of which those are one that a record calls segments of its run.

    What a resumed run trained again counts once, as it was the second time, and the pause before it not at all.
    """
    groups: list[tuple[set[str], list[LoggedRun]]] = []
    for run in runs:
        ids, segments = {run.id, *ids_of(run)}, [run]
        for group in [group for group in groups if group[0] & ids]:
            groups.remove(group)
            ids, segments = ids | group[0], group[1] + segments
        groups.append((ids, segments))
    return [reduce(followed, (part for one in sorted(found, key=place) for part in parts(one))) for _, found in groups]


def ids_of(run: LoggedRun) -> list[str]:
    """W&B's ids of the segments that the record of ``run`` knows of."""
    record = run.summary.get("record")
    ids = record.get("wandb") if isinstance(record, dict) else None
    return [one for one in ids if isinstance(one, str)] if isinstance(ids, list) else []


def place(run: LoggedRun) -> tuple[int, float]:
    """Where a segment stands among others: by how often its run had been started, then by its first row."""
    record = run.summary.get("record")
    started = record.get("started") if isinstance(record, dict) else None
    return len(started) if isinstance(started, list) else 0, begun(run.history)


def parts(run: LoggedRun) -> Iterator[LoggedRun]:
    """``run`` by its resumes: online they go on in W&B's own run, whose images then count backwards once."""
    cuts, last = [0], -math.inf
    for i, row in enumerate(run.history):
        if "d_step" in row and "kimg" in row:
            if row["kimg"] < last:
                cuts.append(i)
            last = row["kimg"]
    for i, (start, end) in enumerate(zip(cuts, [*cuts[1:], None], strict=True)):
        yield replace(run, history=run.history[start:end], pictures=run.pictures if i == 0 else {})


def followed(run: LoggedRun, by: LoggedRun) -> LoggedRun:
    """``run`` with what came after it was resumed, ``by``, which knows more."""
    from_kimg = min((row["kimg"] for row in by.history if "d_step" in row and "kimg" in row), default=math.inf)
    kept = [row for row in run.history if row.get("kimg", 0) < from_kimg]
    pause = begun(by.history) - max((row[TIME] for row in kept if TIME in row), default=begun(by.history))
    rows = [row | {TIME: row[TIME] - pause} if TIME in row else row for row in by.history]
    pictures = {name: [one for one in found if one[0] < 1000 * from_kimg] for name, found in run.pictures.items()}
    return replace(
        by,
        live=run.live or by.live,
        config=by.config or run.config,
        history=[*kept, *rows],
        summary=by.summary if "record" in by.summary else run.summary,
        pictures={name: pictures.get(name, []) + by.pictures.get(name, []) for name in pictures | by.pictures},
    )


def begun(history: Iterable[Mapping[str, Any]]) -> float:
    """When the first row was logged, in seconds; after all others where none was."""
    return next((row[TIME] for row in history if TIME in row), math.inf)


def cleaned(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row without counts and times that are no numbers."""
    return {name: value for name, value in row.items() if name not in COUNTS or is_finite(value)}


def pictures_in(history: Iterable[Mapping[str, Any]], folder: Path) -> dict[str, list[tuple[int, Path]]]:
    """The pictures of ``history`` whose files are in ``folder``, by their names: images seen and file, in order."""
    found: dict[str, list[tuple[int, Path]]] = {}
    for row in history:
        for name, value in row.items():
            for path in (folder / "files" / file for file in files_of(value)):
                if path.suffix in KINDS and path.is_file():
                    found.setdefault(name, []).append((round(1000 * row.get("kimg", 0)), path))
    return found


def files_of(value: Any) -> list[str]:
    """The picture files that a logged ``value`` stands for."""
    if not isinstance(value, dict):
        return []
    if value.get("_type") == "images/separated":
        return list(value.get("filenames", ()))
    return [value["path"]] if value.get("_type") == "image-file" else []


def find_files(folder: Path) -> list[Path]:
    """The ``.wandb`` files of ``folder``: an offline run's own, or those of the segments below it, the first first."""
    return sorted(folder.glob("*.wandb")) or sorted(folder.glob("*run-*/*.wandb"))


def read_offline(file: Path) -> LoggedRun:
    """The run in a ``.wandb`` file.

    Raises:
        ValueError: it is none, or wandb is not installed.
    """
    try:
        from google.protobuf.message import DecodeError
        from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]  # generated
    except ModuleNotFoundError as error:
        raise ValueError("wandb is not installed, which reads its own files: pip install wandb") from error
    run = LoggedRun(id=file.stem.removeprefix("run-"))  # what is killed at once says no other
    for content in pieces(file):
        record = Record()
        try:
            record.ParseFromString(content)
        except DecodeError as error:
            raise ValueError(f"{file} is a damaged file of Weights & Biases") from error
        kind = record.WhichOneof("record_type")
        if kind == "run":
            run.id, run.name, run.group = record.run.run_id, record.run.display_name, record.run.run_group
            run.config |= items(record.run.config.update)
        elif kind == "config":
            run.config |= items(record.config.update)
        elif kind == "history":
            run.history.append(cleaned(items(record.history.item)))
        elif kind == "summary":
            run.summary = deepened(run.summary, items(record.summary.update))
    run.config.pop("_wandb", None)
    run.pictures = pictures_in(run.history, file.parent)
    run.live = goes_on(file.absolute().parent.parent.parent)  # of RUN_DIR/wandb/offline-run-.../run-....wandb
    return run


def read_project(path: str, api: Any = None) -> list[LoggedRun]:
    """The runs of a W&B project ``entity/project`` on the server.

    Raises:
        ValueError: the server does not answer, or knows no such project.
    """
    try:
        import wandb

        found = list((api or wandb.Api()).runs(path))
        return [
            LoggedRun(
                id=run.id,
                name=run.name,
                group=run.group or "",
                config=dict(run.config),
                history=[cleaned(row) for row in run.scan_history()],
                summary=dict(run.summary_metrics),
                live=run.state == "running",
            )
            for run in found
        ]
    except Exception as error:  # wandb raises what its transport does
        raise ValueError(f"Weights & Biases gives no runs of {path} ({error})") from error


def pieces(file: Path) -> Iterator[bytes]:
    """The records of a ``.wandb`` file, as bytes.

    Raises:
        ValueError: it is none.
    """
    content = file.read_bytes()
    if content[:4] != MAGIC:
        raise ValueError(f"{file} is no file of Weights & Biases")
    place, parts = HEAD, b""
    while place + HEAD <= len(content):
        left = BLOCK - place % BLOCK
        if left < HEAD:
            place += left
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        part = content[place + HEAD : place + HEAD + length]
        if kind not in (WHOLE, FIRST, MIDDLE, LAST) or len(part) < length:
            return
        place += HEAD + length
        parts = part if kind in (WHOLE, FIRST) else parts + part
        if kind in (WHOLE, LAST):
            yield parts


def items(found: Iterable[Any]) -> dict[str, Any]:
    """Keys and values of a record; those of several parts are values within values."""
    values: dict[str, Any] = {}
    for item in found:
        *above, last = item.nested_key or [item.key]
        place = values
        for part in above:
            inner = place.get(part)
            place[part] = inner if isinstance(inner, dict) else {}
            place = place[part]
        place[last] = json.loads(item.value_json)
    return values


def deepened(values: dict[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """``values`` with ``more``, which may bring further parts of what is there."""
    for key, value in more.items():
        both = isinstance(value, Mapping) and isinstance(values.get(key), dict)
        values[key] = deepened(values[key], value) if both else value
    return values

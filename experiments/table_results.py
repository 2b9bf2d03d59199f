"""Records as tables read them: committed under ``results/``, local in run directories, evaluations of either's runs."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from experiments.catalogue import ROOT
from experiments.runs import DEPTHS, goes_on
from lightning_modules.metrics.protocol import FIELDS, Protocol

RESULTS = ROOT / "results"
EVALUATION = "evaluation"
FINISHED, RUNNING = "finished", "running"  # as a record's status says it
CUT_OFF = "cut off"  # that it is running, where nobody trains it any more
DAMAGE = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)  # that a record may do


@dataclass(frozen=True)
class Block:
    """Scores measured by one protocol.

    Args:
        protocol: its fields.
        moments: ``last``, and where there are, ``first`` and ``best``: d_step, metrics, and what else the record says.
        floor: what real images score.
        evaluations: each with other fakes, whose mean the moments' scores are; the floor is of the first.
        history: all moments, in order.
    """

    protocol: Mapping[str, Any]
    moments: Mapping[str, Mapping[str, Any]]
    floor: Mapping[str, float | None] = field(default_factory=dict)
    evaluations: int = 1
    history: Sequence[Mapping[str, Any]] = ()

    def __post_init__(self) -> None:
        if is_generative(self.protocol):
            object.__setattr__(self, "protocol", Protocol(**self.protocol).as_dict())  # with what came later
        elif "precision" not in self.protocol:  # said where it is not full
            of_none = self.protocol.get("weights", "raw") is None
            object.__setattr__(self, "protocol", {**self.protocol, "precision": None if of_none else "full"})

    def scores(self, of: str) -> Mapping[str, float | None]:
        """Scores by name; none where there was no such moment. None is a number that was not finite."""
        return self.floor if of == "floor" else self.moments.get(of, {}).get("metrics", {})


@dataclass(frozen=True)
class Result:
    """One run, from its record."""

    path: str  # as shown
    committed: bool
    experiment: str
    key: str | None
    seed: int
    status: str
    started: tuple[str, ...]
    minutes: float
    clock: Mapping[str, Any]
    dirty: bool
    device: str
    blocks: tuple[Block, ...]
    parameters: Mapping[str, int] = field(default_factory=dict)  # of each network
    cost: Mapping[str, float] = field(default_factory=dict)  # numbers, and ``memory_mb``
    devices: int = 1
    changed: bool = False  # whether a resume changed what the key hangs on

    @property
    def share(self) -> float:
        """How much of the length that was asked for is done."""
        total = self.clock["total_d_steps"]
        return self.clock["d_step"] / total if total else 1.0

    @property
    def finished(self) -> bool:
        """Whether it came to its end."""
        return self.status == FINISHED


def is_generative(protocol: Mapping[str, Any]) -> bool:
    """Whether ``protocol`` is a ``Protocol``, not one of a classifier's or of image pairs."""
    return "extractor" in protocol and set(protocol) <= set(FIELDS)


def read_results(results: Path, runs: Path | None = None) -> tuple[list[Result], list[str]]:
    """Every run below ``results`` and, where given, in the run directories below ``runs``; and what cannot be read.

    Evaluations count as further scores of the run that they are of.
    """
    return read_records(_files(results, runs))


def read_records(files: Iterable[tuple[Path, str, bool]]) -> tuple[list[Result], list[str]]:
    """The runs of ``files``, each with how it is shown and whether it is committed; and what cannot be read."""
    problems: list[str] = []
    found: list[Result] = []
    evaluations: list[tuple[str, dict[str, Any]]] = []
    for file, shown, committed in files:
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            if content.get("kind") == EVALUATION:
                evaluations.append((shown, content))
            else:
                found.append(result_of({**content, "status": status_of(content, file, committed)}, shown, committed))
        except (OSError, *DAMAGE) as error:
            problems.append(f"{shown} is no record, or a damaged one, and left out ({what_is_wrong(error)})")
    for shown, content in evaluations:
        try:
            if changed := content["of"].get("changed"):
                problems.append(f"{shown} is of its run with other settings ({' '.join(changed)}), and left out")
                continue
            found = [_with_evaluation(result, content) for result in found]
        except DAMAGE as error:
            problems.append(f"{shown} is a damaged evaluation, and left out ({what_is_wrong(error)})")
    return found, problems


def _files(results: Path, runs: Path | None) -> Iterator[tuple[Path, str, bool]]:
    for file in sorted(results.rglob("*.json")):
        yield file, f"results/{file.relative_to(results).as_posix()}", True
    for depth in DEPTHS if runs is not None else ():
        assert runs is not None
        for file in sorted(runs.glob(f"{depth}/record.json")):
            yield file, file.as_posix(), False


def status_of(content: dict[str, Any], file: Path, committed: bool) -> str:
    """That of a record's ``content``, which is in ``file``."""
    stated = content["status"]
    return stated if stated == FINISHED else standing(stated, False if committed else goes_on(file.parent))


def standing(stated: str, live: bool | None) -> str:
    """A run whose process was killed cannot say so itself, nor can one say that it is about to go on.

    Args:
        stated: what its record says.
        live: whether some process trains it; None where nobody knows.
    """
    if stated == FINISHED or live is None:
        return stated
    return RUNNING if live else CUT_OFF if stated == RUNNING else stated


def what_is_wrong(error: Exception) -> str:
    """What ``error`` says of a record, in words."""
    if isinstance(error, KeyError):
        return f"no {error.args[0]}"
    if isinstance(error, TypeError | AttributeError | OverflowError | RecursionError):
        return "a value of another kind than records have"
    if isinstance(error, FileNotFoundError):
        return "there is no such file yet"
    return f"no JSON: {error}" if isinstance(error, json.JSONDecodeError) else " ".join(str(error).split())


def result_of(content: Mapping[str, Any], shown: str, committed: bool) -> Result:
    """The run of a record.

    Raises:
        KeyError, ValueError, TypeError, AttributeError: it is none, or damaged.
    """
    if not content["started"]:
        raise ValueError("it never started")
    hardware, cost, clock = content["hardware"], content.get("cost") or {}, content["clock"]
    gpu = hardware["gpu"]
    segments = content.get("segments") or []  # those before a resume
    if not all(
        isinstance(word, str) for word in (content["experiment"], content["status"], gpu or "", *content["started"])
    ):
        raise ValueError("a name that is no text")
    memory = cost.get("peak_memory_mb") or {}
    costs = {**cost, "memory_mb": memory.get("process" if gpu is None else "gpu")}
    return Result(
        path=shown,
        committed=committed,
        experiment=content["experiment"],
        key=content.get("key"),
        seed=content["seed"],
        status=content["status"],
        started=tuple(content["started"]),
        minutes=_number(content, "wall_seconds") / 60,
        clock={name: _number(clock, name) for name in ("d_step", "g_step", "kimg")}
        | {"total_d_steps": clock["total_d_steps"] and _number(clock, "total_d_steps")}
        | {"length": clock.get("length") or {}},
        dirty=any(one["code"]["dirty"] is True for one in (content, *segments)),
        changed=any(one["key"] != content.get("key") for one in segments),
        device=" and ".join(dict.fromkeys(device_of(one["hardware"]) for one in (*segments, content))),
        devices=max(one["hardware"].get("devices", 1) for one in (*segments, content)),
        blocks=tuple(_block(block) for block in content["scores"]),
        parameters={name: int(count) for name, count in (cost.get("parameters") or {}).items()},
        cost={name: float(value) for name, value in costs.items() if is_finite(value)},
    )


def device_of(hardware: Mapping[str, Any]) -> str:
    """What a run had: its GPU or the threads of a CPU, and how many of them."""
    threads, count = hardware["threads"], hardware.get("devices", 1)
    name = hardware["gpu"] or ("1 thread" if threads == 1 else f"{threads} threads")
    return name if count == 1 else f"{count} x {name}"


def is_finite(value: Any) -> bool:
    """Whether ``value`` is a finite number."""
    return isinstance(value, int | float) and math.isfinite(value)


def _number(values: Mapping[str, Any], name: str) -> float:
    if not is_finite(values[name]):
        raise ValueError(f"{name} is no number")
    return float(values[name])


def _block(content: dict[str, Any]) -> Block:
    moments = {name: content[name] for name in ("first", "last", "best") if content.get(name)}
    history = content.get("history") or ()
    if not isinstance(content["protocol"], Mapping):
        raise ValueError("a protocol without fields")
    for row in (*moments.values(), *history):  # damage is named now, not met later
        for name in row.keys() & {"d_step", "kimg", "seconds"}:
            _number(row, name)
        if not all(value is None or isinstance(value, int | float) for value in row["metrics"].values()):
            raise ValueError("a score that is no number")
    if not all({"d_step", "kimg"} <= row.keys() for row in history):
        raise ValueError("a moment without d_step or kimg")
    return Block(content["protocol"], moments, content["floor"] or {}, history=history)


def _with_evaluation(result: Result, content: dict[str, Any]) -> Result:
    """``result`` with the scores of an evaluation, where that is of its last or best checkpoint."""
    of = content["of"]
    if (of.get("experiment"), of.get("run_seed")) != (result.experiment, result.seed):
        return result
    if of.get("run_started") not in (None, *result.started[:1]):
        return result  # another run of these settings and this seed
    which = str(of["checkpoint"]).split()[0]
    if all(block.moments.get(which, {}).get("d_step") != of["d_step"] for block in result.blocks):
        return result
    scores = {name: summary["mean"] for name, summary in content["scores"].items()}
    moment = {"d_step": of["d_step"], "metrics": scores}
    evaluations = max(1, len(content.get("seeds") or ()))
    block = Block(content["protocol"], {which: moment}, content["floor"] or {}, evaluations)
    return replace(result, blocks=(*result.blocks, block))

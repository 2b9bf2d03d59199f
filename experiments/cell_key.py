"""What a run's numbers hang on, as one short hash: the settings of model, data and training that are no defaults.

A constructor that gains an argument with a default changes no key, nor does a YAML that spells a default out. Left out
is what a resumed run may change too: where it ran and how it was looked at. Length and seed stand in the record by
themselves.
"""

import hashlib
import inspect
import json
import typing
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from types import FunctionType
from typing import Any

import lightning as L
from torch.optim import Optimizer

from experiments.complaints import class_at
from experiments.optimizers import spelt_out
from experiments.resume import MAY_CHANGE

WATCHING = ("data.init_args.val_images",)  # MAY_CHANGE has the others that touch no weight
# Settings of the trainer that touch the weights, where the clock and the bases leave it a say.
TRAINER = (
    "precision",
    "callbacks",
    "plugins",
    "sync_batchnorm",
    "limit_train_batches",
    "overfit_batches",
    "gradient_clip_val",
    "gradient_clip_algorithm",
)
SINGLE = ("32-true", "32", 32)  # names of Lightning's default precision


def cell_key(resolved: Mapping[str, Any]) -> str:
    """Twelve digits of a hash of ``resolved``, equal where runs of the same length and seed are the same."""
    text = json.dumps(settings(resolved), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def settings(resolved: Mapping[str, Any]) -> dict[str, Any]:
    """What ``cell_key`` hashes, as plain values."""
    parts = {name: _class_settings(_kept(resolved[name], f"{name}.init_args")) for name in ("model", "data")}
    trainer = {name: resolved["trainer"][name] for name in TRAINER}
    if trainer["precision"] in SINGLE:
        del trainer["precision"]
    return {**parts, "trainer": _changed(L.Trainer, trainer)}


def _kept(part: Mapping[str, Any], above: str) -> dict[str, Any]:
    arguments = part.get("init_args", {})
    left_out = (*MAY_CHANGE, *WATCHING)
    return {**part, "init_args": {k: v for k, v in arguments.items() if f"{above}.{k}" not in left_out}}


def _class_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    kind = class_at(given["class_path"])
    return {"class": f"{kind.__module__}.{kind.__qualname__}", **_changed(kind, given.get("init_args", {}))}


def _changed(kind: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of ``kind`` that are ``given`` otherwise than by default, each reduced likewise."""
    known = _parameters(kind)
    found = {}
    for name, value in given.items():
        default, hint = known.get(name, (inspect.Parameter.empty, None))
        reduced = _reduced(value, hint)
        if reduced != _reduced(spelt_out(default) if makes_optimizer(default) else default, hint):
            found[name] = reduced
    return found


def makes_optimizer(default: Any) -> bool:
    """Whether a constructor's default is a function, or a class, that makes an optimizer."""
    return isinstance(default, FunctionType) or (isinstance(default, type) and issubclass(default, Optimizer))


def _reduced(value: Any, hint: Any) -> Any:
    if isinstance(value, Mapping):
        if "class_path" in value:
            return _class_settings(value)
        kinds = [kind for kind in _dataclasses(hint) if value.keys() <= _parameters(kind).keys()]
        return _changed(kinds[0], value) if kinds else {name: _reduced(part, None) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_reduced(part, hint) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _parameters(kind: type) -> dict[str, tuple[Any, Any]]:
    """The arguments of a class, those that it hands to its bases included: (default, type)."""
    found: dict[str, tuple[Any, Any]] = {}
    for base in reversed(inspect.getmro(kind)):
        if (make := vars(base).get("__init__")) is not None:
            hints = _hints(make)
            for name, parameter in inspect.signature(make).parameters.items():
                found[name] = parameter.default, hints.get(name)
    return found


def _hints(function: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError):  # of a library that names types only its checker sees
        return {}


def _dataclasses(hint: Any) -> Iterator[type]:
    if isinstance(hint, type) and is_dataclass(hint):
        yield hint
    for part in typing.get_args(hint):
        yield from _dataclasses(part)
